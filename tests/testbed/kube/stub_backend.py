# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods that run nothing: a function says how each one ends, and when.

It stands in for an agent where a thousand of them are simulated. Nothing that is measured with it says anything
about containers.
"""

from __future__ import annotations

import heapq
import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from testbed.kube.backend import BackendError, ContainerState, ExecRequest, Phase, PodBackend, PodState
from testbed.kube.termination import MAX_MESSAGE


@dataclass(frozen=True)
class Outcome:
    """How a pod's first container ends, and how long it is in getting there; None as exit code: it stays up."""

    exit_code: int | None = 0
    message: str = ""
    seconds: float = 0.0


Decide = Callable[[dict[str, Any]], Outcome]


class StubBackend(PodBackend):
    """Asks ``decide`` for the outcome of every pod, once, when the pod starts; ``decide`` runs in several threads."""

    name = "stub"
    polled = False

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._states: dict[str, PodState] = {}
        self._due: list[tuple[float, int, str, Outcome]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="stub-pods")
        self._thread.start()

    def create(self, pod: dict[str, Any]) -> None:
        """Let the pod run until its outcome is due."""
        uid, outcome = pod["metadata"]["uid"], self._decide(pod)
        containers = tuple(ContainerState(container["name"], True) for container in pod["spec"]["containers"])
        with self._changed:
            self._states[uid] = PodState(Phase.RUNNING, "127.0.0.1", containers)
            if outcome.exit_code is not None:
                heapq.heappush(self._due, (time.monotonic() + outcome.seconds, next(self._numbers), uid, outcome))
                self._changed.notify_all()

    def state(self, uid: str) -> PodState:
        """Return what the pod is taken to be doing."""
        with self._changed:
            return self._states[uid]

    def kill(self, uid: str, container: str = "") -> None:  # noqa: ARG002 - there is but one that counts
        """End a pod as SIGKILL would."""
        self._end(uid, Outcome(137))

    def delete(self, uid: str, grace_seconds: float) -> None:  # noqa: ARG002 - nothing runs
        """Forget the pod."""
        with self._changed:
            self._states.pop(uid, None)

    def exec(self, uid: str, request: ExecRequest) -> subprocess.Popen[bytes]:  # noqa: ARG002
        """Refuse."""
        raise BackendError("the pod is a stub: nothing can be run in it")

    def connect(self, uid: str, port: int) -> socket.socket:  # noqa: ARG002
        """Refuse."""
        raise BackendError("the pod is a stub: nothing listens in it")

    def logs(self, uid: str, container: str) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def close(self) -> None:
        """Forget every pod."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                if not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                    continue
                _when, _number, uid, outcome = heapq.heappop(self._due)
            self._end(uid, outcome)

    def _end(self, uid: str, outcome: Outcome) -> None:
        code = outcome.exit_code or 0
        message = outcome.message.encode()[-MAX_MESSAGE:].decode(errors="replace")
        with self._changed:
            state = self._states.get(uid)
            if state is None or state.phase is not Phase.RUNNING:
                return
            reason = "Completed" if code == 0 else "Error"
            ended = tuple(
                ContainerState(known.name, False, code, reason, message if index == 0 else "")
                for index, known in enumerate(state.containers)
            )
            phase = Phase.SUCCEEDED if code == 0 else Phase.FAILED
            self._states[uid] = replace(state, phase=phase, containers=ended)
        self.changed(uid)
