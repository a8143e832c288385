# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends each pod to what runs the pods of its node."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed.kube.backend import ExecRequest, PodBackend, PodState


class Routing(PodBackend):
    """One backend for all nodes that have none of their own."""

    def __init__(self, default: PodBackend) -> None:
        self.default = default
        self.name = default.name
        self._lock = threading.Lock()
        self._nodes: dict[str, PodBackend] = {}
        self._pods: dict[str, PodBackend] = {}

    @property
    def polled(self) -> bool:  # type: ignore[override]
        """Whether any of the backends has to be asked."""
        with self._lock:
            return self.default.polled or any(backend.polled for backend in self._nodes.values())

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Pass it on to all."""
        super().on_change(listener)
        with self._lock:
            backends = [self.default, *self._nodes.values()]
        for backend in backends:
            backend.on_change(listener)

    def route(self, node: str, backend: PodBackend) -> None:
        """Let a backend run the pods of a node from now on; it is closed with this one."""
        backend.on_change(self.changed)
        with self._lock:
            self._nodes[node] = backend

    def of(self, uid: str) -> PodBackend:
        """Return what runs a pod; raise KeyError if nothing does."""
        with self._lock:
            return self._pods[uid]

    def _of(self, uid: str) -> PodBackend:
        with self._lock:
            return self._pods.get(uid, self.default)

    def create(self, pod: dict[str, Any]) -> None:
        """Start a pod where its node says."""
        with self._lock:
            backend = self._nodes.get(pod["spec"].get("nodeName", ""), self.default)
            self._pods[pod["metadata"]["uid"]] = backend
        backend.create(pod)

    def state(self, uid: str) -> PodState:
        """Ask its backend."""
        return self._of(uid).state(uid)

    def kill(self, uid: str, container: str = "") -> None:
        """Ask its backend."""
        self._of(uid).kill(uid, container)

    def delete(self, uid: str, grace_seconds: float) -> None:
        """Ask its backend."""
        self._of(uid).delete(uid, grace_seconds)
        with self._lock:
            self._pods.pop(uid, None)

    def exec(self, uid: str, request: ExecRequest) -> subprocess.Popen[bytes]:
        """Ask its backend."""
        return self._of(uid).exec(uid, request)

    def exec_url(self, uid: str, request: ExecRequest) -> str | None:
        """Ask its backend."""
        return self._of(uid).exec_url(uid, request)

    def connect(self, uid: str, port: int) -> socket.socket:
        """Ask its backend."""
        return self._of(uid).connect(uid, port)

    def port_forward_url(self, uid: str, ports: list[int]) -> str | None:
        """Ask its backend."""
        return self._of(uid).port_forward_url(uid, ports)

    def logs(self, uid: str, container: str) -> bytes:
        """Ask its backend."""
        return self._of(uid).logs(uid, container)

    def root(self, uid: str) -> Path | None:
        """Ask its backend."""
        return self._of(uid).root(uid)

    def close(self) -> None:
        """Close them all."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.default.close)
            for backend in self._nodes.values():
                stack.callback(backend.close)
