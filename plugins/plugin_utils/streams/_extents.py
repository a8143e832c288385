# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a file, and how a script names them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

UNIT = 1 << 17
"""Bytes that dd reads and writes at once, as cat does; every extent begins at a multiple of it."""
_PIECE = 64 << 20
_MOST_PIECES = 2000  # so many fit into one argument with ease (MAX_ARG_STRLEN)


@dataclass(frozen=True)
class Extent:
    """A part of a file, in bytes; it ends at a multiple of UNIT too, or with the file."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


def total(extents: Iterable[Extent]) -> int:
    """Return how many bytes extents have together."""
    return sum(extent.length for extent in extents)


def words(extents: Sequence[Extent]) -> str:
    """Return extents for a shell's ``for``: where each begins and how long it is, in units."""
    return " ".join(f"{extent.start // UNIT}:{-(-extent.length // UNIT)}" for extent in extents)


def pieces(extents: Sequence[Extent]) -> tuple[Extent, ...]:
    """Return the same bytes in extents that are not longer than a piece, which grows with the whole."""
    least = -(-total(extents) // _MOST_PIECES)
    size = max(_PIECE, -(-least // UNIT) * UNIT)
    return tuple(
        Extent(start, min(size, extent.end - start))
        for extent in extents
        for start in range(extent.start, extent.end, size)
    )
