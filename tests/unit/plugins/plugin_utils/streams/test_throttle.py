# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils._linux import make_pipe
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import MARK_LENGTH, parse_mark
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pump import CopyPump, Pump, SplicePump, Wait
from ansible_collections.manifold.core.plugins.plugin_utils.streams._throttle import Throttle
from hypothesis import given
from hypothesis import strategies as st

from unit.support import NONCE, encode_mark

MARK = encode_mark(NONCE, 0, "-")


class _Clock:
    """Time that passes when a test says so."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now


def _burst(rate: float) -> float:
    return max(1.0, rate / 10)


@given(
    rate=st.floats(0.5, 1e12),
    start=st.floats(0, 1e6),
    turns=st.lists(st.tuples(st.floats(0, 1000), st.integers(0, 1 << 20)), max_size=60),
)
def test_no_more_than_the_limit_and_a_burst_ever_passes(
    rate: float, start: float, turns: list[tuple[float, int]]
) -> None:
    clock = _Clock(start)
    throttle = Throttle(rate, clock)
    passed = 0
    for seconds, wanted in turns:
        clock.now += seconds
        count = min(wanted, throttle.allowed())
        assert count >= 0
        throttle.spend(count)
        passed += count
        assert passed <= (rate * (clock.now - start) + _burst(rate)) * (1 + 1e-6) + 1e-3


@given(rate=st.floats(0.5, 1e9))
def test_a_stream_never_starves(rate: float) -> None:
    clock = _Clock()
    throttle = Throttle(rate, clock)
    throttle.spend(throttle.allowed())
    clock.now += 1.01 / rate
    assert throttle.allowed() >= 1


@given(rate=st.floats(100, 1e9), tick=st.floats(0.001, 0.05))
def test_a_stream_that_always_has_more_gets_its_limit(rate: float, tick: float) -> None:
    clock = _Clock()
    throttle = Throttle(rate, clock)
    passed = 0
    while clock.now < 2:
        clock.now += tick
        count = throttle.allowed()
        throttle.spend(count)
        passed += count
    assert passed >= 0.9 * rate * clock.now - 2


def test_what_was_not_used_is_not_saved_up() -> None:
    clock = _Clock()
    throttle = Throttle(1000, clock)
    clock.now += 3600
    assert throttle.allowed() == 100


@pytest.mark.parametrize("copying", [False, True], ids=["splice", "copy"])
@pytest.mark.parametrize("piece", [1, 10, MARK_LENGTH, MARK_LENGTH + 1, 5000])
def test_a_pump_keeps_to_the_limit_whatever_comes_at_once(copying: bool, piece: int) -> None:
    rate, clock = 1000, _Clock()
    throttle = Throttle(rate, clock)
    with _pump(throttle, copying) as (pump, write_end, read_end):
        data = bytes(range(250)) * 40
        sent, received = 0, bytearray()
        while clock.now < 5:
            if sent < len(data):
                sent += os.write(write_end, data[sent : sent + piece])
            assert pump.step() in (Wait.TIME, Wait.DATA)
            assert pump.moved + len(pump.tail) <= rate * clock.now + _burst(rate) + MARK_LENGTH
            clock.now += 0.01
            with contextlib.suppress(BlockingIOError):
                received += os.read(read_end, 1 << 16)
        assert data.startswith(received)
        if piece >= 10:
            assert pump.moved >= 0.9 * rate * clock.now, "the limit is reached"


@pytest.mark.parametrize("copying", [False, True], ids=["splice", "copy"])
def test_a_limited_stream_arrives_whole(copying: bool) -> None:
    clock = _Clock()
    data = bytes(range(256)) * 8
    with _pump(Throttle(1000, clock), copying) as (pump, write_end, read_end):
        os.write(write_end, data + MARK)
        received, marked = bytearray(), None
        while marked is None:
            assert pump.step() in (Wait.TIME, Wait.DATA)
            marked = parse_mark(pump.tail, NONCE)
            with contextlib.suppress(BlockingIOError):
                received += os.read(read_end, 1 << 16)
            clock.now += 0.02
            assert clock.now < 60
        assert received == data
        assert clock.now >= (len(data) - _burst(1000)) / 1000


@contextlib.contextmanager
def _pump(throttle: Throttle, copying: bool) -> Iterator[tuple[Pump, int, int]]:
    source, write_end = make_pipe(1 << 16)
    read_end, target = make_pipe(1 << 16)
    for fd in (source, write_end, read_end, target):
        os.set_blocking(fd, False)
    if copying:
        yield CopyPump(source, [target], checksum=False, throttle=throttle), write_end, read_end
    else:
        yield SplicePump(source, target, checksum=False, throttle=throttle), write_end, read_end
    for fd in (source, write_end, read_end, target):
        os.close(fd)
