# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits for descriptors and calls whoever watches them: the one thread that moves every stream of an operation."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE

_TICK_SECONDS = 0.25
"""How often the condition is looked at when nothing happens."""
_NAP_SECONDS = 0.001
_ENOUGH = 1 << 19


class DeadlineReached(Exception):
    """The condition that was waited for did not come true in time."""


class Loop:
    """Level-triggered event loop; callbacks return the bytes of data they moved."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._later: list[tuple[float, Callable[[], int]]] = []

    def watch(self, fd: int, events: int, callback: Callable[[], int]) -> None:
        """Call ``callback`` whenever ``fd`` is ready; a second call for one descriptor replaces the first."""
        try:
            self._selector.modify(fd, events, callback)
        except KeyError:
            self._selector.register(fd, events, callback)

    def unwatch(self, fd: int) -> None:
        """Stop watching ``fd``; a descriptor that is not watched is ignored."""
        try:
            self._selector.unregister(fd)
        except KeyError:
            return

    def later(self, seconds: float, callback: Callable[[], int]) -> None:
        """Call ``callback`` once, after some time."""
        self._later.append((time.monotonic() + seconds, callback))

    def _call_due(self) -> int:
        """Call what is due; return the bytes that moved."""
        now = time.monotonic()
        due = [callback for when, callback in self._later if when <= now]
        self._later = [(when, callback) for when, callback in self._later if when > now]
        return sum(callback() for callback in due)

    def run(self, until: Callable[[], bool], deadline: float | None = None) -> None:
        """Serve descriptors until ``until()`` is true; raise DeadlineReached at ``deadline`` (time.monotonic)."""
        while not until():
            wait = min([_TICK_SECONDS, *(max(0.0, when - time.monotonic()) for when, _callback in self._later)])
            if deadline is not None:
                wait = min(wait, deadline - time.monotonic())
                if wait <= 0:
                    raise DeadlineReached
            moved = self._call_due()
            for key, _events in self._selector.select(wait):
                # An earlier callback of this round may have ended the watch.
                if self._selector.get_map().get(key.fd) is key:
                    moved += key.data()
            if 0 < moved < _ENOUGH:
                # Let the writers fill their pipes: many small wake-ups cost more than all the moving.
                time.sleep(_NAP_SECONDS)

    def close(self) -> None:
        """Forget every watch."""
        self._later.clear()
        self._selector.close()
