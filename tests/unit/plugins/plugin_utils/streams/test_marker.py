# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import (
    EARLY,
    MARK_LENGTH,
    PRINTF_FORMAT,
    UNCOUNTED,
    Mark,
    new_nonce,
    parse_mark,
)
from hypothesis import given
from hypothesis import strategies as st

from unit.support import NONCE, Shell, encode_mark

nonces = st.text("0123456789abcdef", min_size=32, max_size=32)
statuses = st.integers(0, 255)
counts = st.one_of(st.just(UNCOUNTED), st.just(EARLY), st.integers(0, 10**20 - 1).map(str))


@given(nonces, statuses, counts)
def test_a_mark_says_what_the_stage_said(nonce: str, rc: int, count: str) -> None:
    mark = encode_mark(nonce, rc, count)
    assert len(mark) == MARK_LENGTH
    given_bytes = int(count) if count.isdigit() else None
    assert parse_mark(mark, nonce) == Mark(rc, given_bytes, count == EARLY)


@given(st.binary(max_size=2 * MARK_LENGTH))
def test_data_is_not_a_mark(data: bytes) -> None:
    assert parse_mark(data, NONCE) is None


@given(nonces, nonces, statuses, counts)
def test_the_mark_of_another_stage_is_data(ours: str, theirs: str, rc: int, count: str) -> None:
    assert (parse_mark(encode_mark(theirs, rc, count), ours) is not None) == (ours == theirs)


@given(statuses, counts, st.data())
def test_a_mark_that_was_cut_anywhere_is_none(rc: int, count: str, data: st.DataObject) -> None:
    mark = encode_mark(NONCE, rc, count)
    start, end = sorted((data.draw(st.integers(0, MARK_LENGTH)), data.draw(st.integers(0, MARK_LENGTH))))
    if (start, end) != (0, MARK_LENGTH):
        assert parse_mark(mark[start:end], NONCE) is None


@given(statuses, counts, st.integers(0, MARK_LENGTH - 1), st.integers(0, 255))
def test_a_changed_byte_is_noticed_or_read_as_it_stands(rc: int, count: str, position: int, byte: int) -> None:
    original = encode_mark(NONCE, rc, count)
    changed = bytearray(original)
    changed[position] = byte
    mark = parse_mark(bytes(changed), NONCE)
    if mark is not None:
        assert changed[:42] == original[:42], "head and nonce"
        said = EARLY if mark.closed_early else UNCOUNTED if mark.bytes_given is None else str(mark.bytes_given)
        fields = bytes(changed[42:]).split()
        assert int(fields[0]) == mark.rc
        assert fields[1].decode().lstrip("0") == said.lstrip("0")


@pytest.mark.parametrize("count", ["", "1 2", "latest", "-1", "early1"])
def test_a_count_that_is_none_is_no_proof(count: str) -> None:
    assert parse_mark(encode_mark(NONCE, 0, count), NONCE) is None


@given(st.binary(max_size=300), nonces, statuses, counts)
def test_only_the_last_bytes_of_a_stream_are_a_mark(data: bytes, nonce: str, rc: int, count: str) -> None:
    mark = encode_mark(nonce, rc, count)
    stream = mark + data + mark
    assert parse_mark(stream[-MARK_LENGTH:], nonce) == parse_mark(mark, nonce)
    if data:
        assert parse_mark((mark + data)[-MARK_LENGTH:], nonce) is None


@pytest.mark.parametrize(
    ("rc", "count", "mark"),
    [
        (0, UNCOUNTED, Mark(0, None, False)),
        (9, "08", Mark(9, 8, False)),
        (255, EARLY, Mark(255, None, True)),
        (137, "18446744073709551615", Mark(137, 2**64 - 1, False)),
    ],
)
def test_a_real_printf_writes_what_is_read(shell: Shell, rc: int, count: str, mark: Mark) -> None:
    written = shell.run(f"printf '{PRINTF_FORMAT}' {NONCE} {rc} {count}").stdout
    assert parse_mark(written, NONCE) == mark


def test_no_two_stages_share_a_nonce() -> None:
    assert len({new_nonce() for _each in range(1000)}) == 1000
    assert all(parse_mark(encode_mark(nonce, 0, "-"), nonce) for nonce in [new_nonce()])
