# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module's documentation says is what the action does."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.action import transfer as action
from ansible_collections.manifold.core.plugins.modules import transfer as module
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import make_filter
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

OPTIONS: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)["options"]
EXAMPLES: list[dict[str, Any]] = yaml.safe_load(module.EXAMPLES)
RETURN: dict[str, Any] = yaml.safe_load(module.RETURN)
FACTS = ("type", "elements", "required", "default", "choices")


def test_the_options_are_those_that_are_documented() -> None:
    documented = {name: {fact: option[fact] for fact in FACTS if fact in option} for name, option in OPTIONS.items()}
    assert documented == action.ARGUMENTS


def test_the_defaults_are_those_of_a_request() -> None:
    end = _endpoint.Endpoint("local", "x")
    request = Request(end, end)
    for name in ("checksum", "delete", "allow_empty", "create_parents", "connect_timeout"):
        assert getattr(request, name) == OPTIONS[name]["default"], name


def test_the_keys_of_an_endpoint_are_documented() -> None:
    text = " ".join(OPTIONS["src"]["description"])
    for name in _endpoint.KEYS:
        assert f"C({name})" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["name"] for example in EXAMPLES])
def test_the_examples_are_understood(example: dict[str, Any]) -> None:
    arguments = example["manifold.core.transfer"]
    assert arguments.keys() <= OPTIONS.keys()
    known = ["k8s-prod", "k8s-staging", "backup-server", "prod-server"]
    for option in ("src", "dest"):
        assert _endpoint.parse_endpoint(arguments[option], option, known).path
    assert make_filter(arguments.get("include", []), arguments.get("exclude", []))


def test_what_is_returned_is_documented() -> None:
    result = Result("id", "a", "b", failure="x", checksum="z", warnings=("y",)).as_task_result(diff=True)
    assert result.keys() - {"changed", "failed", "msg", "diff", "warnings"} == set(RETURN)
