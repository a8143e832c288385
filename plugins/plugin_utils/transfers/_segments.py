# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of a file have to be sent, and which of them each stream takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..streams._extents import UNIT, Extent, total

SEGMENT = 16 << 20
"""Bytes that are proven, or sent again, as one."""


def whole(size: int) -> tuple[Extent, ...]:
    """Return a file as one extent."""
    return (Extent(0, size),) if size else ()


def segments(size: int) -> list[Extent]:
    """Return a file as segments."""
    return [Extent(start, min(SEGMENT, size - start)) for start in range(0, size, SEGMENT)]


def missing(size: int, proven: Sequence[bool]) -> tuple[Extent, ...]:
    """Return what has to be sent of a file, of whose segments, from its start on, so many were looked at."""
    known = [*proven, *[False] * len(segments(size))]
    return _joined(segment for segment, good in zip(segments(size), known, strict=False) if not good)


def leading(proven: Sequence[bool]) -> int:
    """Return how many of the first segments are proven without a gap."""
    return next((at for at, good in enumerate(proven) if not good), len(proven))


def common(one: Iterable[Extent], start: int) -> tuple[Extent, ...]:
    """Return the parts of extents from ``start`` on."""
    return tuple(
        Extent(max(start, extent.start), extent.end - max(start, extent.start)) for extent in one if extent.end > start
    )


def spread(extents: Sequence[Extent], streams: int) -> list[tuple[Extent, ...]]:
    """Return extents in as many parts of much the same size as there are streams, or fewer where there is little."""
    parts: list[list[Extent]] = []
    left, room = total(extents), 0
    for extent in extents:
        start = extent.start
        while start < extent.end:
            if room <= 0:
                share = -(-left // (streams - len(parts)))
                room = -(-share // UNIT) * UNIT
                parts.append([])
            length = min(room, extent.end - start)
            # a part of the unit is at the end of the file only
            parts[-1].append(Extent(start, length))
            start, room, left = start + length, room - length, left - length
    return [tuple(part) for part in parts]


def with_data(ranges: Iterable[tuple[int, int]], size: int, most: int) -> tuple[Extent, ...]:
    """Return the extents that hold given ranges (start, end) of a file, at most so many; what is between is a hole."""
    rounded = [
        Extent(start // UNIT * UNIT, min(size, -(-end // UNIT) * UNIT) - start // UNIT * UNIT)
        for start, end in ranges
        if end > start
    ]
    extents, gap = _joined(rounded), UNIT
    while len(extents) > most:
        gap *= 2
        extents = _joined(extents, gap)
    return extents


def _joined(extents: Iterable[Extent], gap: int = 0) -> tuple[Extent, ...]:
    """Return extents, in order, with those in one that are no further apart than ``gap``."""
    found: list[Extent] = []
    for extent in extents:
        if found and extent.start - found[-1].end <= gap:
            last = found.pop()
            extent = Extent(last.start, max(last.end, extent.end) - last.start)
        found.append(extent)
    return tuple(found)
