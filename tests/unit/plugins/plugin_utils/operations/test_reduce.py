# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.modules import pipeline as module
from ansible_collections.manifold.core.plugins.modules import transfer as transfer_module
from ansible_collections.manifold.core.plugins.plugin_utils.operations import _reduce
from ansible_collections.manifold.core.plugins.plugin_utils.operations._record import OperationOutcome
from ansible_collections.manifold.core.plugins.plugin_utils.operations._reduce import TEXT_LIMIT, operation_of
from ansible_collections.manifold.core.plugins.plugin_utils.operations._scrub import MASK, Scrubber
from yaml import safe_load

from record_schema import SCHEMA
from unit.runs import backup, ran, result, step

RETURN: dict[str, Any] = safe_load(module.RETURN)


def test_what_is_not_known_to_be_harmless_is_left_out() -> None:
    noisy = backup(stdout="data", stdout_lines=["data"], diff=[{"before": "x"}], invocation={"steps": []}, item="i")
    kept = operation_of(ran(task_result=noisy), Scrubber())["result"]
    assert kept.keys() == {"changed", "duration_ms", "failed_step", "steps", "sinks"}


def test_of_a_pipeline_everything_but_its_output_is_kept() -> None:
    assert set(_reduce._STEP) == set(RETURN["steps"]["contains"])
    assert set(_reduce._SINK) == set(RETURN["sinks"]["contains"])
    kept = {"operation_id", *_reduce._RESULT, *_reduce._LISTS}
    assert kept == {*RETURN, "changed", "msg"} - {"stdout", "stdout_lines", "stdout_cut"}


def test_of_a_transfer_all_numbers_and_its_ends_are_kept_and_no_names_of_files() -> None:
    documented = set(safe_load(transfer_module.RETURN))
    assert {*_reduce._TRANSFER} - {"streams", "resumed"} <= documented
    kept = {"operation_id", *_reduce._TRANSFER, *_reduce._RESULT, *_reduce._LISTS}
    assert documented - kept == {"special", "unstable"}
    pipeline_kept = operation_of(ran(task_result=backup(files=3, src="x")), Scrubber())["result"]
    assert not {"files", "src"} & pipeline_kept.keys()


def test_the_schema_names_what_is_kept() -> None:
    of_schema = {name: set(SCHEMA["$defs"][name]["properties"]) for name in ("result", "step", "sink", "operation")}
    assert of_schema["result"] == {*_reduce._RESULT, *_reduce._TRANSFER, *_reduce._LISTS}
    assert (of_schema["step"], of_schema["sink"]) == (set(_reduce._STEP), set(_reduce._SINK))
    assert of_schema["operation"] == {*operation_of(ran(), Scrubber()), "started", "finished"}


def test_a_hidden_task_keeps_its_name_and_outcome_only() -> None:
    hidden = operation_of(
        ran(OperationOutcome.FAILED, backup(msg="s3cret"), no_log=True, delegated_to="other"), Scrubber()
    )
    assert (hidden["task"], hidden["outcome"], hidden["no_log"]) == ("Back up", "failed", True)
    assert (hidden["operation_id"], hidden["result"], hidden["delegated_to"]) == (None, None, None)


@pytest.mark.parametrize("outcome", [OperationOutcome.SKIPPED, OperationOutcome.UNREACHABLE])
def test_a_task_that_did_not_run_has_no_result(outcome: OperationOutcome) -> None:
    assert operation_of(ran(outcome, {"msg": "no route", "changed": False}), Scrubber())["result"] is None


def test_secrets_are_masked_in_every_text() -> None:
    secret = "open-sesame"
    told = backup(msg=f"it said {secret}", failed_step=secret, checksum=secret)
    told["steps"][0] |= {"stderr": f"{secret}!", "name": secret, "context": secret}
    told["sinks"][0] |= {"path": f"/{secret}/x"}
    run = ran(task_result=told, task=f"Use {secret}", delegated_to=secret)
    operation = operation_of(run, Scrubber([secret]))
    assert secret not in str(operation)
    assert operation["task"] == f"Use {MASK}"
    assert operation["result"]["sinks"][0]["path"] == f"/{MASK}/x"


@pytest.mark.parametrize("offset", [0, 3])
def test_texts_are_masked_before_they_are_cut(offset: int) -> None:
    secret = "open-sesame"
    noise = "x" * (TEXT_LIMIT - offset)
    told = result(step("a", "b", "local", stderr=secret + noise), msg=noise + secret)
    kept = operation_of(ran(task_result=told), Scrubber([secret]))["result"]
    for text in (kept["msg"], kept["steps"][0]["stderr"]):
        assert len(text) == TEXT_LIMIT
        assert "open" not in text and "sesame" not in text


@pytest.mark.parametrize(
    "odd", [{"changed": "yes"}, {"duration_ms": True}, {"msg": ["a"]}, {"failed_step": 3}, {"operation_id": 7}]
)
def test_a_field_of_another_type_is_null(odd: dict[str, Any]) -> None:
    operation = operation_of(ran(task_result=backup(**odd)), Scrubber())
    (name,) = odd
    assert {**operation["result"], "operation_id": operation["operation_id"]}[name] is None
