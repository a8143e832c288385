# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares port_forward with kubectl port-forward: throughput, what it costs, and many connections.

    python -m benchmark.forward                          every row
    python -m benchmark.forward --only down --pairs 3    the rows whose name begins so
    python -m benchmark.forward --size 64MiB             smaller inputs, for a trial

The pod is a container, in front of it is the API of the test bed, in a process of its own that both sides use. They
take turns, and who begins changes from round to round; a round that is not counted comes first. ``cpu`` is what the
process that forwards has used (kubectl, or ours), per GiB; the client, the API and the pod are the same for both.

Each row is run with the API taking WebSockets, and with it refusing them, so that both sides speak SPDY.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._credentials import Source
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_parameters import KubeParameters

from benchmark.cost import interval
from benchmark.forward_service import ANSWER
from benchmark.pipeline import size_in_bytes
from testbed.kube.kubectl import find_kubectl
from testbed.run import Run

_DOWN, _UP, _SMALL = 7001, 7002, 7003
_MIB = 1 << 20
_CLIENT = """
import hashlib, socket, sys, time
way, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
buffer = memoryview(bytearray(1 << 20))
start = time.monotonic()
with socket.create_connection(("127.0.0.1", port)) as connection:
    done = 0
    if way == "down":
        while done < size:
            count = connection.recv_into(buffer)
            if not count:
                sys.exit(f"the connection ended after {done} bytes")
            done += count
    else:
        while done < size:
            done += connection.send(buffer[: size - done])
        if connection.recv(1) != b"k":
            sys.exit("no answer")
print(time.monotonic() - start)
"""
_SERVER = """
import sys
from pathlib import Path
from benchmark.forward_service import DOWN, SMALL, UP, container
from testbed.kube import Kube
with Kube("cri", workdir=Path(sys.argv[1])) as kube:
    size = int(sys.argv[2]) >> 20
    kube.pod("pod", containers=[container(7001, DOWN, size), container(7002, UP, size), container(7003, SMALL)])
    kube.write_kubeconfig(Path(sys.argv[1]) / "kubeconfig")
    print("ready", flush=True)
    for line in sys.stdin:
        kube.websockets = line.strip() == "websocket"
        print("set", flush=True)
"""


@dataclass(frozen=True)
class Forwarder:
    """A process that forwards."""

    process: subprocess.Popen[str]
    port: int

    def cpu(self) -> float:
        """Return the CPU seconds it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0


class Scene:
    """An API with a pod, in a process of its own."""

    def __init__(self, run: Run, size: int) -> None:
        self.directory = run.new_directory("kube")
        self.kubeconfig = self.directory / "kubeconfig"
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, str(self.directory), str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._hear()

    def _hear(self) -> None:
        assert self._server.stdout is not None
        if not self._server.stdout.readline():
            raise RuntimeError("the API did not start")

    def speak(self, protocol: str) -> None:
        """Let the API take WebSockets, or refuse them."""
        assert self._server.stdin is not None
        print(protocol, file=self._server.stdin, flush=True)
        self._hear()

    def close(self) -> None:
        """End it."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()

    @contextlib.contextmanager
    def ours(self, port: int) -> Iterator[Forwarder]:
        """Forward as port_forward does."""
        parameters = KubeParameters("pod", "pod/pod", (port,), Source((find_kubectl(),), (str(self.kubeconfig),)))
        argv = [sys.executable, "-m", "testbed.forwarding"]
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(asdict(parameters)), file=process.stdin, flush=True)
        try:
            yield Forwarder(process, int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait()

    @contextlib.contextmanager
    def theirs(self, port: int) -> Iterator[Forwarder]:
        """Forward as kubectl does."""
        argv = [find_kubectl(), "--kubeconfig", str(self.kubeconfig), "port-forward", "pod/pod", f":{port}"]
        env = {**os.environ, "KUBECACHEDIR": str(self.directory / "cache")}
        process = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        try:
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found, "kubectl did not forward"
            drain = threading.Thread(target=process.stdout.read, daemon=True)  # it prints a line for each connection
            drain.start()
            yield Forwarder(process, int(found[1]))
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Measured:
    """What one run took."""

    seconds: float
    cpu: float
    memory: int


Work = Callable[[int], float]


def moved(way: str, size: int) -> Work:
    """Return what moves a size one way, and how long that took."""

    def work(port: int) -> float:
        done = subprocess.run(
            [sys.executable, "-c", _CLIENT, way, str(port), str(size)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        return float(done.stdout)

    return work


def _asked(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        if connection.recv(len(ANSWER), socket.MSG_WAITALL) != ANSWER:
            raise RuntimeError("a connection got no answer")


def sequential(count: int) -> Work:
    """Return what makes connections one after another."""

    def work(port: int) -> float:
        start = time.monotonic()
        for _each in range(count):
            _asked(port)
        return time.monotonic() - start

    return work


def parallel(count: int) -> Work:
    """Return what makes connections at once."""

    def work(port: int) -> float:
        ready, failed = threading.Barrier(count + 1), []

        def ask() -> None:
            ready.wait()
            try:
                _asked(port)
            except (OSError, RuntimeError) as exc:
                failed.append(exc)

        threads = [threading.Thread(target=ask) for _each in range(count)]
        for thread in threads:
            thread.start()
        ready.wait()
        start = time.monotonic()
        for thread in threads:
            thread.join()
        if failed:
            raise RuntimeError(f"{len(failed)} of {count} connections failed: {failed[0]}")
        return time.monotonic() - start

    return work


def _measured(
    forward: Callable[[int], contextlib.AbstractContextManager[Forwarder]], port: int, work: Work
) -> Measured:
    with forward(port) as forwarder:
        before = forwarder.cpu()
        seconds = work(forwarder.port)
        return Measured(seconds, forwarder.cpu() - before, forwarder.memory())


class Sides(Protocol):
    """What is compared: a context manager for each side, given the port to forward to."""

    def ours(self, port: int) -> contextlib.AbstractContextManager[Forwarder]: ...

    def theirs(self, port: int) -> contextlib.AbstractContextManager[Forwarder]: ...


def compared(scene: Sides, port: int, work: Work, pairs: int) -> list[tuple[Measured, Measured]]:
    """Return what both sides took, pair by pair."""
    found = []
    for number in range(pairs + 1):
        if number % 2:
            theirs = _measured(scene.theirs, port, work)
            ours = _measured(scene.ours, port, work)
        else:
            ours = _measured(scene.ours, port, work)
            theirs = _measured(scene.theirs, port, work)
        if number:
            found.append((ours, theirs))
    return found


def report(
    name: str, unit: str, amount: float, found: list[tuple[Measured, Measured]], gib: float, peer: str = "kubectl"
) -> str:
    """Return the lines of a row."""
    ratios = [theirs.seconds / ours.seconds for ours, theirs in found]
    low, high = interval(ratios)
    lines = [f"{name}: {statistics.median(ratios):.2f} of the speed of {peer} [{low:.2f}, {high:.2f}]"]
    for who, runs in (("port_forward", [one for one, _two in found]), (peer, [two for _one, two in found])):
        speed = statistics.median(amount / run.seconds for run in runs)
        cpu = statistics.median(run.cpu / gib if gib else run.cpu for run in runs)
        memory = max(run.memory for run in runs) / _MIB
        lines.append(
            f"  {who:14}{speed:9.0f} {unit}   cpu {cpu:6.2f} s{'/GiB' if gib else ''}   resident {memory:4.0f} MiB"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the rows and print each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name begins so: down, up, sequential, parallel")
    parser.add_argument("--protocol", choices=["websocket", "spdy"], help="just one of them")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--size", type=size_in_bytes, default=1 << 30)
    parser.add_argument("--sequential", type=int, default=10_000, help="connections one after another")
    parser.add_argument("--parallel", type=int, default=200, help="connections at a time")
    options = parser.parse_args()
    size, gib = options.size, options.size / (1 << 30)
    rows: dict[str, tuple[int, Work, str, float, float]] = {
        "down": (_DOWN, moved("down", size), "MiB/s", size / _MIB, gib),
        "up": (_UP, moved("up", size), "MiB/s", size / _MIB, gib),
        "sequential": (_SMALL, sequential(options.sequential), "connections/s", options.sequential, 0.0),
        "parallel": (_SMALL, parallel(options.parallel), "connections/s", options.parallel, 0.0),
    }
    with Run() as run:
        scene = Scene(run, size)
        try:
            for protocol in [options.protocol] if options.protocol else ["websocket", "spdy"]:
                scene.speak(protocol)
                for name, (port, work, unit, amount, per) in rows.items():
                    if name.startswith(options.only):
                        found = compared(scene, port, work, options.pairs)
                        print(report(f"{name}, {protocol}", unit, amount, found, per), flush=True)
        finally:
            scene.close()


if __name__ == "__main__":
    main()
