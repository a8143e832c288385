# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a forward stays as it is over many connections.

    python -m benchmark.forward_soak --connections 50000 --parallel 200

A supervisor, with a transport that connects straight to an echo server, so that what is seen is its own: connections
one after another, then many at a time; what it holds is looked at ten times on the way. Fails if memory or descriptors
grow, or if a connection is refused or falls short.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _start
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._job import Job
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._state import ForwardFolder
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._transport import Way

from unit.direct import FACTORY
from unit.forwards import Echo, ask

_GROWTH = 4 << 20
"""Bytes of memory that count as none."""
_TESTS = Path(__file__).resolve().parents[1]


def held(pid: int) -> tuple[int, int, int]:
    """Return the resident memory (bytes), the descriptors and the threads of a process."""
    values = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    fds = sum(1 for _fd in Path(f"/proc/{pid}/fd").iterdir())
    return int(values["VmRSS"].split()[0]) << 10, fds, int(values["Threads"])


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
        seen.append(held(pid))
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=200)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = f"{_TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    echo = Echo()
    with tempfile.TemporaryDirectory() as directory:
        folder = ForwardFolder(Path(directory) / "state")
        folder.make()
        owner = os.pidfd_open(os.getpid())
        spec = ForwardSpec("soak", "none", "127.0.0.1", (PortPair(0, echo.port),))
        status = _start.ensure(folder, Job(spec, "ssh", Way(FACTORY, {}, ""), str(folder.path), (owner,))).status
        seen = soak(folder, status.pid, status.ports[0].listen, options.connections, options.parallel)
        _start.stop(folder, "soak")
    echo.close()
    first, last = seen[0], seen[-1]
    if last[0] > first[0] + _GROWTH or last[1] > first[1] or last[2] > first[2]:
        raise SystemExit(f"it grew from {first} to {last}")


if __name__ == "__main__":
    main()
