# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.action import port_forward as action
from ansible_collections.manifold.core.plugins.action import port_forward_info as info_action
from ansible_collections.manifold.core.plugins.modules import port_forward as module
from ansible_collections.manifold.core.plugins.modules import port_forward_info as info_module
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _parse
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._status import BoundPort, ForwardStatus, State

FACTS = ("type", "elements", "required", "default", "choices")
STATUS = ForwardStatus(
    "minio", "k8s", "kubernetes", "service/minio", "local", "0.0.0.0", (BoundPort(1, "http"),), "ready", 1, "", "", ""
)


def _facts(option: dict[str, Any]) -> dict[str, Any]:
    return {fact: option[fact] for fact in FACTS if fact in option}


@pytest.mark.parametrize(
    ("documentation", "arguments"),
    [(module.DOCUMENTATION, action.ARGUMENTS), (info_module.DOCUMENTATION, info_action.ARGUMENTS)],
)
def test_the_options_are_those_that_are_documented(documentation: str, arguments: dict[str, Any]) -> None:
    options = yaml.safe_load(documentation)["options"]
    assert {name: _facts(option) for name, option in options.items()} == arguments


def test_what_is_returned_is_documented() -> None:
    assert STATUS.as_result().keys() == yaml.safe_load(module.RETURN).keys()
    assert STATUS.as_info().keys() == yaml.safe_load(info_module.RETURN)["forwards"]["contains"].keys()


@pytest.mark.parametrize("state", [each.value for each in (*State,)])
def test_every_state_is_documented(state: str) -> None:
    assert f"V({state})" in info_module.RETURN


def test_the_number_of_ports_is_documented() -> None:
    assert f"{_parse.MOST_PORTS} at most" in module.DOCUMENTATION


def test_every_address_at_once_is_connected_to_by_loopback() -> None:
    assert STATUS.as_result()["address"] == "127.0.0.1:1"
