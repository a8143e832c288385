# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API front asks of whatever runs its pods.

The front owns objects, watches and protocols; a backend owns processes. Two exist: plain processes
(no root needed) and containers run through containerd's CRI.
"""

from __future__ import annotations

import abc
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any


class Phase(Enum):
    """The phases of a pod, named as in ``v1.PodStatus.phase``."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class ContainerState:
    """What a backend knows of one container."""

    name: str
    running: bool
    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    """The termination message of one that has ended."""


@dataclass(frozen=True)
class PodState:
    """What a backend knows of one pod; the front turns it into ``v1.PodStatus``."""

    phase: Phase
    ip: str
    containers: tuple[ContainerState, ...]
    message: str = ""


@dataclass(frozen=True)
class ExecRequest:
    """One ``exec`` call: which container, what to run, which streams are wanted."""

    container: str
    argv: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool = False


class BackendError(Exception):
    """A backend could not do what was asked; the text is shown to the API's client."""


class PodBackend(abc.ABC):
    """Runs pods. Every method is thread-safe; ``uid`` is the pod's ``metadata.uid``."""

    name: str
    polled: bool = True
    """Whether it has to be asked for the state of its pods; one that is not calls ``changed``."""

    _listener: Callable[[str], None] | None = None

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Tell it what to call with the uid of a pod whose state is another one now."""
        self._listener = listener

    def changed(self, uid: str) -> None:
        """Say that a pod's state is another one now."""
        if self._listener is not None:
            self._listener(uid)

    @abc.abstractmethod
    def kill(self, uid: str, container: str = "") -> None:
        """Send SIGKILL to the first process of a container, of all without a name; unknown pods are ignored."""

    @abc.abstractmethod
    def create(self, pod: dict[str, Any]) -> None:
        """Start the pod described by a ``v1.Pod`` object (a dict); raise BackendError if it cannot."""

    @abc.abstractmethod
    def state(self, uid: str) -> PodState:
        """Return what the pod is doing now; raise KeyError if it is unknown."""

    @abc.abstractmethod
    def delete(self, uid: str, grace_seconds: float) -> None:
        """Stop the pod and free everything it holds; unknown pods are ignored."""

    @abc.abstractmethod
    def exec(self, uid: str, request: ExecRequest) -> subprocess.Popen[bytes]:
        """Start a command in a container with pipes for the wanted streams (used by the WebSocket front)."""

    def exec_url(self, uid: str, request: ExecRequest) -> str | None:  # noqa: ARG002 - for those who override it
        """Return the URL of a native SPDY exec endpoint, or None if this backend has none."""
        return None

    @abc.abstractmethod
    def connect(self, uid: str, port: int) -> socket.socket:
        """Open a TCP connection to a port as seen inside the pod; raise BackendError if refused."""

    def port_forward_url(self, uid: str, ports: list[int]) -> str | None:  # noqa: ARG002 - as above
        """Return the URL of a native SPDY port-forward endpoint, or None if this backend has none."""
        return None

    @abc.abstractmethod
    def logs(self, uid: str, container: str) -> bytes:
        """Return what the container has written to stdout and stderr so far."""

    def root(self, uid: str) -> Path | None:  # noqa: ARG002 - as above
        """Return the directory of this machine that holds the pod's files, or None if there is none to look at."""
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Delete every pod and stop whatever the backend itself runs. May be called twice."""
