# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwards over SSH, with the real ssh and the real sshd."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable

from .forwarding import SECONDS, Service, SshForward, echo, forwarded, local, login_to, remote
from .support import Hosts

pytestmark = pytest.mark.node


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.stop()


def _exchange(client: socket.socket, data: bytes) -> bytes:
    """Send everything, end the sending, and return all that comes."""

    def send() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received = b""
    while more := client.recv(1 << 18):
        received += more
    sender.join(SECONDS)
    return received


def test_bytes_arrive_whole_and_the_end_of_one_direction_is_passed_on(ssh_host: Hosts, service: Service) -> None:
    data = os.urandom(5_000_003)
    with forwarded(ssh_host(), local(service.port)) as forward:
        with forward.client() as client:
            received = _exchange(client, data)
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        counts = forward.tally.read()
        assert (counts.bytes_up, counts.bytes_down) == (len(data), len(data))
