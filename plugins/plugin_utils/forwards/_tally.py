# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor counts, for all of its connections."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ._status import State


@dataclass(frozen=True)
class Counts:
    """The numbers at one moment."""

    connections: int = 0
    active: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    last_error: str | None = None


class Tally:
    """Counts. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections = self._active = self._up = self._down = 0
        self._last_error: str | None = None
        self._reached = True

    def begin(self) -> int:
        """Count a connection that was taken, and return its number."""
        with self._lock:
            self._connections += 1
            self._active += 1
            return self._connections

    def end(self) -> None:
        """Count a connection that is over."""
        with self._lock:
            self._active -= 1

    def moved(self, up: int, down: int) -> None:
        """Count bytes that went to the target and that came from it."""
        with self._lock:
            self._up += up
            self._down += down

    def reached(self) -> None:
        """Note that the far end took a connection."""
        self._reached = True

    def missed(self, reason: str) -> None:
        """Note why the far end did not."""
        with self._lock:
            self._reached = False
            self._last_error = reason

    def failed(self, reason: str) -> None:
        """Note why a connection could not go on."""
        with self._lock:
            self._last_error = reason

    @property
    def state(self) -> State:
        """Whether the far end was there when it was last tried."""
        return State.READY if self._reached else State.WAITING

    @property
    def active(self) -> int:
        """How many connections there are now."""
        return self._active

    def read(self) -> Counts:
        """Return the numbers, all of the same moment."""
        with self._lock:
            return Counts(self._connections, self._active, self._up, self._down, self._last_error)
