# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of forwards share: services to forward to, and a forward over SSH without a process of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.forwards._connection import Line, serve
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import Direction, ForwardSpec, PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_login import SshLogin, kept_environment
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_transport import SshTransport
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._tally import Tally

from testbed.ssh.host import SshHost

SECONDS = 20.0

Serve = Callable[[socket.socket], None]


def echo(client: socket.socket) -> None:
    """Send back what comes, and end when it does."""
    while data := client.recv(1 << 18):
        client.sendall(data)


class Service:
    """A TCP server on loopback that does one thing with each client; it can be away for a while."""

    def __init__(self, serve_client: Serve = echo) -> None:
        self._serve = serve_client
        self._clients: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._run()

    def _run(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                self.accepted += 1
                self._clients.append(client)
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            self._serve(client)

    def stop(self) -> None:
        """Listen no longer, and end every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._clients:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._clients.clear()

    def forget(self) -> list[socket.socket]:
        """Leave the connections there are to themselves: ``stop`` will not end them. Returns them."""
        kept, self._clients = self._clients, []
        return kept

    def start(self) -> None:
        """Listen on the same port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self._run()


def login_to(host: SshHost, **changes: object) -> SshLogin:
    """Return how to log in to a host of the test bed."""
    *argv, destination = host.ssh_argv()
    fields = {"password": host.password or "", "environment": kept_environment(), "folder": str(Path.cwd()), **changes}
    fields.setdefault("destination", destination)
    return SshLogin("alpha", tuple(argv), **fields)  # type: ignore[arg-type]


class SshForward:
    """A forward over SSH in this process: what a supervisor does, less its life."""

    def __init__(self, host: SshHost, spec: ForwardSpec, login: SshLogin | None = None) -> None:
        self.spec = spec
        self.words: list[str] = []
        self.transport = SshTransport(spec, login or login_to(host), self.words.append)
        self.tally = Tally()
        self._line = Line(self.transport, self.tally, self.words.append, lambda: spec.connect_timeout)
        self._listeners: list[socket.socket] = []

    def open(self, seconds: float = SECONDS) -> SshForward:
        """Connect, then accept."""
        self.transport.check(time.monotonic() + seconds)
        far = self.spec.direction is Direction.REMOTE
        for index, pair in enumerate(self.spec.ports):
            listener = self.transport.bound()[index].arrivals if far else socket.create_server(("127.0.0.1", 0))
            listener.setblocking(True)
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, pair), daemon=True).start()
        return self

    def port(self, index: int = 0) -> int:
        """Return the port that listens, here or at the far end."""
        if self.spec.direction is Direction.REMOTE:
            return self.transport.bound()[index].port
        port: int = self._listeners[index].getsockname()[1]
        return port

    def client(self, index: int = 0) -> socket.socket:
        """Return a connection to a port that listens; the SSH hosts are on this machine as well."""
        return socket.create_connection(("127.0.0.1", self.port(index)), SECONDS)

    def _accept(self, listener: socket.socket, pair: PortPair) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                number = self.tally.begin()
                threading.Thread(target=self._serve, args=(client, pair, number), daemon=True).start()

    def _serve(self, client: socket.socket, pair: PortPair, number: int) -> None:
        try:
            serve(client, pair, number, self._line)
        finally:
            self.tally.end()

    def close(self) -> None:
        """End it."""
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.transport.close()


def local(port: int, target: str = "127.0.0.1", connect_timeout: float = SECONDS) -> ForwardSpec:
    """Return a forward to a port of a host."""
    return ForwardSpec("test", "alpha", target, (PortPair(0, port),), connect_timeout=connect_timeout)


def remote(to: int, listen: int = 0, bind: str = "127.0.0.1", connect_timeout: float = SECONDS) -> ForwardSpec:
    """Return a forward from a port of an SSH host to one of this machine."""
    pair = PortPair(listen, to)
    return ForwardSpec("test", "alpha", "127.0.0.1", (pair,), bind, Direction.REMOTE, connect_timeout=connect_timeout)


@contextlib.contextmanager
def forwarded(host: SshHost, spec: ForwardSpec, login: SshLogin | None = None) -> Iterator[SshForward]:
    """Have a forward for a while."""
    forward = SshForward(host, spec, login)
    try:
        yield forward.open()
    finally:
        forward.close()
