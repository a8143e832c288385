# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the step that holds up a pipeline."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ._part import Part


@dataclass(frozen=True)
class Blame:
    """A step that holds up the others, and how."""

    part: Part
    why: str


def blocking(parts: Sequence[Part]) -> Blame:
    """Return the step that the others wait for.

    A step that does not take what it is given stops everything before it, so the last such step is to blame; if
    there is none, it is the first step that gives nothing.
    """
    waiting = [part for part in parts if not part.settled]
    for part in reversed(waiting):
        pump = part.stage.pump
        if pump is not None:
            blocked = pump.blocked
            for reader in part.readers:
                if reader.stage.stdin in blocked:
                    return Blame(reader, "does not read its input")
    first = waiting[0] if waiting else parts[-1]
    if first.writer is None:
        return Blame(first, "does not write")
    return Blame(first, "was given all its input and neither writes nor ends")


class Watch:
    """Notices that not a byte has moved for some time."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._seen: tuple[int, int] = (-1, -1)
        self._since = time.monotonic()

    def look(self, parts: Sequence[Part]) -> Blame | None:
        """Return who is to blame for a stall, None if something moved or ended lately."""
        if self._seconds is None:
            return None
        moved = sum(part.stage.pump.moved for part in parts if part.stage.pump)
        now = time.monotonic()
        seen = (moved, sum(part.settled for part in parts))
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < self._seconds:
            return None
        self._since = now
        waiting = [part for part in parts if not part.settled and not part.reads_back]
        return blocking(waiting) if waiting else None
