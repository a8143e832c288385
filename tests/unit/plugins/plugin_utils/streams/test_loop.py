# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._loop import READ, WRITE, DeadlineReached, Loop


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)
    os.close(write_end)


def test_a_watcher_is_called_while_its_descriptor_is_ready(loop: Loop, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"abc")
    seen = b""

    def read() -> int:
        nonlocal seen
        seen += os.read(pipe[0], 1)
        return 1

    loop.watch(pipe[0], READ, read)
    loop.run(lambda: len(seen) == 3, time.monotonic() + 20)
    assert seen == b"abc"


def test_what_is_true_already_is_not_waited_for(loop: Loop) -> None:
    loop.run(lambda: True, time.monotonic() - 1)


def test_a_deadline_that_passes_is_told(loop: Loop, pipe: tuple[int, int]) -> None:
    loop.watch(pipe[0], READ, lambda: 0)
    with pytest.raises(DeadlineReached):
        loop.run(lambda: False, time.monotonic() + 0.01)


def test_a_condition_without_an_event_is_looked_at_now_and_then(loop: Loop) -> None:
    asked = iter((False, False, True))
    loop.run(lambda: next(asked), time.monotonic() + 20)


def test_a_second_watch_replaces_the_first(loop: Loop, pipe: tuple[int, int]) -> None:
    called: list[str] = []

    def note(which: str) -> int:
        called.append(which)
        return 0

    loop.watch(pipe[1], READ, lambda: note("first"))
    loop.watch(pipe[1], WRITE, lambda: note("second"))
    loop.run(lambda: bool(called), time.monotonic() + 20)
    assert called == ["second"]


def test_who_is_no_longer_watched_is_not_called_in_the_same_round(loop: Loop) -> None:
    first, second = os.pipe(), os.pipe()
    called: list[int] = []

    def end_both(which: int) -> int:
        called.append(which)
        loop.unwatch(first[1])
        loop.unwatch(second[1])
        return 0

    loop.watch(first[1], WRITE, lambda: end_both(1))
    loop.watch(second[1], WRITE, lambda: end_both(2))
    loop.run(lambda: bool(called), time.monotonic() + 20)
    assert len(called) == 1
    loop.unwatch(first[1])  # once more does no harm
    for fd in (*first, *second):
        os.close(fd)


def test_an_error_of_a_watcher_reaches_who_runs_the_loop(loop: Loop, pipe: tuple[int, int]) -> None:
    def fail() -> int:
        raise ValueError("refused")

    loop.watch(pipe[1], WRITE, fail)
    with pytest.raises(ValueError, match="refused"):
        loop.run(lambda: False, time.monotonic() + 20)
