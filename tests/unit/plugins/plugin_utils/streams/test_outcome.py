# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _outcome as outcome
from ansible_collections.manifold.core.plugins.plugin_utils.streams._loop import Loop
from ansible_collections.manifold.core.plugins.plugin_utils.streams._part import Part, StepFailed, make_part
from ansible_collections.manifold.core.plugins.plugin_utils.streams._result import PipelineResult, SinkResult
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shell import SinkScript
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import parse_steps

REPORT = outcome.Report("2026-01-14-170234-0a1b2c3d", 42, attempts=1, check_mode=False, diff=False)
SOURCE = {"name": "source", "command": "cat"}


def _parts(loop: Loop, *steps: dict[str, Any]) -> list[Part]:
    """Return parts that were not started."""
    parts: dict[str, Part] = {}
    for step in parse_steps(steps):
        writer = parts[step.input] if step.input else None
        parts[step.name] = make_part(step, LocalContext("here"), writer, loop, REPORT.operation, SinkScript())
    return list(parts.values())


def _sink(name: str) -> dict[str, Any]:
    return {"name": name, "dest": f"/{name}", "input": "source"}


def _written(part: Part, **state: bool) -> None:
    part.written = SinkResult(part.step.name, "here", str(part.step.dest), 3, "abc", **state)


def _build(parts: list[Part], failure: StepFailed | None = None, report: outcome.Report = REPORT) -> PipelineResult:
    return outcome.build(report, parts, failure, None, ())


def test_a_pipeline_of_commands_counts_as_changed_if_it_worked(loop: Loop) -> None:
    parts = _parts(loop, SOURCE)
    assert _build(parts).changed
    assert not _build(parts, parts[0].failed("no")).changed


@pytest.mark.parametrize(
    ("first", "second", "changed"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_destinations_decide_whether_something_changed(loop: Loop, first: bool, second: bool, changed: bool) -> None:
    parts = _parts(loop, SOURCE, _sink("a"), _sink("b"))
    _written(parts[1], committed=True, changed=first)
    _written(parts[2], committed=True, changed=second)
    assert _build(parts).changed is changed
    assert _build(parts, parts[0].failed("no")).changed is changed, "what was committed stands, whatever failed"


def test_destinations_that_were_not_proven_are_not_told(loop: Loop) -> None:
    parts = _parts(loop, SOURCE, _sink("a"), _sink("b"))
    _written(parts[2], committed=False, changed=False)
    result = _build(parts, parts[1].failed("no"))
    assert [sink.step for sink in result.sinks] == ["b"]
    assert result.destinations == 2
    assert "bytes" not in result.as_task_result()


@pytest.mark.parametrize("destinations", [0, 1])
def test_check_mode_foretells_a_change_unless_something_is_wrong(loop: Loop, destinations: int) -> None:
    parts = _parts(loop, SOURCE, *[_sink("a")] * destinations)
    report = replace(REPORT, check_mode=True)
    assert _build(parts, None, report).changed
    assert not _build(parts, parts[0].failed("no"), report).changed


def test_every_failure_is_told_once_and_the_one_that_ended_it_first(loop: Loop) -> None:
    parts = _parts(loop, SOURCE, _sink("a"), _sink("b"))
    for part in parts[1:]:
        part.failure = part.failed(f"no {part.step.name}")
    last = parts[0].failed("the end")
    assert _build(parts, parts[1].failure).msg == "step 'a' (here): no a; step 'b' (here): no b"
    result = _build(parts, last)
    assert result.msg == "step 'source' (here): the end; step 'a' (here): no a; step 'b' (here): no b"
    assert result.failed_step == "source"


def test_steps_that_never_began_have_no_numbers(loop: Loop) -> None:
    for step in _build(_parts(loop, SOURCE, _sink("a"))).steps:
        assert (step.rc, step.bytes_in, step.bytes_out, step.connection_time_ms, step.proof) == (None,) * 5
        assert (step.context, step.type, step.stderr) == ("here", "local", "")


def test_a_pipeline_without_contexts_has_no_steps(loop: Loop) -> None:
    (part,) = _parts(loop, SOURCE)
    result = outcome.build(REPORT, [], part.failed("unknown"), None, ())
    assert (result.steps, result.msg, result.changed) == ((), "step 'source' (here): unknown", False)


def test_what_was_skipped_did_not_change(loop: Loop) -> None:
    del loop
    result = outcome.skipped(REPORT.operation, "/there").as_task_result()
    assert (result["changed"], result["failed"], result["failed_step"]) == (False, False, None)
    assert result["msg"] == "nothing was done: /there exists"


@pytest.mark.parametrize(
    ("note", "before"),
    [
        ([], ""),
        (["3 1000000000 abc"], "size: 3\nsha256: abc\nmodified: "),
        (["3 1000000000 -"], "size: 3\nmodified: "),
        (["3 1000000000 "], "size: 3\nmodified: "),
    ],
    ids=["new", "hashed", "not hashed", "no hash"],
)
def test_the_difference_begins_with_what_was_noticed(loop: Loop, note: list[str], before: str) -> None:
    parts = _parts(loop, SOURCE, _sink("a"))
    parts[1].stage.notes["old"] = note
    (diff,) = _build(parts, None, replace(REPORT, diff=True)).diff
    assert diff["before"].startswith(before) and bool(diff["before"]) is bool(note)
    assert diff["after"] == diff["before"], "it was not proven"
    _written(parts[1], committed=False, changed=False)
    (diff,) = _build(parts, None, replace(REPORT, diff=True)).diff
    assert diff["after"] == diff["before"], "it was not committed"
    _written(parts[1], committed=True, changed=True)
    (diff,) = _build(parts, None, replace(REPORT, diff=True)).diff
    assert diff["after"].startswith("size: 3\nsha256: abc\nmodified: ")
