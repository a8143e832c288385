# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares port_forward with ssh -L: throughput, what it costs, and many connections.

    python -m benchmark.forward_ssh                          every row
    python -m benchmark.forward_ssh --only down --pairs 3    the rows whose name begins so
    python -m benchmark.forward_ssh --size 64MiB             smaller inputs, for a trial

The SSH host is an sshd of this machine, the service behind it a process of its own, which both sides use. They take
turns, as in benchmark.forward. ``cpu`` is what the processes that forward have used (ssh, or ours and its ssh), per
GiB; the client, sshd and the service are the same for both, and so is the cipher.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_login import SshLogin, kept_environment

from benchmark import forward
from benchmark.pipeline import size_in_bytes
from testbed.bed import Bed
from testbed.processes import children_of, command_of
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.tier import Tier

_CIPHER = ("-o", "Ciphers=aes128-gcm@openssh.com")
_OURS = """
import json, sys, time
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_transport import ssh_transport
from testbed.forwarding import Forwarding
given = json.loads(sys.stdin.readline())
spec = ForwardSpec("benchmark", "host", "127.0.0.1", (PortPair(0, given["port"]),))
transport = ssh_transport(spec, given["login"], lambda line: None)
transport.check(time.monotonic() + 30)
with Forwarding(transport, given["port"]) as forwarding:
    print(forwarding.port, flush=True)
    sys.stdin.read()
"""
_SERVICE = """
import contextlib, socket, sys, threading
size, zeros = int(sys.argv[1]), bytes(1 << 20)
def down(client):
    left = size
    while left:
        left -= client.send(zeros[:left])
def up(client):
    buffer, left = bytearray(1 << 20), size
    while left:
        left -= client.recv_into(buffer)
    client.sendall(b"k")
def small(client):
    client.sendall(b"0123456789abcdef")
def serve(listener, work):
    while True:
        client, _address = listener.accept()
        threading.Thread(target=one, args=(client, work)).start()
def one(client, work):
    with client, contextlib.suppress(OSError):  # one that only asks whether ssh listens
        work(client)
listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _each in range(3)]
print(*(listener.getsockname()[1] for listener in listeners), flush=True)
for listener, work in zip(listeners, (down, up, small)):
    threading.Thread(target=serve, args=(listener, work)).start()
"""


@dataclass(frozen=True)
class _Forwarder(forward.Forwarder):
    """A process that forwards, with the ssh that it started."""

    def cpu(self) -> float:
        masters = [pid for pid in children_of(self.process.pid) if " -N " in command_of(pid)]
        return sum(_cpu(pid) for pid in (self.process.pid, *masters))


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Scene:
    """An SSH host with a service that it reaches."""

    def __init__(self, host: SshHost, size: int) -> None:
        self._host = host
        self._service = subprocess.Popen([sys.executable, "-c", _SERVICE, str(size)], stdout=subprocess.PIPE, text=True)
        assert self._service.stdout is not None
        self.down, self.up, self.small = map(int, self._service.stdout.readline().split())

    def close(self) -> None:
        """End the service."""
        self._service.kill()
        self._service.wait()

    @contextlib.contextmanager
    def ours(self, port: int) -> Iterator[forward.Forwarder]:
        """Forward as port_forward does."""
        *argv, destination = self._host.ssh_argv(*_CIPHER)
        login = SshLogin("host", tuple(argv), destination, str(self._host.data), kept_environment())
        process = subprocess.Popen(
            [sys.executable, "-c", _OURS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps({"port": port, "login": login.parameters()}), file=process.stdin, flush=True)
        try:
            yield _Forwarder(process, int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait()

    @contextlib.contextmanager
    def theirs(self, port: int) -> Iterator[forward.Forwarder]:
        """Forward as ssh -L does."""
        listen = _free_port()
        options = (*_CIPHER, "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{listen}:127.0.0.1:{port}")
        process = subprocess.Popen(self._host.ssh_argv(*options), stdin=subprocess.DEVNULL, text=True)
        try:
            _await_port(listen)
            yield _Forwarder(process, listen)
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int) -> None:
    """Wait until ssh listens: it tells nobody."""
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise RuntimeError("ssh -L did not listen")
        time.sleep(0.02)


def main() -> None:
    """Run the rows and print each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name begins so: down, up, sequential, parallel")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=size_in_bytes, default=1 << 30)
    parser.add_argument("--sequential", type=int, default=500, help="connections one after another")
    parser.add_argument("--parallel", type=int, default=200, help="connections at a time")
    options = parser.parse_args()
    size, gib = options.size, options.size / (1 << 30)
    with Run() as run, Bed(run, Tier.NODE) as bed, contextlib.closing(Scene(bed.ssh_host("host"), size)) as scene:
        rows: dict[str, tuple[int, forward.Work, str, float, float]] = {
            "down": (scene.down, forward.moved("down", size), "MiB/s", size / (1 << 20), gib),
            "up": (scene.up, forward.moved("up", size), "MiB/s", size / (1 << 20), gib),
            "sequential": (scene.small, forward.sequential(options.sequential), "connections/s", options.sequential, 0),
            "parallel": (scene.small, forward.parallel(options.parallel), "connections/s", options.parallel, 0),
        }
        for name, (port, work, unit, amount, per) in rows.items():
            if name.startswith(options.only):
                found = forward.compared(scene, port, work, options.pairs)
                print(forward.report(f"{name}, ssh", unit, amount, found, per, "ssh -L"), flush=True)


if __name__ == "__main__":
    main()
