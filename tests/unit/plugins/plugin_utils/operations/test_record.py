# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.operations._events import (
    Event,
    EventKind,
    read_events,
)
from ansible_collections.manifold.core.plugins.plugin_utils.operations._record import (
    OperationOutcome,
    Outcome,
    contexts_used,
    record_of,
    transfers,
)
from ansible_collections.manifold.core.plugins.plugin_utils.operations._reduce import operation_of
from ansible_collections.manifold.core.plugins.plugin_utils.operations._scrub import Scrubber
from hypothesis import given
from hypothesis import strategies as st

from record_schema import validate
from unit.runs import JSON, RUN, TIME, backup, event, ran, result, sink, step, whole_run


def _record(events: list[Event], unfinished: Outcome = Outcome.INTERRUPTED) -> dict[str, Any]:
    record = record_of(RUN, events, unfinished)
    validate(record)
    return record


def test_a_record_tells_what_happened() -> None:
    record = _record(whole_run())
    assert (record["id"], record["version"], record["playbook"]) == (RUN, 1, "/p/backup.yml")
    assert (record["started"], record["finished"], record["last_event"]) == (TIME.format(0), *[TIME.format(10)] * 2)
    assert (record["outcome"], record["check_mode"], record["lost_events"]) == ("failed", False, 0)
    assert [each["outcome"] for each in record["operations"]] == ["retried", "ok", "ok", "interrupted"]
    assert [each["started"] for each in record["operations"]] == [TIME.format(number) for number in (2, 2, 5, 8)]
    assert [each["no_log"] for each in record["operations"]] == [False, False, True, False]
    assert [each["task"] for each in record["failed_tasks"]] == ["Back up"]


def test_a_journal_without_an_end_is_that_of_an_interrupted_or_a_running_run() -> None:
    begun = whole_run()[:3]
    for outcome in (Outcome.INTERRUPTED, Outcome.RUNNING):
        record = _record(begun, outcome)
        assert record["outcome"] == outcome.value
        assert (record["finished"], record["last_event"]) == (None, TIME.format(2))
        assert [each["outcome"] for each in record["operations"]] == ["interrupted"]


def test_a_run_in_which_no_host_matched_says_so() -> None:
    start, no_hosts = whole_run()[:2]
    assert _record([start, no_hosts, event(3, EventKind.END, outcome="ok")])["outcome"] == "no_hosts"
    assert _record([start, no_hosts, event(3, EventKind.END, outcome="failed")])["outcome"] == "failed"
    assert _record([start, event(3, EventKind.END, outcome="ok")])["outcome"] == "ok"
    assert _record(whole_run("ok"))["outcome"] == "ok"


def test_an_empty_journal_makes_a_record_too() -> None:
    assert _record([])["playbook"] is None


def test_contexts_are_listed_once_with_their_steps_and_the_longest_time() -> None:
    first = operation_of(ran(), Scrubber())
    again = result(step("extract", "pod", "kubernetes", 90), step("look", "pod", "kubernetes", None))
    second = operation_of(ran(task_result=again), Scrubber())
    assert contexts_used([first, second]) == [
        {"name": "pod", "type": "kubernetes", "steps": ["extract", "look"], "connection_time_ms": 90},
        {"name": "local", "type": "local", "steps": ["compress"], "connection_time_ms": 2},
        {"name": "a", "type": "ssh", "steps": ["save-a"], "connection_time_ms": 20},
        {"name": "b", "type": "ssh", "steps": ["save-b"], "connection_time_ms": 25},
    ]


def test_every_destination_is_a_transfer() -> None:
    first, second = transfers([operation_of(ran(task_result=backup(attempts=3)), Scrubber())])
    assert first == {
        "operation_id": "2026-01-14-170235-00000001",
        "from": "pod",
        "to": "a:/x",
        "bytes": 7,
        "duration_ms": 40,
        "checksum": "abc",
        "retries": 2,
        "committed": True,
        "changed": True,
    }
    assert (second["to"], second["committed"]) == ("b:/x", False)


def test_without_steps_there_is_no_transfer() -> None:
    assert transfers([operation_of(ran(task_result=result(sinks=(sink("a", "b", "/c"),))), Scrubber())]) == []


@given(cut=st.integers(0, 5000), tail=st.text(max_size=30))
def test_a_torn_journal_loses_its_last_line_only(cut: int, tail: str) -> None:
    lines = [each.line() for each in whole_run()]
    text = "".join(lines)[:cut]
    whole = text.count("\n")
    events, lost = read_events(text)
    # a last line that lacks nothing but its end is whole
    assert events in (whole_run()[:whole], whole_run()[: whole + 1])
    assert lost == (not text.endswith("\n") and bool(text) and len(events) == whole)
    validate(record_of(RUN, events, Outcome.INTERRUPTED, lost))
    events, lost = read_events(text + tail)
    assert events[:whole] == whole_run()[:whole]
    validate(record_of(RUN, events, Outcome.INTERRUPTED, lost))


@given(
    at=st.integers(0, 10),
    line=st.text(max_size=40)
    | JSON.map(lambda value: Event(EventKind.START, "x").line().replace('"x"', repr(value)))
    | st.sampled_from(
        [
            '{"event": "operation", "time": "2026-01-14"}',
            '{"event": "start", "time": 3}',
            "[]",
            "3",
            "[" * 100_000,
            '{"event": ["start"]}',
        ]
    ),
)
def test_a_line_that_is_no_event_is_counted_and_the_others_stay(at: int, line: str) -> None:
    lines = [each.line() for each in whole_run()]
    events, lost = read_events("".join([*lines[:at], line.replace("\n", " ") + "\n", *lines[at:]]))
    assert events == whole_run()
    assert lost == bool(line)


@given(task_result=st.dictionaries(st.sampled_from(sorted(backup())), JSON))
def test_whatever_a_task_returns_the_record_is_valid(task_result: dict[str, Any]) -> None:
    run = ran(task_result={**backup(attempts=1), **task_result})
    done = event(3, EventKind.OPERATION, key="1", operation=operation_of(run, Scrubber()), last=True)
    _record([*whole_run()[:3], done])


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_nothing_is_no_event(text: str) -> None:
    assert read_events(text) == ([], 0)


def test_a_transfer_is_one_with_both_its_ends() -> None:
    told = {
        "operation_id": "2026-01-14-170235-00000001",
        "changed": True,
        "src": "web:/var/log/",
        "dest": "local:./logs",
        "bytes": 7,
        "checksum": "abc",
        "duration_ms": 40,
        "retries": 2,
        "steps": [step("list source", "web", "kubernetes"), step("unpack", "local", "local")],
    }

    def of(outcome: OperationOutcome = OperationOutcome.OK, **changes: Any) -> list[dict[str, Any]]:
        check_mode = changes.pop("check_mode", False)
        run = ran(outcome, {**told, **changes}, action="manifold.core.transfer", check_mode=check_mode)
        return transfers([operation_of(run, Scrubber())])

    assert of() == [
        {
            "operation_id": "2026-01-14-170235-00000001",
            "from": "web:/var/log/",
            "to": "local:./logs",
            "bytes": 7,
            "duration_ms": 40,
            "checksum": "abc",
            "retries": 2,
            "committed": True,
            "changed": True,
        }
    ]
    assert [each["committed"] for each in of(OperationOutcome.FAILED)] == [False], "a part of it is in place"
    assert of(OperationOutcome.FAILED, changed=False) == []
    assert of(check_mode=True) == [], "nothing was moved"
    run = ran(task_result=told, action="manifold.core.transfer")
    assert [each["name"] for each in contexts_used([operation_of(run, Scrubber())])] == ["web", "local"]
