# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _kube_chooser
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_api import Unreachable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_chooser import Chooser
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_cluster import Missing, NoneReady
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_target import Picture, Pod, target_of

A, B, C = (Pod(name, f"uid-{name}", ()) for name in "abc")
_DEADLINE = 1e9


def picture(*pods: Pod, alive: Sequence[Pod] = ()) -> Picture:
    return Picture(target_of("service/web"), pods, frozenset(pod.uid for pod in (*pods, *alive)))


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Scene:
    """A chooser, and what the API says."""

    def __init__(self, clock: Clock, is_pod: bool = False) -> None:
        self.clock = clock
        self.says: Picture | Exception = picture(A, B)
        self.asked = 0
        self.log: list[str] = []
        self.chooser = Chooser(self._look, self.log.append, is_pod)

    def _look(self, deadline: float) -> Picture:
        del deadline
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def chosen(self) -> Pod:
        return self.chooser.choose(_DEADLINE)[1]

    def later(self, seconds: float) -> None:
        self.clock.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(_kube_chooser, "time", made)
    return made


@pytest.fixture
def scene(clock: Clock) -> Scene:
    return Scene(clock)


def test_the_first_pod_is_taken_and_stays(scene: Scene) -> None:
    assert scene.chosen() is A
    scene.says = picture(B, A)
    scene.later(11)
    assert scene.chosen() is A
    assert (scene.chooser.changes, scene.log) == (0, [])


def test_the_api_is_not_asked_for_each_connection(scene: Scene) -> None:
    for _each in range(100):
        scene.chosen()
        scene.later(0.05)
    assert scene.asked == 1
    scene.later(11)
    scene.chosen()
    assert scene.asked == 2
    scene.chooser.choose(_DEADLINE, fresh=True)
    assert scene.asked == 3


def test_a_pod_that_failed_makes_room_for_another_and_the_api_is_asked(scene: Scene) -> None:
    assert scene.chosen() is A
    scene.later(1)
    scene.chooser.distrust(A)
    assert scene.chosen() is B
    assert scene.asked == 2
    assert (scene.chooser.changes, scene.log) == (1, ["from pod a to pod b"])


def test_hundreds_that_wait_for_the_same_pod_ask_once_in_a_while(scene: Scene) -> None:
    scene.chosen()
    scene.later(1)
    for _each in range(100):
        scene.chooser.distrust(A)
        scene.chosen()
    assert scene.asked == 2


def test_of_pods_that_all_failed_the_one_that_did_so_first_is_next(scene: Scene) -> None:
    scene.says = picture(A, B, C)
    for pod in (A, B, C):
        assert scene.chosen() is pod
        scene.chooser.distrust(pod)
        scene.later(1)
    assert scene.chosen() is A
    scene.later(30)  # long ago: the one in use stays
    assert scene.chosen() is A


def test_what_was_seen_holds_while_the_api_cannot_be_reached(scene: Scene) -> None:
    scene.chosen()
    scene.says = Unreachable("no route")
    scene.later(11)
    assert scene.chosen() is A
    with pytest.raises(Unreachable):
        scene.chooser.choose(_DEADLINE, fresh=True)


@pytest.mark.parametrize("refused", [NoneReady("none is ready", frozenset()), ForwardError("no such port")])
def test_what_the_api_says_is_told_to_all_who_ask_until_it_says_more(scene: Scene, refused: Exception) -> None:
    scene.says = refused
    for _each in range(3):
        with pytest.raises(type(refused), match=str(refused)) as caught:
            scene.chosen()
    assert scene.asked == 1
    traceback = caught.tb.tb_next
    depth = 0
    while traceback is not None:
        traceback, depth = traceback.tb_next, depth + 1
    assert depth < 4  # what others saw of it is not kept
    scene.says = picture(B)
    scene.later(1)
    assert scene.chosen() is B


def test_before_the_api_was_ever_reached_nothing_is_chosen(scene: Scene) -> None:
    scene.says = Unreachable("no route")
    with pytest.raises(Unavailable, match="no route"):
        scene.chosen()


def test_a_pod_that_is_neither_ready_nor_over_is_not_gone(scene: Scene) -> None:
    scene.chosen()
    scene.says = picture(B, alive=[A])
    scene.later(3)
    assert not scene.chooser.is_gone(A, _DEADLINE)
    assert scene.chooser.is_gone(C, _DEADLINE)
    assert scene.asked == 2  # once for both
    assert scene.chooser.is_leaving(A, _DEADLINE)
    assert not scene.chooser.is_leaving(B, _DEADLINE)


def test_as_long_as_the_api_says_nothing_no_pod_is_gone(scene: Scene) -> None:
    scene.says = Unreachable("no route")
    assert not scene.chooser.is_gone(A, _DEADLINE)
    assert not scene.chooser.is_leaving(A, _DEADLINE)


@pytest.mark.parametrize(
    ("says", "is_pod", "gone"),
    [
        (NoneReady("none", frozenset({A.uid})), False, False),
        (NoneReady("none", frozenset()), False, True),
        (Missing("no such service"), False, False),  # its pods may live on
        (Missing("no such pod"), True, True),
    ],
)
def test_what_is_known_of_pods_without_a_target(clock: Clock, says: Exception, is_pod: bool, gone: bool) -> None:
    scene = Scene(clock, is_pod)
    scene.chosen()
    scene.says = says
    scene.later(3)
    assert scene.chooser.is_gone(A, _DEADLINE) is gone
