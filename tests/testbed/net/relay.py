# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port of this machine's loopback, seen at the same port of a node's own: so a node reaches a server of a test."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

from testbed.kube.cri.network import socket_in
from testbed.net.node import Node


class Relay:
    """Relays what connects on the node; close it before the node."""

    def __init__(self, node: Node, port: int) -> None:
        self._port = port
        namespace = Path(f"{node.root.parent}/ns/net")
        self._listener = socket_in(namespace, lambda: socket.create_server(("127.0.0.1", port)))
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="relay")]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._port), 10)
            self._ends += [client, server]
            for pair in ((client, server), (server, client)):
                thread = threading.Thread(target=_pump, args=pair, name="relayed")
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """End, and every connection."""
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in (self._listener, *self._ends):
            end.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
