# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of the relay, alone and in front of an SSH host."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

from testbed.ssh.host import SshHost
from testbed.ssh.line import Cut
from testbed.ssh.relay import Relay


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where the relay leads to."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(30)
        yield made


@pytest.fixture
def relay(listener: socket.socket) -> Iterator[Relay]:
    """A relay to the listener."""
    made = Relay(listener.getsockname()[1])
    yield made
    made.close()


@pytest.fixture
def ends(relay: Relay, listener: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection through the relay: the client's socket and the target's."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=30) as client:
        target, _address = listener.accept()
        with target:
            target.settimeout(30)
            yield client, target


Ends = tuple[socket.socket, socket.socket]


def read_all(sock: socket.socket) -> bytes:
    """Read up to end of file."""
    parts = []
    while data := sock.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """Read so many bytes."""
    data = bytearray()
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return bytes(data)


def test_bytes_and_end_of_file_pass_in_both_directions(ends: Ends, relay: Relay) -> None:
    client, target = ends
    client.sendall(b"up")
    client.shutdown(socket.SHUT_WR)
    assert read_all(target) == b"up"
    target.sendall(b"down!")
    target.close()
    assert read_all(client) == b"down!"
    assert (relay.up.bytes, relay.down.bytes, relay.accepted) == (2, 5, 1)


def test_a_cut_lets_exactly_n_bytes_through_and_ends_both_sides_in_order(ends: Ends, relay: Relay) -> None:
    client, target = ends
    relay.up.cut_after(100_000)
    sender = threading.Thread(target=_send_whatever, args=(client, bytes(10_000_000)))
    sender.start()
    assert len(read_all(target)) == 100_000
    assert read_all(client) == b""
    client.close()
    sender.join()


def test_a_cut_by_reset_is_an_error_on_both_sides(ends: Ends, relay: Relay) -> None:
    client, target = ends
    relay.down.cut_after(3, Cut.RST)
    target.sendall(b"abcdef")
    with pytest.raises(ConnectionResetError):
        read_all(target)
    with pytest.raises(ConnectionResetError):
        read_all(client)


def test_a_stall_holds_back_what_follows_until_it_is_resumed(ends: Ends, relay: Relay) -> None:
    client, target = ends
    relay.up.stall_after(4)
    client.sendall(b"through-held")
    assert read_exactly(target, 4) == b"thro"
    assert relay.up.wait_bytes(4)
    target.sendall(b"the other way is free")  # by the time this has come back, the rest would have come
    assert read_exactly(client, 21)
    target.setblocking(False)
    with pytest.raises(BlockingIOError):
        target.recv(1)
    target.settimeout(30)
    relay.up.resume()
    assert read_exactly(target, 8) == b"ugh-held"


def test_reset_now_resets_what_is_open_and_serves_what_comes(ends: Ends, relay: Relay, listener: socket.socket) -> None:
    client, target = ends
    relay.reset_now()
    for sock in (client, target):
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    with socket.create_connection(("127.0.0.1", relay.port)) as again:
        again.sendall(b"new")
        fresh, _address = listener.accept()
        with fresh:
            assert read_exactly(fresh, 3) == b"new"


def test_a_delay_holds_each_byte_but_not_the_throughput(listener: socket.socket) -> None:
    now = [1000.0]
    relay = Relay(listener.getsockname()[1], clock=lambda: now[0])
    relay.set_delay(50.0)
    with socket.create_connection(("127.0.0.1", relay.port), timeout=30) as client:
        target, _address = listener.accept()
        client.sendall(bytes(20_000_000))
        assert relay.up.wait_taken(20_000_000)  # taken in although none of it is due
        target.setblocking(False)
        with pytest.raises(BlockingIOError):
            target.recv(1)
        target.settimeout(30)
        now[0] += 51.0
        client.sendall(b"x")  # the relay looks at the clock again
        assert len(read_exactly(target, 20_000_000)) == 20_000_000
        assert relay.up.wait_taken(20_000_001)
        assert relay.up.bytes == 20_000_000  # the last byte is not due yet
        target.close()
    relay.close()


def test_a_refused_target_is_a_reset(relay: Relay, listener: socket.socket) -> None:
    listener.close()
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", relay.port), timeout=30) as client,
    ):
        client.recv(1)


@pytest.mark.embedded
def test_ssh_through_a_stall_ends_well_and_through_a_cut_does_not(ssh_host: Callable[..., SshHost]) -> None:
    host = ssh_host("alpha", relay=True)
    assert host.relay is not None
    host.relay.down.stall_after(20_000)
    with subprocess.Popen([*host.ssh_argv(), "head -c 300000 /dev/zero"], stdout=subprocess.PIPE) as client:
        assert host.relay.down.wait_bytes(20_000)
        host.relay.down.resume()
        assert len(client.communicate(timeout=60)[0]) == 300_000
    host.relay.down.cut_after(20_000)
    assert host.run("head -c 300000 /dev/zero").returncode == 255


def _send_whatever(sock: socket.socket, data: bytes) -> None:
    try:
        sock.sendall(data)
    except OSError:
        return
