# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module's documentation says is what the action does."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.manifold.core.plugins.action import operation_info as action
from ansible_collections.manifold.core.plugins.modules import operation_info as module
from ansible_collections.manifold.core.plugins.plugin_utils.operations._query import parse_query

from record_schema import SCHEMA

OPTIONS: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)["options"]
RETURN: dict[str, Any] = yaml.safe_load(module.RETURN)
FACTS = ("type", "elements", "required", "default", "choices")


def _facts(option: dict[str, Any]) -> dict[str, Any]:
    return {fact: sorted(option[fact]) if fact == "choices" else option[fact] for fact in FACTS if fact in option}


def test_the_options_are_those_that_are_documented() -> None:
    assert {name: _facts(option) for name, option in OPTIONS.items()} == {
        name: _facts(option) for name, option in action.ARGUMENTS.items()
    }


def test_the_examples_are_understood() -> None:
    for example in yaml.safe_load(module.EXAMPLES):
        arguments = example.get("manifold.core.operation_info", {})
        assert arguments.keys() <= OPTIONS.keys()
        assert parse_query(arguments)


def test_a_record_is_documented_as_the_schema_has_it() -> None:
    documented = RETURN["records"]["contains"]
    assert documented.keys() == SCHEMA["properties"].keys()
    for name in ("contexts_used", "transfers", "failed_tasks"):
        assert documented[name]["contains"].keys() == SCHEMA["properties"][name]["items"]["properties"].keys()
    assert documented["operations"]["contains"].keys() == SCHEMA["$defs"]["operation"]["properties"].keys()
