# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes SPDY through to a backend's own streaming endpoint without looking into it.

The client's upgrade request is repeated to the endpoint, its answer is handed back unchanged, and from then
on bytes are moved both ways. A port-forward tunnelled through a WebSocket is unwrapped first.

What a runtime does wrong is therefore seen by the client, and containerd does two things wrong (1.6.20 was
tried): a process that ends without reading a large stdin leaves kubectl hanging, and a command that itself
reads a large stdin to its end (``cat > file``) sees it end early, after some multiple of 32 KiB, while exit
code 0 is reported (containerd/containerd#13934; of 100 MB, 192 KiB arrived).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from testbed.kube import connection
from testbed.kube.errors import ApiError
from testbed.kube.faults import Action, ClaimedFaults, Direction, Meter
from testbed.kube.spdy_session import PROTOCOL_HEADER, Transport
from testbed.kube.websocket import Disconnected

_READ_SIZE = 256 * 1024
_CONNECT_SECONDS = 10
_GLANCE_SECONDS = 0.05


class Upstream:
    """A connection to a backend's endpoint, upgraded to SPDY."""

    def __init__(self, url: str, protocols: list[str]) -> None:
        """Connect and upgrade; raise ApiError if the endpoint refuses."""
        target = urlsplit(url)
        self.socket = socket.create_connection((target.hostname, target.port), timeout=_CONNECT_SECONDS)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket.sendall(_upgrade_request(url, protocols))
            self.answer, self.surplus = _read_head(self.socket)
            status = self.answer.split(b" ", 2)[1]
            if status != b"101":
                raise ApiError(502, "BadGateway", f"the pod backend refused to stream: {self.answer!r}")
        except BaseException:
            self.socket.close()
            raise
        self.socket.settimeout(None)


def _upgrade_request(url: str, protocols: list[str]) -> bytes:
    target = urlsplit(url)
    path = target.path + (f"?{target.query}" if target.query else "")
    lines = [f"POST {path} HTTP/1.1", f"Host: {target.netloc}", "Connection: Upgrade", "Upgrade: SPDY/3.1"]
    lines += [f"{PROTOCOL_HEADER}: {protocol}" for protocol in protocols]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


def _read_head(upstream: socket.socket) -> tuple[bytes, bytes]:
    """Return an HTTP answer up to its empty line, and what came after it."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = upstream.recv(4096)
        if not data:
            raise ApiError(502, "BadGateway", f"the pod backend ended the connection: {received!r}")
        received += data
    head, separator, surplus = received.partition(b"\r\n\r\n")
    return head + separator, surplus


class Passage:
    """Moves bytes between a client and an upstream until either ends; may strike with a raw fault."""

    def __init__(self, client: Transport, upstream: Upstream, faults: ClaimedFaults) -> None:
        self._client = client
        self._upstream = upstream
        self._inward = faults.meter(Direction.STDIN)
        self._outward = faults.meter(Direction.STDOUT)
        self._over = threading.Event()

    def run(self) -> None:
        """Move bytes; return when the connection is over."""
        inward = threading.Thread(target=self._pump_in, name="spdy-proxy")
        inward.start()
        try:
            self._pump_out()
        finally:
            self._over.set()
            self._client.hang_up()
            connection.hang_up(self._upstream.socket)
            inward.join()
            self._upstream.socket.close()

    def _pump_in(self) -> None:
        with contextlib.suppress(OSError):
            self._move(self._client.receive(), self._upstream.socket.sendall, self._inward)
        # The client's end of the connection is the end of everything it has opened.
        connection.hang_up(self._upstream.socket)

    def _pump_out(self) -> None:
        with contextlib.suppress(OSError, Disconnected):
            self._move(self._from_upstream(), self._client.send, self._outward)

    def _from_upstream(self) -> Iterator[bytes]:
        if self._upstream.surplus:
            yield self._upstream.surplus
        while data := self._upstream.socket.recv(_READ_SIZE):
            yield data

    def _move(
        self, source: Iterator[bytes | memoryview], send: Callable[[bytes | memoryview], None], meter: Meter
    ) -> None:
        for data in source:
            allowed = meter.allow(len(data))
            if allowed:
                send(data[:allowed])
            if allowed < len(data):
                if not self._strike(meter):
                    return
                send(data[allowed:])

    def _strike(self, meter: Meter) -> bool:
        fault = meter.fault
        assert fault is not None, "a meter holds data back only for its fault"
        fault.fired.set()
        if fault.action is Action.RESET:
            self._client.reset()
            return False
        while not fault.released.wait(_GLANCE_SECONDS):
            if self._over.is_set() or self._client.left():
                return False
        return True
