# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import hashlib
import os
import random
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils._linux import make_pipe
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import MARK_LENGTH, held_back, parse_mark
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pump import CopyPump, Wait
from hypothesis import given
from hypothesis import strategies as st

from unit.support import NONCE, FakeContext, Pipelines, command, encode_mark, sink

MARK = encode_mark(NONCE, 0, "-")
_capacities = st.one_of(
    st.sampled_from([0, 1, 2 * MARK_LENGTH - 1, 2 * MARK_LENGTH, 2 * MARK_LENGTH + 1, 4096, 10_007, 1 << 20]),
    st.integers(0, 100_000),
)


class _Reader:
    """A reader that takes as much as a test says."""

    def __init__(self) -> None:
        self.fd, self.target = make_pipe(4096)
        self.received = bytearray()
        self.open = True
        for fd in (self.fd, self.target):
            os.set_blocking(fd, False)

    def read(self, count: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self.received += os.read(self.fd, count)

    def leave(self) -> None:
        self.open = False
        os.close(self.fd)

    def close(self) -> None:
        if self.open:
            os.close(self.fd)
        os.close(self.target)


@given(
    size=st.one_of(st.integers(0, 3 * MARK_LENGTH), st.integers(0, 300_000)),
    seed=st.integers(0, 1000),
    capacity=_capacities,
    writes=st.lists(st.integers(1, 50_000), min_size=1, max_size=6),
    reads=st.lists(st.lists(st.integers(0, 50_000), min_size=1, max_size=4).filter(any), min_size=1, max_size=3),
    cut=st.one_of(st.just(0), st.integers(0, 3 * MARK_LENGTH)),
)
def test_every_reader_gets_the_whole_stream_through_any_buffer(
    size: int, seed: int, capacity: int, writes: list[int], reads: list[list[int]], cut: int
) -> None:
    whole = random.Random(seed).randbytes(size) + MARK
    stream = whole[: max(0, len(whole) - cut)]
    kept = held_back(stream)
    data, tail = stream[: len(stream) - kept], stream[len(stream) - kept :]
    source, write_end = make_pipe(65536)
    for fd in (source, write_end):
        os.set_blocking(fd, False)
    readers = [_Reader() for _each in reads]
    pump = CopyPump(source, [reader.target for reader in readers], checksum=True, capacity=capacity)
    position, turn, ended = 0, 0, False
    wait = Wait.DATA
    while wait is not Wait.END:
        if position < len(stream):
            with contextlib.suppress(BlockingIOError):
                position += os.write(write_end, stream[position : position + writes[turn % len(writes)]])
        elif not ended:
            ended = True
            os.close(write_end)
        wait = pump.step()
        assert len(pump.tail) <= MARK_LENGTH
        for reader, counts in zip(readers, reads, strict=True):
            reader.read(counts[turn % len(counts)])
        turn += 1
    for reader in readers:
        reader.read(1 << 20)
        assert reader.received == data
        reader.close()
    os.close(source)
    assert (pump.moved, pump.tail, pump.digest()) == (len(data), tail, hashlib.sha256(data).hexdigest())
    assert bool(parse_mark(pump.tail, NONCE)) is (cut == 0)


@given(size=st.integers(0, 60_000), capacity=st.integers(0, 70_000))
def test_a_pump_reads_ahead_by_its_buffer_and_no_further(size: int, capacity: int) -> None:
    capacity = max(capacity, 2 * MARK_LENGTH)
    source, write_end = make_pipe(65536)
    reader = _Reader()
    for fd in (source, write_end):
        os.set_blocking(fd, False)
    pump = CopyPump(source, [reader.target], checksum=False, capacity=capacity)
    os.write(write_end, bytes(size))
    while pump.step() is Wait.MORE:
        pass
    left = size - pump.moved - capacity
    for fd in (source, write_end):
        os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        assert len(os.read(source, 1 << 20)) == left
        left = 0
    assert left <= 0
    reader.close()
    os.close(source)
    os.close(write_end)


def test_a_reader_that_leaves_frees_the_buffer_for_the_others() -> None:
    source, write_end = make_pipe(65536)
    slow, fast = _Reader(), _Reader()
    for fd in (source, write_end):
        os.set_blocking(fd, False)
    pump = CopyPump(source, [slow.target, fast.target], checksum=False, capacity=5000)
    data = random.Random(1).randbytes(40_000)
    os.write(write_end, data)
    for _turn in range(30):
        pump.step()
        fast.read(65536)
    assert pump.step() is Wait.SPACE
    assert pump.blocked == (slow.target,), "the slow one governs"
    slow.leave()
    for _turn in range(30):
        pump.step()
        fast.read(65536)
    assert fast.received == data
    assert pump.targets == (fast.target,)
    for reader in (slow, fast):
        reader.close()
    os.close(source)
    os.close(write_end)


@pytest.mark.parametrize("after_a_filter", [False, True])
def test_a_writer_finishes_while_its_reader_does_something_else(
    pipelines: Pipelines, tmp_path: Path, after_a_filter: bool
) -> None:
    """The reader begins to read only after the writer has ended: the data fits in the buffer."""
    size, done = 6 << 20, tmp_path / "done"
    os.mkfifo(done)
    writer = command(f"head -c {size} /dev/zero; echo >{done}", name="writer")
    filters = [command("cat")] if after_a_filter else []
    if after_a_filter:
        writer = command(f"head -c {size} /dev/zero", name="writer")
        filters = [command(f"cat; echo >{done}", name="filter")]
    reader = command(f"read -r _ <{done}; wc -c", name="reader", buffer="8M")
    result = pipelines.run(writer, *filters, reader, timeout=20)
    assert result.msg is None
    assert result.stdout is not None and int(result.stdout) == size


def test_a_buffer_for_one_branch_serves_the_writer_of_both(pipelines: Pipelines, tmp_path: Path) -> None:
    size, done = 6 << 20, tmp_path / "done"
    os.mkfifo(done)
    result = pipelines.run(
        command(f"head -c {size} /dev/zero; echo >{done}", name="writer"),
        sink(tmp_path / "file"),
        command(f"read -r _ <{done}; wc -c", input="writer", buffer="8M"),
        timeout=20,
    )
    assert result.msg is None
    assert (tmp_path / "file").stat().st_size == size
    assert result.stdout is not None and int(result.stdout) == size


@pytest.mark.parametrize("buffer", ["1", "100", "100K", "3M"])
@pytest.mark.parametrize("checksum", [False, True])
def test_any_buffer_passes_everything_on(pipelines: Pipelines, tmp_path: Path, buffer: str, checksum: bool) -> None:
    data = random.Random(1).randbytes(1_000_000)
    (tmp_path / "data").write_bytes(data)
    pipelines.add(FakeContext("db"))
    result = pipelines.run(
        {"name": "read", "src": str(tmp_path / "data")},
        command("cat", "db", buffer=buffer),
        sink(tmp_path / "file", "db", buffer=buffer),
        checksum=checksum,
    )
    assert result.msg is None
    assert (tmp_path / "file").read_bytes() == data
