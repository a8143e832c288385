# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before and after a change of a node's NICs, and the lock that keeps runs apart, on test nodes."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.on_node import KILLED, Remote
from testbed.net.node import Node

pytestmark = pytest.mark.node
LOCK = "run/manifold-core/multinic.lock"

LISTEN = """
import socket
with socket.create_server(("::", 6443), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""


@pytest.fixture
def gateway(node: Callable[..., Node]) -> Node:
    """A node whose gateway, by IPv4 and IPv6, is at the far end of its first NIC and accepts connections at 6443."""
    made = node()
    made.add_nic("eth0", "fa:16:3e:00:00:00", "192.0.2.1/24")
    made.add_nic("eth1", "fa:16:3e:00:00:01", up=True)
    far = "ip address add 192.0.2.254/24 dev far1; ip address add 2001:db8::fe/64 dev far1 nodad"
    _check(made.run_far(["sh", "-c", f"{far}; echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore; ip link set lo up"]))
    for command in (
        "ip address add 2001:db8::1/64 dev eth0 nodad",
        "ip route add default via 192.0.2.254",
        "ip -6 route add default via 2001:db8::fe",
    ):
        _check(made.run(command.split()))
    return made


@pytest.fixture
def remote(gateway: Node) -> Iterator[Remote]:
    started = Remote(gateway)
    yield started
    started.close()


@pytest.fixture
def listening(gateway: Node) -> None:
    """Something at the gateway that accepts connections; it ends with the node."""
    process = subprocess.Popen(
        gateway.far_argv([sys.executable, "-c", LISTEN]), stdout=subprocess.PIPE, env=gateway.environment()
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"listening\n"


def _check(done: subprocess.CompletedProcess[bytes]) -> None:
    assert done.returncode == 0, done.stderr


def look(remote: Remote, *commands: list[str], seconds: float = 1.5, **verify: object) -> tuple[list[str], list[str]]:
    """Return what worked before these commands, and why something does not after them."""
    done = remote.call("verify", before=verify, commands=commands, seconds=seconds)
    assert done["took"] < seconds + 1
    return done["working"], done["failed"]


FOUR, SIX = "gateway 192.0.2.254 on eth0", "gateway 2001:db8::fe on eth0"
GONE = [
    ["ip", "address", "del", "192.0.2.254/24", "dev", "far1"],
    ["ip", "address", "del", "2001:db8::fe/64", "dev", "far1"],
]
SILENT = ["no answer to ICMP echo nor as a neighbour"] * 2
IGNORE_PINGS = "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all; echo 1 > /proc/sys/net/ipv6/icmp/echo_ignore_all"


def reasons(failed: list[str], *names: str) -> list[str]:
    """Return the causes in messages about these checks."""
    heads = [f"{name} worked before and does not any more: " for name in names]
    assert [text.startswith(head) for text, head in zip(failed, heads, strict=True)] == [True] * len(names), failed
    return [text[len(head) :] for text, head in zip(failed, heads, strict=True)]


@pytest.mark.parametrize("pings", [True, False])
def test_a_gateway_is_missed_when_it_is_cut_off(gateway: Node, remote: Remote, pings: bool) -> None:
    if not pings:
        _check(gateway.run_far(["sh", "-c", IGNORE_PINGS]))
    assert look(remote, seconds=10) == ([FOUR, SIX], [])
    # the kernel still takes the neighbours for reachable
    working, failed = look(remote, *(gateway.far_argv(command) for command in GONE), seconds=2.5)
    assert working == [FOUR, SIX]
    assert reasons(failed, FOUR, SIX) == SILENT
    assert look(remote, seconds=0.5) == ([], []), "what did not work before is not demanded after"


def test_a_gateway_that_comes_back_in_time_has_not_failed(gateway: Node, remote: Remote) -> None:
    add = "ip address add 192.0.2.254/24 dev far1"
    later = f"ip address del 192.0.2.254/24 dev far1; (sleep 0.3; {add}) > /dev/null 2>&1 &"
    working, failed = look(remote, gateway.far_argv(["sh", "-c", later]), seconds=4)
    assert (working, failed) == ([FOUR, SIX], [])


@pytest.mark.usefixtures("listening")
def test_what_accepted_connections_or_a_command_that_worked_must_still_do(remote: Remote) -> None:
    verify: dict[str, Any] = {
        "gateway": False,
        "tcp": ["192.0.2.254:6443", "[2001:db8::fe]:6443", "192.0.2.254:1"],
        "command": "ip route get 198.51.100.9",
    }
    names = ["tcp 192.0.2.254:6443", "tcp [2001:db8::fe]:6443", "command 'ip route get 198.51.100.9'"]
    working, failed = look(remote, ["ip", "link", "set", "dev", "eth0", "down"], **verify)
    assert working == names
    assert reasons(failed, *names) == [
        "Network is unreachable",
        "Network is unreachable",
        "RTNETLINK answers: Network is unreachable",
    ]


def test_a_command_that_hangs_is_bounded(remote: Remote) -> None:
    working, failed = look(remote, seconds=0.5, gateway=False, command="sleep 60")
    assert (working, failed) == ([], [])


@pytest.mark.parametrize("endpoint", ["192.0.2.1", "host:0", "host:65536", "2001:db8::1:80", "[host]:80", "a b:80", ""])
def test_an_endpoint_that_is_none_is_an_error_that_shows_it(remote: Remote, endpoint: str) -> None:
    done = remote.call("verify", before={"gateway": False, "tcp": [endpoint]}, commands=[], seconds=1)
    said = f"verify.tcp: {endpoint!r} is not host:port, 192.0.2.1:port or [2001:db8::1]:port"
    assert done == {"error": said}


def test_the_second_run_waits_and_then_names_the_holder_of_the_lock(gateway: Node, remote: Remote) -> None:
    assert remote.call("locked", wait=0) is None
    with (gateway.root / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        began = time.monotonic()
        said = f"another run is at the NICs of this node (pid 4711, which holds /{LOCK}); waited 0.3 s"
        assert remote.call("locked", wait=0.3) == said
        assert time.monotonic() - began >= 0.3
    assert remote.call("locked", wait=0) is None


def test_a_run_that_was_killed_holds_no_lock(remote: Remote) -> None:
    assert remote.call("locked_and_killed") == KILLED
    assert remote.call("locked", wait=0) is None
