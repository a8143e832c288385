# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import queue
import socket
from collections.abc import Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _kube_pool
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import Unavailable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_pool import Pool
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_target import Pod
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_tunnel import Tunnel

A, B = (Pod(name, f"uid-{name}", ()) for name in "ab")
_SECONDS = 10.0


class Made(Tunnel):
    """A tunnel to an end that the test holds."""

    def __init__(self) -> None:
        near, self.far = socket.socketpair()
        super().__init__(near, websocket=False)
        self.near = near

    @property
    def is_closed(self) -> bool:
        return self.near.fileno() < 0


class Scene:
    """A pool, and the tunnels it has made."""

    def __init__(self) -> None:
        self.made: queue.Queue[tuple[Pod, Made]] = queue.Queue()
        self.all: list[Made] = []
        self.fails = False
        self.pool = Pool(self._make)

    def _make(self, pod: Pod, deadline: float) -> Tunnel:
        del deadline
        tunnel = Made()
        self.all.append(tunnel)
        self.made.put((pod, tunnel))
        if self.fails:
            raise Unavailable("no")
        return tunnel

    def await_made(self) -> tuple[Pod, Made]:
        """Wait for the next one that is made in advance."""
        return self.made.get(timeout=_SECONDS)

    def stop(self) -> None:
        """End the pool, and its thread with it: what it was making is in it or closed."""
        self.pool.close()
        if self.pool._thread is not None:
            self.pool._thread.join(_SECONDS)

    def close(self) -> None:
        self.stop()
        for tunnel in self.all:
            tunnel.close()
            tunnel.far.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def test_one_is_made_for_the_next_as_soon_as_there_is_none(scene: Scene) -> None:
    assert scene.pool.take(A) is None
    assert scene.await_made()[0] is A


def test_one_that_ended_in_order_serves_the_next(scene: Scene) -> None:
    tunnel = Made()
    scene.all.append(tunnel)
    scene.pool.put(A.uid, tunnel)
    assert scene.pool.take(B) is None  # nobody is led into another's pod
    assert scene.pool.take(A) is tunnel
    assert not tunnel.is_closed


@pytest.mark.parametrize("why", ["ended", "used up", "idle"])
def test_one_that_is_not_sound_is_closed_and_not_given(scene: Scene, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    tunnel = Made()
    scene.all.append(tunnel)
    if why == "used up":
        tunnel.uses = 1000
    if why == "idle":
        monkeypatch.setattr(_kube_pool, "_IDLE", 0.0)
    scene.pool.put(A.uid, tunnel)
    if why == "ended":
        tunnel.far.close()
    assert scene.pool.take(A) is None
    scene.stop()
    assert tunnel.is_closed


def test_no_more_than_a_few_are_kept(scene: Scene) -> None:
    tunnels = [Made() for _each in range(6)]
    scene.all.extend(tunnels)
    for tunnel in tunnels:
        scene.pool.put(A.uid, tunnel)
    assert [tunnel.is_closed for tunnel in tunnels] == [False] * 4 + [True] * 2


def test_those_of_a_pod_that_failed_are_dropped_and_no_others(scene: Scene) -> None:
    first, second = Made(), Made()
    scene.all.extend((first, second))
    scene.pool.put(A.uid, first)
    scene.pool.put(B.uid, second)
    scene.pool.drop(A.uid)
    assert (first.is_closed, second.is_closed) == (True, False)


def test_nothing_is_kept_once_it_is_closed(scene: Scene) -> None:
    first, second = Made(), Made()
    scene.all.extend((first, second))
    scene.pool.put(A.uid, first)
    scene.stop()
    scene.pool.put(A.uid, second)
    assert first.is_closed
    assert second.is_closed


def test_one_that_cannot_be_made_harms_nobody(scene: Scene) -> None:
    scene.fails = True
    assert scene.pool.take(A) is None
    scene.await_made()
    scene.fails = False
    assert scene.pool.take(A) is None
    assert scene.await_made()[0] is A
