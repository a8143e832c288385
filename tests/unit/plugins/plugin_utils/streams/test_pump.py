# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils._linux import make_pipe
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import MARK_LENGTH, Mark, parse_mark
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pump import (
    CHUNK,
    CapturePump,
    CopyPump,
    Pump,
    SplicePump,
    Wait,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unit.support import EVERY_BYTE, NONCE, encode_mark

MARK = encode_mark(NONCE, 0, "-")
Making = Callable[[int, int], Pump]


def _hashing(source: int, target: int) -> Pump:
    return CopyPump(source, [target], checksum=True, capacity=5000)


def _plain_copy(source: int, target: int) -> Pump:
    return CopyPump(source, [target], checksum=False, capacity=4096)


def _splice(source: int, target: int) -> Pump:
    return SplicePump(source, target, checksum=False)


def _hashing_splice(source: int, target: int) -> Pump:
    return SplicePump(source, target, checksum=True)


WAYS = {"splice": _splice, "splice and hash": _hashing_splice, "copy": _plain_copy, "copy and hash": _hashing}
HASHING = (_hashing, _hashing_splice)


def _digest(make: Making, data: bytes | bytearray) -> str | None:
    """Return what a pump has to say it passed on."""
    return hashlib.sha256(data).hexdigest() if make in HASHING else None


copying = pytest.mark.parametrize("make", WAYS.values(), ids=WAYS)


_edges = [0, 1, MARK_LENGTH - 1, MARK_LENGTH, MARK_LENGTH + 1, 4096, 65536, CHUNK - 1, CHUNK, CHUNK + MARK_LENGTH + 1]
_small = st.integers(0, 3 * MARK_LENGTH)
_large = st.one_of(st.sampled_from(_edges), st.integers(0, 3 << 20))


@st.composite
def _data(draw: st.DrawFn, sizes: st.SearchStrategy[int]) -> bytes:
    """Data of every byte value; what hypothesis would have to draw byte by byte comes from a seed."""
    size = draw(sizes)
    if draw(st.booleans()):
        return (EVERY_BYTE * (size // 256 + 1))[:size]
    # the beginnings of marks and whole marks of others are data too
    filling = random.Random(draw(st.integers(0, 1000))).randbytes(size)
    return (MARK[: draw(_small)] + encode_mark("f" * 32, 0, "-") + filling)[:size]


# A case is data, the sizes in which it is written, those in which it is read, and the size of the pipes.
_small_cases = st.tuples(
    _data(_small),
    st.lists(st.integers(1, 2 * MARK_LENGTH), min_size=1, max_size=8),
    st.lists(st.integers(1, 2 * MARK_LENGTH), min_size=1, max_size=4),
    st.sampled_from([4096, 65536]),
)
_large_cases = st.tuples(
    _data(_large),
    st.lists(st.integers(10_000, 1 << 20), min_size=1, max_size=5),
    st.lists(st.integers(20_000, 1 << 20), min_size=1, max_size=3),
    st.sampled_from([4096, 65536, 1 << 20]),
)
cases = st.one_of(_small_cases, _large_cases)


class _Line:
    """A writer, a pump and a reader in one thread, so that every interleaving can be had."""

    def __init__(self, make: Making, pipe_size: int) -> None:
        source, self._write_end = make_pipe(pipe_size)
        self._read_end, target = make_pipe(pipe_size)
        self._open = {source, self._write_end, self._read_end, target}
        for fd in self._open:
            os.set_blocking(fd, False)
        self.pump = make(source, target)
        self.written = 0
        self.received = bytearray()

    def write(self, data: bytes | memoryview) -> int:
        try:
            count = os.write(self._write_end, data)
        except BlockingIOError:
            return 0
        self.written += count
        return count

    def end(self) -> None:
        self._close(self._write_end)

    def read(self, count: int) -> int:
        try:
            data = os.read(self._read_end, count)
        except BlockingIOError:
            return 0
        self.received += data
        return len(data)

    def leave(self) -> None:
        """Close the reader's end."""
        self._close(self._read_end)

    def run(self, stream: bytes, writes: Sequence[int], reads: Sequence[int]) -> None:
        """Move a whole stream."""
        view, position, turn = memoryview(stream), 0, 0
        wait = Wait.DATA
        while wait is not Wait.END:
            if position < len(stream):
                position += self.write(view[position : position + writes[turn % len(writes)]])
            elif self._write_end in self._open:
                self.end()
            wait = self.pump.step()
            assert wait is not Wait.REFUSED
            self.read(reads[turn % len(reads)])
            turn += 1
        while self.read(1 << 20):
            pass

    def _close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    def close(self) -> None:
        self.pump.close()
        for fd in list(self._open):
            self._close(fd)


@contextlib.contextmanager
def _line(make: Making, pipe_size: int = 65536) -> Iterator[_Line]:
    line = _Line(make, pipe_size)
    try:
        yield line
    finally:
        line.close()


@copying
@settings(max_examples=60, deadline=None)
@given(case=cases)
def test_a_whole_stream_arrives_without_its_mark(make: Making, case: tuple[bytes, list[int], list[int], int]) -> None:
    data, writes, reads, pipe_size = case
    with _line(make, pipe_size) as line:
        line.run(data + MARK, writes, reads)
        assert line.received == data
        assert line.pump.moved == len(data)
        assert parse_mark(line.pump.tail, NONCE) == Mark(0, None, False)
        assert line.pump.digest() == _digest(make, data)


@copying
@settings(max_examples=60, deadline=None)
@given(case=cases, cut=st.one_of(st.integers(0, 2 * MARK_LENGTH), st.integers(0, 4 << 20)))
def test_a_stream_cut_anywhere_has_no_mark_and_loses_no_byte(
    make: Making, case: tuple[bytes, list[int], list[int], int], cut: int
) -> None:
    data, writes, reads, pipe_size = case
    stream = data + MARK
    kept = stream[: max(0, len(stream) - 1 - cut)]
    assume(not kept.endswith(MARK))  # data that holds this run's number by chance is beyond proof
    with _line(make, pipe_size) as line:
        line.run(kept, writes, reads)
        assert parse_mark(line.pump.tail, NONCE) is None
        assert line.received + line.pump.tail == kept
        assert line.pump.moved == len(line.received)
        assert line.pump.digest() == _digest(make, line.received)


@settings(max_examples=60, deadline=None)
@given(case=cases, limit=st.one_of(st.integers(0, 400), st.integers(0, 4 << 20)))
def test_output_is_captured_to_its_limit_and_counted_to_its_end(
    case: tuple[bytes, list[int], list[int], int], limit: int
) -> None:
    data, writes, reads, pipe_size = case
    with _line(lambda source, _target: CapturePump(source, limit), pipe_size) as line:
        line.run(data + MARK, writes, reads)
        pump = line.pump
        assert isinstance(pump, CapturePump)
        assert pump.captured == data[:limit]
        assert pump.cut == (len(data) > limit)
        assert pump.moved == len(data)
        assert parse_mark(pump.tail, NONCE)
        assert pump.targets == () and pump.digest() is None


@settings(max_examples=30, deadline=None)
@given(case=_small_cases, cut=st.integers(1, MARK_LENGTH))
def test_captured_output_that_was_cut_has_no_mark(case: tuple[bytes, list[int], list[int], int], cut: int) -> None:
    data, writes, reads, pipe_size = case
    kept = (data + MARK)[:-cut]
    assume(not kept.endswith(MARK))
    with _line(lambda source, _target: CapturePump(source, 1 << 20), pipe_size) as line:
        line.run(kept, writes, reads)
        assert parse_mark(line.pump.tail, NONCE) is None
        assert isinstance(line.pump, CapturePump)
        assert line.pump.captured + line.pump.tail == kept


@copying
def test_every_byte_value_passes_one_by_one(make: Making) -> None:
    with _line(make) as line:
        line.run(EVERY_BYTE + MARK, [1], [1])
        assert line.received == EVERY_BYTE


@copying
def test_a_short_line_does_not_wait_for_what_comes_after_it(make: Making) -> None:
    with _line(make) as line:
        line.write(b"ready\n")
        line.pump.step()
        line.read(100)
        assert line.received == b"ready\n"


@copying
def test_a_mark_written_in_two_parts_is_read(make: Making) -> None:
    with _line(make) as line:
        line.write(b"data" + MARK[:30])
        assert line.pump.step() is Wait.DATA
        line.write(MARK[30:])
        assert line.pump.step() is Wait.DATA
        assert parse_mark(line.pump.tail, NONCE), "a stage that lingers is known by its mark before its end"
        line.end()
        assert line.pump.step() is Wait.END
        line.read(100)
        assert line.received == b"data"


@copying
def test_data_after_something_like_a_mark_shows_that_it_was_data(make: Making) -> None:
    with _line(make) as line:
        line.run(MARK + b"more" + MARK, [MARK_LENGTH, 4, MARK_LENGTH], [4096])
        assert line.received == MARK + b"more"


@copying
def test_a_reader_that_is_slow_makes_the_pump_wait_and_loses_nothing(make: Making) -> None:
    data = EVERY_BYTE * 64  # four pages through a pipe of one
    with _line(make, 4096) as line:
        waits = []
        view = memoryview(data + MARK)
        while line.written < len(view):
            if not line.write(view[line.written :]):
                waits.append(line.pump.step())
                if waits[-1] is Wait.SPACE:
                    line.read(1000)
        line.end()
        while (wait := line.pump.step()) is not Wait.END:
            assert wait is not Wait.REFUSED
            line.read(1000)
        while line.read(4096):
            pass
        assert Wait.SPACE in waits
        assert line.received == data


@copying
@pytest.mark.parametrize("size", [MARK_LENGTH + 1, 3 * MARK_LENGTH, 60_000])
def test_a_closed_reader_is_told_from_a_slow_one(make: Making, size: int) -> None:
    with _line(make) as line:
        line.leave()
        line.write(bytes(size))
        assert line.pump.step() is Wait.REFUSED
        assert line.pump.moved == 0
        assert line.pump.step() is Wait.REFUSED, "asked again, it says the same"


@copying
def test_a_reader_that_leaves_in_the_middle_is_noticed_at_the_next_byte(make: Making) -> None:
    with _line(make) as line:
        line.write(bytes(1000))
        assert line.pump.step() is Wait.DATA
        moved = line.pump.moved
        line.read(10)
        line.leave()
        line.write(bytes(1000))
        assert line.pump.step() is Wait.REFUSED
        assert line.pump.moved == moved == 1000


@pytest.mark.parametrize("make", [*WAYS.values(), lambda source, _target: CapturePump(source, 10)])
def test_a_stream_that_never_had_a_byte_ends_without_a_mark(make: Making) -> None:
    with _line(make) as line:
        assert line.pump.step() is Wait.DATA
        line.end()
        assert line.pump.step() is Wait.END
        assert line.pump.tail == b""
        assert line.pump.moved == 0


@pytest.mark.parametrize("make", HASHING)
def test_an_empty_stream_has_the_digest_of_nothing(make: Making) -> None:
    with _line(make) as line:
        line.run(MARK, [7], [1])
        assert line.pump.digest() == hashlib.sha256(b"").hexdigest()
