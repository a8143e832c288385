# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the record of the run that goes on: event by event in a journal, and as a record in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._owner import this_boot
from ._events import Event, EventKind, now
from ._files import Journal, RecordFolder
from ._identity import new_operation_id
from ._record import Operation, Outcome, record_of


@dataclass(frozen=True)
class Retention:
    """Which records stay."""

    records: int | None = None
    """How many; None for no limit."""
    days: float | None = None
    """For how long; None for no limit."""


class Recorder:
    """The record of one run. Nothing that the system refuses is raised: it is told to ``warn``, once for each cause."""

    def __init__(self, folder: RecordFolder, retention: Retention, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._retention = retention
        self._warn = warn
        self._run = new_operation_id()
        self._events: list[Event] = []
        self._journal: Journal | None = None
        self._journalled = True

    def start(self, playbook: str, check_mode: bool) -> bool:
        """Begin the journal, close those of dead runs; return whether this run can be recorded."""
        boot = this_boot()
        try:
            self._journal = self._folder.begin(self._run)
        except OSError as exc:
            self._warn(
                f"{self._folder.directory}: records cannot be kept there: {exc.strerror}. This run is not recorded; "
                "set MANIFOLD_OPERATION_LOG_DIRECTORY to a directory that can be written"
            )
            return False
        start = {"playbook": playbook, "check_mode": check_mode, "machine": boot.machine, "boot": boot.start}
        self._add(EventKind.START, **start)
        try:
            self._folder.close_abandoned()
        except OSError as exc:
            self._warn(f"{self._folder.directory}: the journals of earlier runs cannot be closed: {exc.strerror}")
        return True

    def begun(self, key: str, task: str, host: str, action: str, check_mode: bool) -> None:
        """Note that a task of ours begins on a host; ``key`` names the two."""
        self._add(EventKind.BEGUN, key=key, task=task, host=host, action=action, check_mode=check_mode)

    def operation(self, key: str, operation: Operation | None, last: bool) -> None:
        """Note a result of a task of ours; ``last`` if the task ended with it, as it does without one after a loop."""
        self._add(EventKind.OPERATION, key=key, operation=operation, last=last)

    def failure(self, task: str, host: str, action: str, unreachable: bool, ignored: bool) -> None:
        """Note that any task failed on a host."""
        self._add(EventKind.FAILURE, task=task, host=host, action=action, unreachable=unreachable, ignored=ignored)

    def no_hosts(self) -> None:
        """Note that a play matched no host."""
        self._add(EventKind.NO_HOSTS)

    def end(self, outcome: Outcome) -> None:
        """Put the record in place, and remove those that are to stay no longer."""
        self._add(EventKind.END, outcome=outcome.value)
        try:
            self._folder.write(record_of(self._run, self._events, outcome))
            if self._journal:
                self._journal.remove()
            self._folder.expire(self._retention.records, self._retention.days)
        except OSError as exc:
            self._warn(f"{self._folder.directory}: the record {self._run} cannot be written: {exc.strerror}")

    def _add(self, kind: EventKind, **data: Any) -> None:
        event = Event(kind, now(), data)
        self._events.append(event)
        try:
            if self._journal:
                self._journal.append(event)
        except OSError as exc:
            if self._journalled:
                self._warn(f"{self._folder.directory}: the journal {self._run} cannot be written: {exc.strerror}")
            self._journalled = False
