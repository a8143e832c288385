# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits how fast a stream is read from its source."""

from __future__ import annotations

import time
from collections.abc import Callable

_WINDOW_SECONDS = 0.1
"""How much of the limit may go at once."""


class Throttle:
    """A token bucket: ``rate`` bytes a second, shared by whatever asks it."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._most = max(1.0, rate * _WINDOW_SECONDS)
        self._tokens = self._most
        self._at = clock()

    def allowed(self) -> int:
        """Return how many bytes may be moved now."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        """Take note that bytes were moved."""
        self._tokens -= count
