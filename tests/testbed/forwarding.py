# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that listens and relays through a transport: what a test or a benchmark of a transport alone needs.

    python -m testbed.forwarding < parameters of a KubernetesTransport as JSON

prints the port it listens at, and ends with its standard input.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_parameters import KubeParameters
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_transport import KubernetesTransport
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._transport import Channel, Transport

_RESET = struct.pack("ii", 1, 0)


class Forwarding:
    """Listens on a free port of 127.0.0.1 and relays what connects; a context manager."""

    def __init__(self, transport: Transport, target: int | str, connect_timeout: float = 30.0) -> None:
        self.transport = transport
        self.errors: list[str] = []
        """What went wrong with connections."""
        self.moved = [0, 0]
        """Bytes to the far end, and from it."""
        self._target = target
        self._timeout = connect_timeout
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, name="forwarding")
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return  # closed
            thread = threading.Thread(target=self._serve, args=(client,), name="forwarded")
            with self._lock:
                self._threads.add(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            channel = self._connect(client, time.monotonic() + self._timeout)
            try:
                channel.relay(client, self._count)
            finally:
                channel.close()
        except (OSError, ForwardError, Unavailable) as exc:
            self.errors.append(str(exc))
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            client.close()
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _connect(self, client: socket.socket, deadline: float) -> Channel:
        pause = 0.05
        while True:
            try:
                return self.transport.connect(PortPair(0, self._target), deadline, client)
            except Unavailable:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(1.0, 2 * pause)

    def _count(self, up: int, down: int) -> None:
        with self._lock:
            self.moved[0] += up
            self.moved[1] += down

    @property
    def connections(self) -> int:
        """How many connections are being served."""
        with self._lock:
            return len(self._threads)

    def close(self) -> None:
        """End everything and wait for it."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.transport.close()
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def __enter__(self) -> Forwarding:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def main(log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True)) -> None:
    """Forward until the standard input ends; its first line holds the parameters."""
    parameters = KubeParameters.from_json(json.loads(sys.stdin.readline()))
    transport = KubernetesTransport(parameters, log)
    transport.check(time.monotonic() + 30)
    with Forwarding(transport, parameters.ports[0]) as forwarding:
        print(forwarding.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
