# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port-forward (``portforward.k8s.io``): a pair of SPDY streams for every connection to a port of the pod.

The client opens an ``error`` stream and a ``data`` stream with the same ``requestid`` and a ``port``. See
k8s.io/kubelet ``pkg/cri/streaming/portforward``.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from testbed.kube.backend import BackendError, PodBackend
from testbed.kube.spdy_session import Session, Stream, StreamClosed, Transport

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"

_READ_SIZE = 256 * 1024


class PortForward:
    """The port-forwarding of one client to one pod."""

    def __init__(self, backend: PodBackend, uid: str, transport: Transport) -> None:
        self._backend = backend
        self._uid = uid
        self._session = Session(transport, self._on_stream)
        self._waiting: dict[str, dict[str, Stream]] = {}
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def run(self) -> None:
        """Serve until the client ends the connection; then cut what it has forwarded."""
        self._session.serve()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._session.hang_up()

    def _on_stream(self, stream: Stream) -> None:
        request = stream.headers.get("requestid", "")
        pair = self._waiting.setdefault(request, {})
        pair[stream.headers.get("streamtype", "")] = stream
        if pair.keys() >= {"error", "data"}:
            del self._waiting[request]
            thread = threading.Thread(target=self._forward, args=(pair["data"], pair["error"]), name="port-forward")
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _forward(self, data: Stream, error: Stream) -> None:
        error.stop_reading()
        with contextlib.suppress(StreamClosed):
            try:
                connection = self._backend.connect(self._uid, int(data.headers["port"]))
            except (BackendError, KeyError, ValueError) as exc:
                error.write(f"error forwarding port {data.headers.get('port')} to pod: {exc}".encode())
            else:
                try:
                    self._copy(data, connection)
                except ConnectionError as exc:  # as containerd says it
                    error.write(f"error forwarding port {data.headers['port']} to pod: read tcp4: {exc}".encode())
            error.finish()
            data.finish()
        data.stop_reading()

    def _copy(self, stream: Stream, connection: socket.socket) -> None:
        connection.settimeout(None)
        with self._lock:
            self._connections.add(connection)
            if self._session.ended.is_set():  # run() may have cut the connections already
                connection.shutdown(socket.SHUT_RDWR)
        upload = threading.Thread(target=_upload, args=(stream, connection), name="port-forward-upload")
        upload.start()
        try:
            while chunk := connection.recv(_READ_SIZE):
                stream.write(chunk)
            stream.finish()
        except StreamClosed:
            pass  # the client is gone; the pod is told below
        finally:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            stream.stop_reading()
            upload.join()
            with self._lock:
                self._connections.discard(connection)
            connection.close()


def _upload(stream: Stream, connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for chunk in stream.read():
            connection.sendall(chunk)
        connection.shutdown(socket.SHUT_WR)
