# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run, as a pure function of what happened in it; ``docs/schema/operation.json`` describes it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ._events import Event, EventKind, first

VERSION = 1
"""Of the form of a record; raised when a reader of older ones would be misled."""

Record = dict[str, Any]
Operation = dict[str, Any]


class Outcome(enum.Enum):
    """How a run ended."""

    OK = "ok"
    FAILED = "failed"
    NO_HOSTS = "no_hosts"
    """No host matched in any play, and so nothing was done."""
    INTERRUPTED = "interrupted"
    """It did not come to its end: cancelled, killed, or stopped by an error outside of any task."""
    RUNNING = "running"


class OperationOutcome(enum.Enum):
    """How a task of ours ended on a host."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"
    RETRIED = "retried"
    """An attempt after which ``until`` asked for another."""
    INTERRUPTED = "interrupted"
    """It had begun when the run was interrupted, or is still running."""


def record_of(run: str, events: Sequence[Event], unfinished: Outcome, lost_events: int = 0) -> Record:
    """Return the record of a run; ``unfinished`` is its outcome if the events do not tell of an end."""
    start, end = first(events, EventKind.START), first(events, EventKind.END)
    operations = _operations(events)
    return {
        "version": VERSION,
        "id": run,
        "playbook": start.data["playbook"] if start else None,
        "started": start.time if start else None,
        "finished": end.time if end else None,
        "last_event": events[-1].time if events else None,
        "outcome": _outcome(events, end, unfinished).value,
        "check_mode": start.data["check_mode"] if start else None,
        "contexts_used": contexts_used(operations),
        "transfers": transfers(operations),
        "operations": operations,
        "failed_tasks": [dict(event.data) for event in events if event.kind is EventKind.FAILURE],
        "lost_events": lost_events,
    }


def _outcome(events: Sequence[Event], end: Event | None, unfinished: Outcome) -> Outcome:
    if end is None or end.data["outcome"] not in {outcome.value for outcome in Outcome}:
        return unfinished
    outcome = Outcome(end.data["outcome"])
    if outcome is Outcome.OK and first(events, EventKind.NO_HOSTS) and not first(events, EventKind.BEGUN):
        return Outcome.NO_HOSTS
    return outcome


def _operations(events: Iterable[Event]) -> list[Operation]:
    """Return what our tasks did, in the order in which they ended, then those that did not."""
    begun: dict[str, Event] = {}
    ended: list[Operation] = []
    for event in events:
        if event.kind is EventKind.BEGUN:
            begun[event.data["key"]] = event
        elif event.kind is EventKind.OPERATION:
            beginning = begun.get(event.data["key"])
            if event.data["operation"]:
                started = beginning.time if beginning else None
                ended.append({**event.data["operation"], "started": started, "finished": event.time})
            if event.data["last"]:
                begun.pop(event.data["key"], None)
    return [*ended, *(_unfinished(event) for event in begun.values())]


def _unfinished(event: Event) -> Operation:
    return {
        "operation_id": None,
        "action": event.data["action"],
        "task": event.data["task"],
        "host": event.data["host"],
        "delegated_to": None,
        "outcome": OperationOutcome.INTERRUPTED.value,
        "ignored": False,
        "no_log": False,
        "check_mode": event.data["check_mode"],
        "result": None,
        "started": event.time,
        "finished": None,
    }


def _results(operations: Iterable[Operation]) -> Iterable[tuple[Operation, Mapping[str, Any]]]:
    return ((operation, operation["result"]) for operation in operations if operation["result"])


def contexts_used(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Return every context in which a step was to run, in the order of use.

    ``connection_time_ms`` is the longest that a step took to be ready there.
    """
    contexts: dict[tuple[str, str], dict[str, Any]] = {}
    for _operation, result in _results(operations):
        for step in result.get("steps", []):
            name, kind, ready = step["context"], step["type"], step["connection_time_ms"]
            empty = {"name": name, "type": kind, "steps": [], "connection_time_ms": None}
            context = contexts.setdefault((name, kind), empty)
            if step["name"] not in context["steps"]:
                context["steps"].append(step["name"])
            times = [time for time in (context["connection_time_ms"], ready) if time is not None]
            context["connection_time_ms"] = max(times, default=None)
    return list(contexts.values())


def transfers(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Return what was written where: one entry for each proven destination of a pipeline, and for each transfer."""
    found = []
    for operation, result in _results(operations):
        if result.get("steps"):
            found += [_written(operation, result, sink) for sink in result.get("sinks", [])]
        if _transferred(operation, result):
            found.append(_transfer(operation, result))
    return found


def _written(operation: Operation, result: Mapping[str, Any], sink: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "operation_id": operation["operation_id"],
        "from": result["steps"][0]["context"],  # one source feeds all destinations of a pipeline
        "to": f"{sink['context']}:{sink['path']}",
        "bytes": sink["bytes"],
        "duration_ms": result.get("duration_ms"),
        "checksum": sink["checksum"],
        "retries": max(0, (result.get("attempts") or 1) - 1),
        "committed": sink["committed"],
        "changed": sink["changed"],
    }


def _transferred(operation: Operation, result: Mapping[str, Any]) -> bool:
    """Return whether a transfer was carried out, or a part of it."""
    done = operation["outcome"] == OperationOutcome.OK.value or result.get("changed")
    return bool(done and result.get("src") and result.get("dest") and not operation["check_mode"])


def _transfer(operation: Operation, result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "operation_id": operation["operation_id"],
        "from": result["src"],
        "to": result["dest"],
        "bytes": result.get("bytes"),
        "duration_ms": result.get("duration_ms"),
        "checksum": result.get("checksum"),
        "retries": result.get("retries") or 0,
        "committed": operation["outcome"] == OperationOutcome.OK.value,
        "changed": result.get("changed"),
    }
