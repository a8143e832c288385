# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module's documentation says is what the action does."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.action import pipeline as action
from ansible_collections.manifold.core.plugins.modules import pipeline as module
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _spec
from ansible_collections.manifold.core.plugins.plugin_utils.streams._part import Proof
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options
from ansible_collections.manifold.core.plugins.plugin_utils.streams._result import (
    PipelineResult,
    SinkResult,
    StepResult,
)

OPTIONS: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)["options"]
STEP: dict[str, Any] = OPTIONS["steps"]["suboptions"]
EXAMPLES: list[dict[str, Any]] = yaml.safe_load(module.EXAMPLES)
RETURN: dict[str, Any] = yaml.safe_load(module.RETURN)
FACTS = ("type", "elements", "required", "default", "choices")


def _facts(option: dict[str, Any]) -> dict[str, Any]:
    return {fact: option[fact] for fact in FACTS if fact in option}


def test_the_options_are_those_that_are_documented() -> None:
    assert {name: _facts(option) for name, option in OPTIONS.items()} == {
        name: _facts(option) for name, option in action.ARGUMENTS.items()
    }


def test_the_keys_of_a_step_are_those_that_are_documented() -> None:
    assert sorted(STEP) == sorted(_spec._KEYS)


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, option["default"]) for key, option in STEP.items() if "default" in option]
    + [(key, choice) for key, option in STEP.items() for choice in option.get("choices", [])],
)
def test_the_documented_defaults_and_choices_are_accepted(key: str, value: object) -> None:
    kind = {"dest": "/d"} if key in _spec._SINK_ONLY else {"argv": ["cat"]}
    steps: list[dict[str, Any]] = [{"command": "true"}, {**kind, key: value}]
    if value == STEP[key].get("default"):
        assert _spec.parse_steps(steps) == _spec.parse_steps([{"command": "true"}, kind])
    else:
        assert _spec.parse_steps(steps)


def test_the_defaults_of_the_options_are_those_of_the_engine() -> None:
    engine = Options()
    assert engine.checksum is (OPTIONS["checksum"]["default"] == "sha256")
    assert engine.on_sink_failure_continue is (OPTIONS["on_sink_failure"]["default"] == "continue")
    for name in ("connect_timeout", "retries", "retry_delay", "stdout_limit"):
        assert getattr(engine, name) == OPTIONS[name]["default"], name
    for name in ("timeout", "stall_timeout", "creates"):
        assert "default" not in OPTIONS[name] and getattr(engine, name) is None, name


@pytest.mark.parametrize("example", EXAMPLES, ids=[example["name"] for example in EXAMPLES])
def test_the_examples_are_understood(example: dict[str, Any]) -> None:
    arguments = example["manifold.core.pipeline"]
    assert arguments.keys() <= OPTIONS.keys()
    for name, value in arguments.items():
        assert value in OPTIONS[name].get("choices", [value])
    steps = _spec.parse_steps(arguments["steps"])
    assert steps
    if arguments.get("retries"):
        _spec.check_repeatable(steps)
    if "bwlimit" in arguments:
        assert _spec.parse_size(arguments["bwlimit"])


def test_what_is_returned_is_documented() -> None:
    step = StepResult("a", "b", "local", 0, "", None, 1, 2, "marker")
    sink = SinkResult("a", "b", "/c", 3, "d", committed=True, changed=True)
    result = PipelineResult("id", 1, True, (step,), (sink,), destinations=1, stdout="x", attempts=2).as_task_result()
    of_ansible = {"changed", "failed", "msg", "diff", "warnings"}
    assert result.keys() - of_ansible == set(RETURN)
    assert result["steps"][0].keys() == RETURN["steps"]["contains"].keys()
    assert result["sinks"][0].keys() == RETURN["sinks"]["contains"].keys()


def test_every_kind_of_proof_is_documented() -> None:
    text = " ".join(RETURN["steps"]["contains"]["proof"]["description"])
    for proof in Proof:
        assert f"V({proof.value})" in text
