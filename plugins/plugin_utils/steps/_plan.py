# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a play that are known so far, in the order in which they stand in the playbook.

A step is a task. Tasks become known when the play begins, when a host enters a ``rescue`` or ``always``, when an
include has been loaded, and when a notified handler starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """A task that may run."""

    id: str
    within: tuple[str, ...] = ()
    """The blocks and includes that it stands in, the outermost first."""
    source: str = ""
    """The file and line it was read from. Hosts that do not go in step load an include each for themselves."""


class Plan:
    """Gives each task its number. Numbers of tasks that have been shown may grow when something comes before them."""

    def __init__(self, tasks: Iterable[Planned] = ()) -> None:
        self._order: list[str] = []
        self._tasks: dict[str, Planned] = {}
        self._entries: dict[str, str] = {}
        """The entry that stands for a task; several tasks may share one."""
        self._seen: dict[str, set[str]] = {}
        """The hosts that were at an entry which came later than the play's beginning."""
        self._latest: str | None = None
        self._insert(tasks, None)

    @property
    def total(self) -> int:
        """How many steps are known."""
        return len(self._order)

    def knows(self, task: str) -> bool:
        """Return whether a task has a number."""
        return task in self._entries

    def found(self, host: str, task: Planned, tasks: Sequence[Planned], after: str | None) -> None:
        """Take in a task that a host came upon, and those that became known with it.

        They stand behind everything that is known of ``after``, a block or an include; else behind the latest step.
        """
        for entry, seen in self._seen.items():
            if host not in seen and _is_copy(task, self._tasks[entry]):
                self._entries[task.id] = entry
                return
        new = [each for each in tasks if each.id not in self._entries]
        self._insert(new, after)
        self._seen.update({each.id: set() for each in new})

    def start(self, host: str, task: str) -> str:
        """Note that a host starts a known task; return the entry to ask :meth:`number` for."""
        entry = self._entries[task]
        seen = self._seen.get(entry)
        if seen is not None and host in seen:  # a handler that was notified again
            again = Planned(f"{entry}+", self._tasks[entry].within, self._tasks[entry].source)
            self._insert([again], None)
            self._seen[again.id] = set()
            self._entries[task] = entry = again.id
        if entry in self._seen:
            self._seen[entry].add(host)
        self._latest = entry
        return entry

    def number(self, entry: str) -> int:
        """Return the number of an entry, counted from 1."""
        return self._order.index(entry) + 1

    def _insert(self, tasks: Iterable[Planned], after: str | None) -> None:
        place = self._place(after)
        for task in tasks:
            self._order.insert(place, task.id)
            self._tasks[task.id] = task
            self._entries[task.id] = task.id
            place += 1

    def _place(self, after: str | None) -> int:
        if after is not None:
            for place in range(len(self._order), 0, -1):
                task = self._tasks[self._order[place - 1]]
                if task.id == after or after in task.within:
                    return place
        if self._latest is not None:
            return self._order.index(self._latest) + 1
        return len(self._order) if after is not None or not self._order else 0


def _is_copy(one: Planned, other: Planned) -> bool:
    """Return whether two tasks were loaded from one place by one include; a role that is used twice is not a copy."""
    return bool(one.source) and one.source == other.source and one.within[:1] == other.within[:1]
