# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.manifold.core.extensions.multinic_controller._options import OPTIONS, read
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import SettingsError

LEAST = {"MULTINIC_IMAGE": "agent:1", "MULTINIC_NAMESPACE": "multinic"}


def test_arguments_win_over_the_environment() -> None:
    found = read(
        ["--workers", "3"], {**LEAST, "MULTINIC_WORKERS": "5", "MULTINIC_COMMAND": "run 'a b'", "POD_NAME": "p"}
    )
    assert found.workers == 3
    assert found.settings.agent.command == ("run", "a b")
    assert (found.identity, found.lease_namespace, found.kubeconfig) == ("p", "multinic", None)
    assert found.listen == ("0.0.0.0", 8080)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"MULTINIC_NAMESPACE": "a"}, "image is not given; set MULTINIC_IMAGE or --image"),
        ({"MULTINIC_IMAGE": "a"}, "lease_namespace is needed where all namespaces are looked after"),
        ({**LEAST, "MULTINIC_WORKERS": "0"}, "workers is '0': it must be at least 1"),
        ({**LEAST, "MULTINIC_RELIST": "nan"}, "relist is 'nan': it must be more than 0"),
        ({**LEAST, "MULTINIC_AGENT_OPTIONS": "[]"}, "agent_options is '[]': it must be a JSON object"),
        ({**LEAST, "MULTINIC_LISTEN": "8080x"}, "listen is '8080x'; it must be ADDRESS:PORT"),
        ({**LEAST, "MULTINIC_MAX_IN_FLIGHT": "x"}, "max_in_flight is 'x'; it must be a number of nodes from 1"),
        ({**LEAST, "MULTINIC_DEADLINE": "10"}, "deadline (10 s) must be more than rollback_timeout"),
        ({**LEAST, "MULTINIC_LOG_LEVEL": "loud"}, "log_level is 'loud'; it must be DEBUG"),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read([], environment)
    assert str(caught.value).startswith(message)


def test_the_documentation_lists_every_setting() -> None:
    page = (Path(__file__).parents[4] / "docs/multinic_controller.md").read_text()
    for name, option in OPTIONS.items():
        default = f"`{option.default}`" if option.default else ""
        assert f"| `{name}` | {default} | {option.help} |" in page
