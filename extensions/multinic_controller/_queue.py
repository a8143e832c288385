# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be looked at, each thing by one worker at a time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class WorkQueue:
    """Keys that wait for a worker. Thread-safe.

    A key that is added while it waits is there once; one that is added while somebody works on it comes again after
    that, never beside it. Each key has at most one timer.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, None] = {}
        self._busy: dict[str, float] = {}
        self._again: set[str] = set()
        self._timers: list[tuple[float, int, str]] = []
        self._due: dict[str, int] = {}
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def add(self, key: str) -> None:
        """Let a key be looked at as soon as a worker is free."""
        with self._changed:
            self._add(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Let a key be looked at in so many seconds; this replaces its timer."""
        with self._changed:
            number = next(self._numbers)
            self._due[key] = number
            heapq.heappush(self._timers, (self._clock() + max(0.0, seconds), number, key))
            self._changed.notify()

    def forget(self, key: str) -> None:
        """Drop the timer of a key."""
        with self._changed:
            self._due.pop(key, None)

    def take(self) -> str | None:
        """Wait for a key and return it, None once the queue is closed; the caller says ``done`` at its end."""
        with self._changed:
            while not self._closed:
                self._ring()
                if self._waiting:
                    key = next(iter(self._waiting))
                    del self._waiting[key]
                    self._busy[key] = self._clock()
                    return key
                self._changed.wait(max(0.0, self._timers[0][0] - self._clock()) if self._timers else None)
            return None

    def done(self, key: str) -> None:
        """Say that nobody works on a key any more."""
        with self._changed:
            del self._busy[key]
            if key in self._again:
                self._again.remove(key)
                self._add(key)

    def close(self) -> None:
        """Let every worker go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return how many keys wait for a worker; timers do not count."""
        with self._changed:
            return len(self._waiting) + len(self._again)

    def longest(self) -> float:
        """Return for how many seconds the slowest worker has been at its key."""
        with self._changed:
            return self._clock() - min(self._busy.values(), default=self._clock())

    def _add(self, key: str) -> None:
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = None
            self._changed.notify()

    def _ring(self) -> None:
        """Add the keys whose timers are due; a timer that was replaced is passed over."""
        while self._timers and self._timers[0][0] <= self._clock():
            _when, number, key = heapq.heappop(self._timers)
            if self._due.get(key) == number:
                del self._due[key]
                self._add(key)
