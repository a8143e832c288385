# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults and counters of one direction of a relay. Thread-safe; it moves no byte itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum


class Cut(Enum):
    """How a connection ends when it is cut."""

    FIN = "fin"
    """In order: each side reads end of file after the bytes that were let through."""
    RST = "rst"
    """With a reset: each side gets an error, and what was under way may be lost."""


class Line:
    """One direction of every connection of a relay.

    ``cut_after`` and ``stall_after`` count bytes from the call on, over all connections together.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._changed = threading.Condition()
        self._delay = 0.0
        self._taken = 0
        self._bytes = 0
        self._stall_at: int | None = None
        self._cut_at: int | None = None
        self._cut = Cut.FIN

    @property
    def delay(self) -> float:
        """Seconds that each byte takes from one side to the other; throughput does not suffer from it."""
        with self._changed:
            return self._delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        with self._changed:
            self._delay = seconds

    @property
    def bytes(self) -> int:
        """The bytes let through since the relay was made."""
        with self._changed:
            return self._bytes

    def wait_bytes(self, count: int, timeout: float = 30) -> bool:
        """Wait until ``count`` bytes in all have been let through; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self._bytes >= count, timeout)

    def wait_taken(self, count: int, timeout: float = 30) -> bool:
        """Wait until ``count`` bytes in all have come into the relay, let through or not; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self._taken >= count, timeout)

    def cut_after(self, count: int, how: Cut = Cut.FIN) -> None:
        """Cut every connection once, as soon as ``count`` more bytes have been let through."""
        with self._changed:
            self._cut_at, self._cut = self._bytes + count, how
        self._wake()

    def stall_after(self, count: int) -> None:
        """Let ``count`` more bytes through, then none until :meth:`resume`; connections stay open."""
        with self._changed:
            self._stall_at = self._bytes + count
        self._wake()

    def resume(self) -> None:
        """End a stall."""
        with self._changed:
            self._stall_at = None
        self._wake()

    # for the relay

    def allowance(self, wanted: int) -> int:
        """Return how many of the wanted bytes may be let through now."""
        with self._changed:
            limits = [limit - self._bytes for limit in (self._stall_at, self._cut_at) if limit is not None]
            return max(0, min(wanted, *limits)) if limits else wanted

    def took(self, count: int) -> None:
        """Count bytes that came in."""
        with self._changed:
            self._taken += count
            self._changed.notify_all()

    def passed(self, count: int) -> None:
        """Count bytes that were let through."""
        with self._changed:
            self._bytes += count
            self._changed.notify_all()

    def take_cut(self) -> Cut | None:
        """Return how to cut if it is time to, and forget it."""
        with self._changed:
            if self._cut_at is None or self._bytes < self._cut_at:
                return None
            self._cut_at = None
            return self._cut
