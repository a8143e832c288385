# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubectl port-forward, tunnelled through a WebSocket and over plain SPDY."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from testbed.kube import Kube, PodHandle
from testbed.kube.kubectl import Kubectl

TIMEOUT = 60

_ECHO = """
import os, socket, threading
listener = socket.create_server(("127.0.0.1", 0))
with open("port.new", "w") as stream:
    stream.write(str(listener.getsockname()[1]))
os.rename("port.new", "port")

def echo(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)

while True:
    threading.Thread(target=echo, args=listener.accept()[:1]).start()
"""


def echo_pod(kube: Kube) -> tuple[PodHandle, int]:
    """Return a pod that sends everything back that it gets at a port, and the port."""
    if kube.front.backend.name != "process":
        return kube.pod(containers=[{"name": "main", "command": ["nc", "-ll", "-p", "7007", "-e", "cat"]}]), 7007
    # The pods share this machine's ports, so the kernel picks one.
    pod = kube.pod(containers=[{"name": "main", "command": [sys.executable, "-c", _ECHO]}])
    assert pod.root is not None
    port_file = pod.root / "port"
    waiting = threading.Event()
    while not port_file.exists():
        assert not waiting.wait(0.01)
    return pod, int(port_file.read_text())


@contextlib.contextmanager
def forwarding(kubectl: Kubectl, pod: str, port: int) -> Iterator[int]:
    """Forward a free local port; yield it."""
    with kubectl.start("port-forward", f"pod/{pod}", f":{port}") as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line)
        assert found, line or (process.stderr and process.stderr.read())
        yield int(found[1])


def echoed(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        received = bytearray()
        while len(received) < len(data):
            chunk = connection.recv(1 << 18)
            assert chunk, f"the connection ended after {len(received)} of {len(data)} bytes"
            received += chunk
        sender.join()
    return bytes(received)


@pytest.fixture
def kubectl(kube_front: Kube, kubectl_for: Callable[[Kube], Kubectl]) -> Kubectl:
    """A kubectl for the front of the test."""
    return kubectl_for(kube_front)


def test_data_goes_through_and_back(kube_front: Kube, kubectl: Kubectl) -> None:
    pod, port = echo_pod(kube_front)
    data = random.Random(5).randbytes(20_000_000)
    with forwarding(kubectl, pod.name, port) as local:
        assert hashlib.sha256(echoed(local, data)).digest() == hashlib.sha256(data).digest()


def test_many_connections_share_one_forward(kube_front: Kube, kubectl: Kubectl) -> None:
    pod, port = echo_pod(kube_front)
    with forwarding(kubectl, pod.name, port) as local, contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", local), timeout=TIMEOUT)) for _each in range(10)
        ]
        for number, connection in enumerate(connections):
            connection.sendall(b"%03d" % number)
        for number, connection in reversed(list(enumerate(connections))):
            assert connection.recv(3, socket.MSG_WAITALL) == b"%03d" % number


def test_a_port_that_nobody_listens_on_ends_the_connection(kube_front: Kube, kubectl: Kubectl) -> None:
    pod = kube_front.pod()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        unused = taken.getsockname()[1]
    with (
        forwarding(kubectl, pod.name, unused) as local,
        socket.create_connection(("127.0.0.1", local), timeout=TIMEOUT) as connection,
        contextlib.suppress(ConnectionResetError),
    ):
        assert connection.recv(1) == b""
