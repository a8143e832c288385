# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parts of a file are sent, and by which stream."""

from __future__ import annotations

from ansible_collections.manifold.core.plugins.plugin_utils.streams._extents import UNIT, Extent, pieces, total
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._segments import (
    SEGMENT,
    common,
    leading,
    missing,
    spread,
    whole,
    with_data,
)
from hypothesis import given
from hypothesis import strategies as st

SIZES = st.integers(0, 40 * SEGMENT)


def covered(extents: list[Extent]) -> list[tuple[int, int]]:
    """Return the bytes that extents hold, as ranges that do not touch; raise AssertionError if they overlap."""
    found: list[tuple[int, int]] = []
    for extent in extents:
        assert extent.start % UNIT == 0 and extent.length > 0
        assert not found or extent.start >= found[-1][1]
        if found and found[-1][1] == extent.start:
            found[-1] = (found[-1][0], extent.end)
        else:
            found.append((extent.start, extent.end))
    return found


@given(SIZES, st.lists(st.booleans(), max_size=45), st.integers(1, 32))
def test_every_byte_is_either_proven_or_sent_by_one_stream(size: int, proven: list[bool], streams: int) -> None:
    rest = missing(size, proven)
    good = sum(min(SEGMENT, size - at * SEGMENT) for at, known in enumerate(proven) if known and at * SEGMENT < size)
    assert total(rest) == size - good
    parts = spread(rest, streams)
    assert len(parts) <= streams
    sent = [extent for part in parts for extent in part]
    assert covered(sent) == covered(list(rest))
    assert covered(list(pieces(sent))) == covered(list(rest))
    if total(rest) >= streams * UNIT:
        assert len(parts) == streams
        assert max(total(part) for part in parts) - min(total(part) for part in parts) <= streams * UNIT


@given(SIZES, st.lists(st.tuples(SIZES, SIZES), max_size=30), st.integers(1, 5))
def test_all_data_is_in_no_more_extents_than_asked_for(size: int, pairs: list[tuple[int, int]], most: int) -> None:
    data = sorted((min(pair), max(pair)) for pair in pairs if max(pair) <= size)
    extents = with_data(data, size, most)
    assert len(extents) <= most
    ranges = covered(list(extents))
    for start, end in data:
        assert start == end or any(low <= start and end <= high for low, high in ranges)
    assert not ranges or ranges[-1][1] <= size


def test_what_comes_behind_a_point_is_cut_out() -> None:
    assert common(whole(10 * UNIT), 4 * UNIT) == (Extent(4 * UNIT, 6 * UNIT),)
    assert common((Extent(0, UNIT), Extent(8 * UNIT, 5)), 4 * UNIT) == (Extent(8 * UNIT, 5),)
    assert leading([True, True, False, True]) == 2
