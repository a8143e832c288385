# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transport that connects straight to a port of this machine, for tests of what is in front of a transport."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair

FACTORY = "unit.direct:DirectTransport"


class DirectTransport:
    """``parameters`` may hold ``refuse`` (a file: while it is there, nothing can be reached; its text is the reason),
    ``hopeless`` (a text, the same for good), ``short`` (a file: no descriptors while it is there), ``child`` (starts a
    process, and writes its number there) and ``secret``.
    """

    def __init__(self, spec: ForwardSpec, parameters: Mapping[str, Any], log: Callable[[str], None]) -> None:
        self._host = spec.target
        self._parameters = parameters
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        if "child" in parameters:
            with Path(parameters["child"]).open("w") as place:
                self._child = subprocess.Popen(["sleep", "1000"])
                place.write(str(self._child.pid))

    def check(self, deadline: float) -> None:
        del deadline
        if reason := self._parameters.get("hopeless"):
            raise ForwardError(reason)
        self._look()

    def _look(self) -> None:
        with contextlib.suppress(KeyError, FileNotFoundError):
            raise Unavailable(Path(self._parameters["refuse"]).read_text())
        if Path(self._parameters.get("short", "/nowhere")).exists():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def connect(self, port: PortPair, deadline: float, client: socket.socket | None = None) -> DirectChannel:
        del deadline, client
        self._look()
        try:
            return DirectChannel(socket.create_connection((self._host, int(port.target)), timeout=5))
        except ConnectionRefusedError as exc:
            raise Unavailable(f"port {port.target} of {self._host} refuses connections") from exc

    def catch_up(self) -> None:
        pass

    def bound(self) -> tuple[int, ...]:
        return ()

    def describe(self) -> str:
        return f"this machine, {self._host}"

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()


class DirectChannel:
    """A TCP connection."""

    def __init__(self, far: socket.socket) -> None:
        self._far = far
        far.settimeout(None)
        self._cut: list[OSError] = []

    def relay(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        down = threading.Thread(target=self._move, args=(self._far, client, lambda n: count(0, n)))
        down.start()
        self._move(client, self._far, lambda n: count(n, 0))
        down.join()
        if self._cut:
            raise self._cut[0]
        self._far.close()

    def _move(self, source: socket.socket, target: socket.socket, count: Callable[[int], None]) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
                count(len(data))
            target.shutdown(socket.SHUT_WR)
        except OSError as exc:
            self._cut.append(exc)
            for end in (source, target):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)
        self._far.close()
