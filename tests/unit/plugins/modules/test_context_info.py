# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.action import context_info as action
from ansible_collections.manifold.core.plugins.modules import context_info as module
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._status import ContextStatus, Status
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _probe

OPTIONS: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)["options"]
RETURN: dict[str, Any] = yaml.safe_load(module.RETURN)
CONTAINS: dict[str, Any] = RETURN["contexts"]["contains"]
FACTS = ("type", "elements", "required", "default", "choices")


def _facts(option: dict[str, Any]) -> dict[str, Any]:
    return {fact: option[fact] for fact in FACTS if fact in option}


def test_the_options_are_those_that_are_documented() -> None:
    assert {name: _facts(option) for name, option in OPTIONS.items()} == action.ARGUMENTS


def test_what_is_returned_is_documented() -> None:
    assert ContextStatus("a", ContextKind.SSH, default=True).as_result().keys() == CONTAINS.keys()


@pytest.mark.parametrize("name", [each.value for each in (*Status,)])
def test_every_status_is_documented(name: str) -> None:
    assert f"V({name})" in " ".join(CONTAINS["status"]["description"])


def test_the_number_of_contexts_at_a_time_is_documented() -> None:
    assert f"Up to {_probe.AT_ONCE} contexts" in " ".join(OPTIONS["timeout"]["description"])
