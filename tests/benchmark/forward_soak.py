# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a forward stays as it is over many connections.

    python -m benchmark.forward_soak --connections 50000 --parallel 200
    python -m benchmark.forward_soak --over ssh --connections 10000 --parallel 200 --size 1GiB

A supervisor, with a transport that connects straight to an echo server, so that what is seen is its own, or with the
one for SSH and an sshd of this machine: many connections at a time, then one after another, then one that sends a
stream through which all comes back, compared by its digest. What is held is looked at on the way; with SSH the
supervisor's ssh counts as well. Fails if memory, descriptors or threads grow, if ssh was started again, or if a
connection is refused or falls short.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _start
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._job import Job
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._state import ForwardFolder
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._transport import Way

from benchmark.pipeline import size_in_bytes
from integration.forwarding import login_to
from testbed.bed import Bed
from testbed.processes import children_of, command_of
from testbed.run import Run
from testbed.tier import Tier
from unit.direct import FACTORY
from unit.forwards import Echo, ask

_SSH = "ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_transport:ssh_transport"
_GROWTH = 4 << 20
"""Bytes of memory that count as none."""
_CLOSING = 3
"""Descriptors of a connection that ssh has not quite closed yet."""
_TESTS = Path(__file__).resolve().parents[1]


def held(pid: int) -> tuple[int, int, int]:
    """Return the resident memory (bytes), the descriptors and the threads of a process."""
    values = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    fds = sum(1 for _fd in Path(f"/proc/{pid}/fd").iterdir())
    return int(values["VmRSS"].split()[0]) << 10, fds, int(values["Threads"])


def held_with_ssh(pid: int) -> tuple[int, int, int]:
    """Return the same of a supervisor and its ssh together."""
    ssh = [child for child in children_of(pid) if " -N " in command_of(child)]
    each = [held(one) for one in (pid, *ssh)]
    return sum(one[0] for one in each), sum(one[1] for one in each), sum(one[2] for one in each)


def at_rest(folder: ForwardFolder) -> None:
    """Wait until no connection is left."""
    while (status := _start.find(folder, "soak")) is not None and status.active:
        time.sleep(0.05)


def soak(folder: ForwardFolder, pid: int, port: int, connections: int, parallel: int) -> list[tuple[int, int, int]]:
    """Make the connections; return what was held on the way."""
    whole = b"hello" + Echo.LAST
    seen = []
    with ThreadPoolExecutor(parallel) as pool:
        # first, so that what so many threads leave is there before anything is compared
        for _round in range(2):
            if {*pool.map(lambda _number: ask(port), range(parallel * 5))} != {whole}:
                raise SystemExit("a connection fell short")
    for share in range(10):
        started, cpu = time.monotonic(), _cpu(pid)
        for _number in range(connections // 10):
            if ask(port) != whole:
                raise SystemExit("a connection fell short")
        at_rest(folder)
        seen.append(held_with_ssh(pid))
        each = (_cpu(pid) - cpu) / (connections // 10) * 1e6
        memory, fds, threads = seen[-1]
        print(
            f"{(share + 1) * connections // 10:7} one after another: {memory >> 10} KiB, {fds} descriptors, {threads} "
            f"threads; {each:.0f} us of CPU each, {time.monotonic() - started:.1f} s",
            flush=True,
        )
    return seen


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stream_back(port: int, size: int) -> str:
    """Send so many bytes and get them back; return a line about it, or exit if they are others."""
    piece = os.urandom(1 << 20)
    sent, came, count = hashlib.sha256(), hashlib.sha256(), 0
    started = time.monotonic()

    def send() -> None:
        for number in range(size >> 20):
            data = number.to_bytes(8, "big") + piece[8:]
            sent.update(data)
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    with socket.create_connection(("127.0.0.1", port)) as client:
        sender = threading.Thread(target=send)
        sender.start()
        last = b""
        while data := client.recv(1 << 20):
            whole = last + data
            last = whole[-len(Echo.LAST) :]
            came.update(whole[: -len(Echo.LAST)])
            count += len(data)
        sender.join()
    if last != Echo.LAST or count != (size >> 20 << 20) + len(last) or came.digest() != sent.digest():
        raise SystemExit(f"of {size} bytes {count} came back, and not the same")
    return f"{size >> 20} MiB each way at once, intact: {time.monotonic() - started:.1f} s"


@contextlib.contextmanager
def way(over: str) -> Iterator[tuple[str, Way]]:
    """Return the kind of a forward, and what leads to this machine."""
    if over == "direct":
        yield "ssh", Way(FACTORY, {}, "")
        return
    with Run() as run, Bed(run, Tier.NODE) as bed:
        yield "ssh", Way(_SSH, login_to(bed.ssh_host("host")).parameters(), "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--over", choices=["direct", "ssh"], default="direct")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=200)
    parser.add_argument("--size", type=size_in_bytes, default=1 << 30)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = f"{_TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    echo = Echo()
    with way(options.over) as (kind, leads), tempfile.TemporaryDirectory() as directory:
        folder = ForwardFolder(Path(directory) / "state")
        folder.make()
        owner = os.pidfd_open(os.getpid())
        spec = ForwardSpec("soak", "none", "127.0.0.1", (PortPair(0, echo.port),))
        status = _start.ensure(folder, Job(spec, kind, leads, str(folder.path), (owner,))).status
        port = status.ports[0].listen
        seen = soak(folder, status.pid, port, options.connections, options.parallel)
        print(stream_back(port, options.size), flush=True)
        at_rest(folder)
        seen.append(held_with_ssh(status.pid))
        print(f"held in the end: {seen[-1][0] >> 10} KiB, {seen[-1][1]} descriptors, {seen[-1][2]} threads")
        over = _start.find(folder, "soak")
        _start.stop(folder, "soak")
    echo.close()
    if over is None or over.restarts or over.last_error:
        raise SystemExit(f"it did not stay as it was: {over}")
    first, last = seen[0], seen[-1]
    if last[0] > first[0] + _GROWTH or last[1] > first[1] + _CLOSING or last[2] > first[2]:
        raise SystemExit(f"it grew from {first} to {last}")


if __name__ == "__main__":
    main()
