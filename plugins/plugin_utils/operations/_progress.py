# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a long action is, in words: what has moved, of how much, how fast, and how long the rest will take.

Where the words go, and how sizes are written, is for the edge to say (see plugin_utils/_display.py).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

_WINDOW_SECONDS = 10.0
"""The rate is that of the last so many seconds."""


@dataclass(frozen=True)
class Flow:
    """How far one stream is."""

    moved: int
    """Bytes so far."""
    total: int | None = None
    """Bytes in all, where that is known."""
    name: str = ""
    """Tells streams apart where there are several."""
    more: str = ""
    """What else is known of it, in words."""


Show = Callable[[str], None]
"""Puts a text where the user sees it."""


class Watcher(Protocol):
    """Is told of one stretch of an action while it runs."""

    def look(self, flows: Callable[[], Sequence[Flow]]) -> None:
        """Take note, if it is time to; ``flows`` says how far it is."""

    def finish(self) -> None:
        """Take note of its end."""


class Meter:
    """Says how far an action is, now and then.

    ``show`` is given each new text, ``clear`` is called once at the end if anything was shown. ``size`` writes a number
    of bytes. Nothing is shown before ``interval`` seconds have passed: what is over by then needs no progress.
    """

    def __init__(
        self,
        show: Show,
        size: Callable[[float], str],
        interval: float,
        clear: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._show = show
        self._size = size
        self._interval = interval
        self._clear = clear
        self._clock = clock
        self._started = clock()
        self._next = self._started + interval
        self._shown = False
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def look(self, flows: Callable[[], Sequence[Flow]]) -> None:
        """Show how far it is if it is time to; ``flows`` is only asked then."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._interval
        self._shown = True
        self._show(", ".join(self._describe(flow, now) for flow in flows()))

    def say(self, what: str) -> None:
        """Show what is being done, and for how long the action has run, if it is time to."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + self._interval
        self._shown = True
        self._show(f"{what}  {timedelta(seconds=round(now - self._started))}")

    def finish(self) -> None:
        """Take away what was shown, where it can be taken away; call it however the action ended."""
        if self._shown:
            self._shown = False
            self._clear()

    def _describe(self, flow: Flow, now: float) -> str:
        rate = self._rate(flow, now)
        words = [flow.name] if flow.name else []
        if flow.total:
            words.append(f"{min(100, 100 * flow.moved // flow.total)}%")
            words.append(f"{self._size(flow.moved)} of {self._size(flow.total)}")
        else:
            words.append(self._size(flow.moved))
        words.append(f"{self._size(rate)}/s")
        if flow.total and rate > 0:
            words.append(f"{timedelta(seconds=round(max(0, flow.total - flow.moved) / rate))} left")
        words += [flow.more] if flow.more else []
        return "  ".join(words)

    def _rate(self, flow: Flow, now: float) -> float:
        """Return bytes a second over the last while."""
        samples = self._samples.get(flow.name)
        if samples is None or samples[-1][1] > flow.moved:  # the first look, or the action began again
            since = self._started if samples is None else now - self._interval
            samples = self._samples[flow.name] = deque([(since, 0)])
        samples.append((now, flow.moved))
        while len(samples) > 2 and now - samples[0][0] > max(_WINDOW_SECONDS, 2 * self._interval):
            samples.popleft()
        then, moved = samples[0]
        return (flow.moved - moved) / (now - then) if now > then else 0.0
