# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guard in a container of its own: for an agent whose processes all end with its container.

Both containers of the pod see the socket. A connection is a lifeline: its end, which the kernel sees to, says that
whoever held it has ended. The first line of a connection is the nonce of a change, or empty for the agent as a whole::

    agent   ""      ->  guard   "ready"    held until the agent has ended: then the guard ends
    run     "NONCE" ->  guard   "armed"    held until the change is decided: if it was not, it is undone
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError, MultinicError
from ansible_collections.manifold.core.plugins.module_utils.multinic._guard import Guard
from ansible_collections.manifold.core.plugins.module_utils.multinic._state import State
from ansible_collections.manifold.core.plugins.module_utils.multinic._switch import fire
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import LocalSystem, System

SOCKET_VARIABLE = "MULTINIC_GUARD_SOCKET"
"""Where the pod says that it has a guard."""
_SECONDS = 10
_LONGEST = 256


class Attendant(Guard):
    """Another container of the pod. It outlives the agent's container, but neither the pod nor a reboot."""

    kind = "container"

    def __init__(self, system: System, path: str | None = None) -> None:
        super().__init__(system)
        self._path = os.environ.get(SOCKET_VARIABLE, "") if path is None else path
        self._lifeline: socket.socket | None = None

    def missing(self) -> str | None:
        if not self._path:
            return "this is no pod with a guard container"
        try:
            connect(self._path, "").close()
        except GuardError as exc:
            return str(exc)
        return None

    def arm(self, nonce: str, seconds: float) -> None:
        del seconds  # the deadline is in the snapshot
        self._lifeline = connect(self._path, nonce)

    def disarm(self) -> None:
        # whoever armed it and has died has let go of it already
        if self._lifeline is not None:
            self._lifeline.close()
            self._lifeline = None


def connect(path: str, nonce: str) -> socket.socket:
    """Return a lifeline that the guard has answered. :raises GuardError: it does not answer."""
    wanted = b"armed" if nonce else b"ready"
    lifeline = socket.socket(socket.AF_UNIX)
    try:
        lifeline.settimeout(_SECONDS)
        lifeline.connect(path)
        lifeline.sendall(nonce.encode() + b"\n")
        said = lifeline.recv(_LONGEST).strip()
    except OSError as exc:
        lifeline.close()
        raise GuardError(f"the guard container does not answer at {path}: {exc.strerror or exc}") from exc
    if said != wanted:
        lifeline.close()
        raise GuardError(f"cannot arm the guard (container): it says {said.decode(errors='replace') or 'nothing'!r}")
    lifeline.settimeout(None)
    return lifeline


class _Attending:
    """The guard's side.

    :param state: that of the node.
    """

    def __init__(self, state: State, listener: socket.socket) -> None:
        self._state = state
        self._listener = listener
        self._agent: list[socket.socket] = []
        self._changes: dict[socket.socket, str] = {}
        self._status = 0

    def attend(self, ending: int) -> int:
        """Serve until the agent has ended or something can be read from the descriptor ``ending``."""
        while True:
            watched: list[socket.socket | int] = [self._listener, ending, *self._agent, *self._changes]
            readable = select.select(watched, [], [], self._patience())[0]
            self._expire()
            if ending in readable:
                break
            for lifeline in readable:
                if lifeline in self._changes:
                    self._end(lifeline)
                elif lifeline in self._agent:
                    self._agent.remove(lifeline)
                    lifeline.close()
                    if not self._agent:
                        return self._finish()
            if self._listener in readable:
                self._accept()
        return self._finish()

    def _finish(self) -> int:
        for lifeline in list(self._changes):
            self._end(lifeline)
        return self._status

    def _accept(self) -> None:
        lifeline = self._listener.accept()[0]
        lifeline.settimeout(_SECONDS)
        with suppress(OSError):
            nonce = lifeline.recv(_LONGEST).decode(errors="replace").strip()
            if not nonce:
                self._agent.append(lifeline)
                lifeline.sendall(b"ready\n")
            elif self._pending(nonce) is None:
                lifeline.sendall(b"there is no such change\n")
                lifeline.close()
            else:
                self._changes[lifeline] = nonce
                lifeline.sendall(b"armed\n")

    def _end(self, lifeline: socket.socket) -> None:
        nonce = self._changes.pop(lifeline)
        lifeline.close()
        self._status = max(self._status, fire(self._state, nonce, "the guard (container)"))

    def _pending(self, nonce: str) -> float | None:
        """Return the deadline of a change that is in progress."""
        try:
            snapshot = self._state.pending()
        except MultinicError:
            return None
        return snapshot.deadline if snapshot is not None and snapshot.nonce == nonce else None

    def _deadlines(self) -> dict[socket.socket, float]:
        found = {lifeline: self._pending(nonce) for lifeline, nonce in self._changes.items()}
        return {lifeline: deadline for lifeline, deadline in found.items() if deadline is not None}

    def _patience(self) -> float | None:
        return max(0.0, min(self._deadlines().values()) - time.monotonic()) if self._deadlines() else None

    def _expire(self) -> None:
        for lifeline, deadline in self._deadlines().items():
            if deadline <= time.monotonic():
                self._end(lifeline)


def main(path: str, root: Path) -> int:
    """Be the guard until the agent has ended or SIGTERM comes; 1 if the node could not be restored.

    :param path: the socket, in a folder that the agent's container sees too.
    """
    ended, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    with suppress(FileNotFoundError):
        Path(path).unlink()  # of a container that was restarted
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        return _Attending(State(LocalSystem(root)), listener).attend(ended)
