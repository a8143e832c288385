# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work queue: each key once, never twice at a time, with at most one timer."""

from __future__ import annotations

import threading

from ansible_collections.manifold.core.extensions.multinic_controller._queue import WorkQueue


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_key_that_waits_is_there_once() -> None:
    queue = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [queue.take(), queue.take()] == ["a", "b"]
    assert len(queue) == 0


def test_a_key_that_is_worked_on_comes_again_after_that_and_not_beside_it() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert queue.take() == "b"
    assert len(queue) == 1
    queue.done("a")
    assert queue.take() == "a"
    queue.done("a")
    queue.done("b")
    assert len(queue) == 0


def test_a_timer_is_replaced_by_a_later_one() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after("a", 5)
    queue.add_after("a", 50)
    queue.add_after("b", 10)
    queue.add_after("c", 1)
    queue.forget("c")
    clock.now += 20
    assert queue.take() == "b"
    assert len(queue) == 0
    clock.now += 40
    assert queue.take() == "a"


def test_how_long_a_worker_has_been_at_it_is_known() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    assert queue.longest() == 0
    queue.add("a")
    queue.take()
    clock.now += 7
    assert queue.longest() == 7


def test_closing_lets_those_go_who_wait() -> None:
    queue = WorkQueue()
    found: list[str | None] = []
    waiting = threading.Thread(target=lambda: found.append(queue.take()))
    waiting.start()
    queue.close()
    waiting.join(10)
    assert found == [None]
