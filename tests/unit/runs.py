# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs as events, and strategies for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.manifold.core.plugins.plugin_utils.operations._events import Event, EventKind
from ansible_collections.manifold.core.plugins.plugin_utils.operations._record import OperationOutcome
from ansible_collections.manifold.core.plugins.plugin_utils.operations._reduce import TaskRun, operation_of
from ansible_collections.manifold.core.plugins.plugin_utils.operations._scrub import Scrubber
from hypothesis import strategies as st

RUN = "2026-01-14-170234-0a1b2c3d"
PIPELINE = "manifold.core.pipeline"
TIME = "2026-01-14T17:02:34.{:03d}+01:00"


def step(name: str, context: str, kind: str, ready: int | None = 5, **changes: Any) -> dict[str, Any]:
    """Return a step as the pipeline's task returns it."""
    made = {"name": name, "context": context, "type": kind, "rc": 0, "stderr": "", "bytes_in": None, "bytes_out": 7}
    return {**made, "connection_time_ms": ready, "proof": "marker", **changes}


def sink(name: str, context: str, path: str, **changes: Any) -> dict[str, Any]:
    """Return a destination as the pipeline's task returns it."""
    made = {"step": name, "context": context, "path": path, "bytes": 7, "checksum": "abc"}
    return {**made, "committed": True, "changed": True, **changes}


def result(*steps: Mapping[str, Any], sinks: tuple[Mapping[str, Any], ...] = (), **changes: Any) -> dict[str, Any]:
    """Return what a pipeline's task returns."""
    made = {"operation_id": "2026-01-14-170235-00000001", "duration_ms": 40, "changed": True, "failed_step": None}
    return {**made, "steps": list(steps), "sinks": list(sinks), **changes}


def backup(**changes: Any) -> dict[str, Any]:
    """Return the result of a backup to two servers."""
    steps = [
        step("extract", "pod", "kubernetes", 30),
        step("compress", "local", "local", 2),
        step("save-a", "a", "ssh", 20),
        step("save-b", "b", "ssh", 25),
    ]
    return result(*steps, sinks=(sink("save-a", "a", "/x"), sink("save-b", "b", "/x", committed=False)), **changes)


def ran(outcome: OperationOutcome = OperationOutcome.OK, task_result: Any = None, **changes: Any) -> TaskRun:
    """Return a task that ran."""
    known = {"action": PIPELINE, "task": "Back up", "host": "localhost", **changes}
    return TaskRun(outcome=outcome, result=backup() if task_result is None else task_result, **known)


def event(number: int, kind: EventKind, **data: Any) -> Event:
    """Return the event of a given number."""
    return Event(kind, TIME.format(number), data)


def whole_run(outcome: str = "failed") -> list[Event]:
    """Return a run with everything: two tasks that ended, one in a loop, one that did not."""
    task = {"task": "Back up", "host": "localhost", "action": PIPELINE}
    retried = operation_of(ran(OperationOutcome.RETRIED), Scrubber())
    ended = operation_of(ran(), Scrubber())
    hidden = operation_of(ran(no_log=True), Scrubber())
    return [
        event(0, EventKind.START, playbook="/p/backup.yml", check_mode=False, machine="m", boot="b"),
        event(1, EventKind.NO_HOSTS),
        event(2, EventKind.BEGUN, key="1", check_mode=False, **task),
        event(3, EventKind.OPERATION, key="1", operation=retried, last=False),
        event(4, EventKind.OPERATION, key="1", operation=ended, last=True),
        event(5, EventKind.BEGUN, key="2", check_mode=False, **task),
        event(6, EventKind.OPERATION, key="2", operation=hidden, last=False),
        event(7, EventKind.OPERATION, key="2", operation=None, last=True),
        event(8, EventKind.BEGUN, key="3", check_mode=False, **task),
        event(9, EventKind.FAILURE, unreachable=False, ignored=False, **task),
        event(10, EventKind.END, outcome=outcome),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
