# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import (
    Context,
    ContextError,
    ContextKind,
    Diagnosis,
)
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._status import ContextStatus, Status
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _probe
from ansible_collections.manifold.core.plugins.plugin_utils.streams._probe import survey

from unit.support import PATIENCE, FakeContext

SSH, LOCAL = ContextKind.SSH, ContextKind.LOCAL


class Opening(FakeContext):
    """A context whose connection is what a test makes of it."""

    def __init__(self, name: str, opened: Callable[[], object], server: str | None = None) -> None:
        super().__init__(name)
        self._opened = opened
        self._server = server
        self.shared: list[bool] = []

    @property
    def server(self) -> str | None:
        return self._server

    def open(self, _seconds: float = 60.0) -> None:
        self.shared.append(True)
        self._opened()

    def open_once(self, _seconds: float = 60.0) -> None:
        self.shared.append(False)
        self._opened()


def _survey(*contexts: Context, seconds: float | None = PATIENCE) -> list[ContextStatus]:
    by_name = {context.name: context for context in contexts}
    return survey(list(by_name), ["b"], by_name.__getitem__, seconds)


def test_each_context_is_told_of_in_order() -> None:
    def refuse() -> None:
        raise ContextError("b", "connecting by SSH", "the login was refused", "Check the key.")

    gone = FakeContext("c", ("/bin/sh", "-c", "echo 'pod not found' >&2; exit 1", "transport"))
    contexts = [LocalContext("a"), Opening("b", refuse), gone]
    first, second, third = _survey(*contexts)
    assert (first.name, first.kind, first.default, first.status, first.reason) == (
        "a",
        LOCAL,
        False,
        Status.READY,
        None,
    )
    assert first.connection_time_ms is not None
    reason = "connecting by SSH: the login was refused. Check the key."
    assert second == ContextStatus("b", SSH, True, Status.UNREACHABLE, None, reason)
    assert third == ContextStatus("c", SSH, False, Status.UNREACHABLE, None, "pod not found")
    assert gone.closed == 1


def test_what_is_no_context_is_invalid_and_stops_no_other() -> None:
    def resolve(name: str) -> Context:
        if name == "bad":
            raise ContextError(name, "choosing a transport", "not supported")
        return LocalContext(name)

    bad, good = survey(["bad", "good"], [], resolve, PATIENCE)
    assert bad == ContextStatus("bad", None, False, Status.INVALID, None, "choosing a transport: not supported")
    assert good.status is Status.READY


def test_nothing_is_tried_without_a_time() -> None:
    def touched() -> None:
        raise AssertionError

    context = Opening("a", touched)
    assert _survey(context, seconds=None) == [ContextStatus("a", SSH, False, Status.UNKNOWN)]
    assert (context.closed, context.launched) == (1, [])


def test_contexts_are_tried_side_by_side() -> None:
    together = threading.Barrier(50)
    contexts = [Opening(f"c{number}", lambda: together.wait(PATIENCE)) for number in range(50)]
    assert {status.status for status in _survey(*contexts)} == {Status.READY}


def test_a_server_is_spared_and_a_login_shared() -> None:
    lock = threading.Lock()
    inside, most = 0, 0

    def opened() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.01)  # gives the others the chance to come in, which they must not take
        with lock:
            inside -= 1

    contexts = [Opening(f"c{number}", opened, "one server") for number in range(30)]
    alone = Opening("alone", lambda: None, "another server")
    assert {status.status for status in _survey(*contexts, alone)} == {Status.READY}
    assert most <= _probe.LOGINS_AT_ONCE
    assert [context.shared for context in contexts] == [[False], *[[True]] * 29]
    assert alone.shared == [False]


@pytest.mark.parametrize("sleeps", [True, False], ids=["before-the-shell", "in-the-connection"])
def test_one_that_does_not_answer_is_given_up_without_the_others(sleeps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probe, "_GRACE", 0.1)
    never = threading.Event()
    silent = FakeContext("a", ("/bin/sh", "-c", "exec sleep 1000", "transport")) if sleeps else Opening("a", never.wait)
    try:
        first, second = _survey(silent, LocalContext("b"), seconds=2.0)
    finally:
        never.set()
    assert (first.status, first.reason) == (Status.UNREACHABLE, "it did not answer within 2 seconds")
    assert second.status is Status.READY


class Cluster(FakeContext):
    """A context that names no pod; kubectl is a line of shell."""

    kind = ContextKind.KUBERNETES

    def __init__(self, kubectl: str) -> None:
        super().__init__("shop")
        self._kubectl = kubectl

    @property
    def unnamed_pod(self) -> str:
        return "shop"

    def for_kubectl(self) -> Context:
        return Kubectl(self._kubectl)

    def diagnose(self, output: str, status: int | None) -> Diagnosis:
        return Diagnosis(f"{output.strip()} ({status})", "Check the API.")


class Kubectl(LocalContext):
    """Where kubectl runs."""

    def __init__(self, kubectl: str) -> None:
        super().__init__("shop")
        self._kubectl = kubectl

    @property
    def program(self) -> tuple[str, ...]:
        return ("/bin/sh", "-c", self._kubectl)


@pytest.mark.parametrize(
    ("kubectl", "status", "reason", "commands"),
    [
        ("true", Status.READY, None, 0),
        ("echo pod/shop", Status.READY, None, 1),
        ('[ "$0 $*" = "get pod shop --ignore-not-found -o name" ] || exit 1; echo pod/shop', Status.READY, None, 1),
        ("echo 'pods is forbidden (Forbidden)' >&2; exit 1", Status.READY, None, 0),
        ("echo refused >&2; exit 4", Status.UNREACHABLE, "refused (4). Check the API.", 0),
    ],
    ids=["no-such-pod", "a-pod-of-that-name", "what-is-asked", "not-allowed-to-look", "no-api"],
)
def test_without_a_pod_the_cluster_is_asked(kubectl: str, status: Status, reason: str | None, commands: int) -> None:
    context = Cluster(kubectl)
    (told,) = _survey(context)
    assert (told.kind, told.status, told.reason) == (ContextKind.KUBERNETES, status, reason)
    assert len(context.launched) == commands


def test_a_defect_is_raised_where_it_is_noticed() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _survey(Opening("a", broken))
