# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a forward to a service stays as it is while its pods are replaced, and over many connections.

    python -m benchmark.forward_pods --replacements 20 --connections 50000 --parallel 200

The supervisor that port_forward starts, the API of the test bed and real containers. Fails if a connection is refused
or falls short, or if memory, descriptors or threads grow.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _start
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._job import Job
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_way import kubernetes_way
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._state import ForwardFolder
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._status import ForwardStatus

from benchmark.forward_service import ANSWER, NAME, SMALL, container
from benchmark.forward_soak import at_rest, held
from integration.workloads import await_pods, service, workload
from testbed.kube import Kube
from testbed.kube.kubectl import find_kubectl
from testbed.run import Run

_SECONDS = 60.0
_NAME, _SMALL = 7001, 7002
_GROWTH = 4 << 20
"""Bytes of memory that count as none."""
_THREADS = 4
"""Clients that connect all the time while pods are replaced."""


def ask(port: int, size: int | None = None) -> bytes:
    """Return what a connection brings: so many bytes, or a line. containerd tells the end of it a second later."""
    with socket.create_connection(("127.0.0.1", port), timeout=_SECONDS) as connection:
        if size is not None:
            return connection.recv(size, socket.MSG_WAITALL)
        with connection.makefile("rb") as stream:
            return stream.readline()


@contextlib.contextmanager
def forwarded(kubeconfig: Path, directory: Path) -> Iterator[tuple[ForwardFolder, ForwardStatus]]:
    """Forward both ports of the service."""
    folder = ForwardFolder(directory / "state")
    folder.make()
    spec = ForwardSpec("soak", "pods", "service/web", (PortPair(0, _NAME), PortPair(0, _SMALL)))
    way = kubernetes_way(Access((find_kubectl(),), (str(kubeconfig),), str(kubeconfig)), spec)
    owner = os.pidfd_open(os.getpid())
    try:
        yield folder, _start.ensure(folder, Job(spec, "kubernetes", way, str(folder.path), (owner,))).status
    finally:
        _start.stop(folder, "soak")
        os.close(owner)


def replace_pods(kube: Kube, port: int, times: int) -> str:
    """Replace the pod so often under load; return a line about it, or exit if a connection failed."""
    names: list[bytes] = []
    failed: list[str] = []
    longest = [0.0] * _THREADS
    over = threading.Event()

    def keep_asking(number: int) -> None:
        while not over.is_set():
            started = time.monotonic()
            try:
                names.append(ask(port))
            except OSError as exc:
                failed.append(str(exc))
            longest[number] = max(longest[number], time.monotonic() - started)

    threads = [threading.Thread(target=keep_asking, args=(number,)) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for _each in range(times):
        (old,) = await_pods(kube, "web", 1)
        kube.delete("Pod", old, grace_seconds=10)
        heard, deadline = len(names), time.monotonic() + _SECONDS
        while len(names) < heard + 200 or names[-1] == old.encode() + b"\n":
            if time.monotonic() > deadline:
                sys.exit(f"nobody answers {_SECONDS:g} seconds after {old} was deleted")
            time.sleep(0.01)
    over.set()
    for thread in threads:
        thread.join()
    short = sum(not (name.startswith(b"web-") and name.endswith(b"\n")) for name in names)
    if failed or short:
        sys.exit(f"{len(failed)} of {len(names)} connections failed ({failed[:1]}), {short} fell short")
    return (
        f"{times} pods replaced under {len(names)} connections, {len(set(names))} pods answered, none was refused; "
        f"the longest took {max(longest):.1f} s"
    )


def many(port: int, count: int, parallel: int) -> None:
    """Make connections, ``parallel`` at a time; exit if one falls short."""
    left = iter(range(count))
    lock = threading.Lock()
    wrong: list[str] = []

    def work() -> None:
        while True:
            with lock:
                if next(left, None) is None:
                    return
            try:
                if ask(port, len(ANSWER)) != ANSWER:
                    wrong.append("it fell short")
            except OSError as exc:
                wrong.append(str(exc))

    threads = [threading.Thread(target=work) for _each in range(parallel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit(f"{len(wrong)} of {count} connections failed: {wrong[0]}")


def soak(folder: ForwardFolder, pid: int, port: int, connections: int, parallel: int) -> None:
    """Make the connections, look at what is held ten times, and exit if that grows."""
    for _round in range(2):
        many(port, 5 * parallel, parallel)
    print(f"{parallel} at a time: {10 * parallel} connections, all answered", flush=True)
    at_rest(folder)
    seen = []
    for share in range(10):
        started = time.monotonic()
        many(port, connections // 10, 1)
        rate = connections // 10 / (time.monotonic() - started)
        at_rest(folder)
        seen.append(held(pid))
        memory, fds, threads = seen[-1]
        print(
            f"{(share + 1) * connections // 10:7} one after another: {memory >> 10} KiB, {fds} descriptors, "
            f"{threads} threads, {rate:.0f}/s",
            flush=True,
        )
    first, last = (statistics.median(each[0] for each in part) for part in (seen[:3], seen[-3:]))
    descriptors = {each[1] for each in seen}
    if last > first + _GROWTH or max(descriptors) - min(descriptors) > 2 or seen[-1][2] > seen[0][2]:
        sys.exit(f"it grew from {seen[0]} to {seen[-1]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replacements", type=int, default=20)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--parallel", type=int, default=200)
    options = parser.parse_args()
    with Run() as run, Kube("cri", workdir=run.new_directory("kube")) as kube:
        made = workload("Deployment", "web", "true")
        made["spec"]["template"]["spec"]["containers"] = [container(_NAME, NAME), container(_SMALL, SMALL)]
        kube.create(made)
        found = service("web", {"app": "web"})
        found["spec"]["ports"] = [{"port": port, "name": f"p{port}", "targetPort": port} for port in (_NAME, _SMALL)]
        kube.create(found)
        await_pods(kube, "web", 1)
        kubeconfig = run.new_directory("config") / "kubeconfig"
        kube.write_kubeconfig(kubeconfig)
        with forwarded(kubeconfig, run.new_directory("forward")) as (folder, status):
            ports = [bound.listen for bound in status.ports]
            if options.replacements:
                before = held(status.pid)
                print(replace_pods(kube, ports[0], options.replacements), flush=True)
                at_rest(folder)
                print(f"held before and after: {before}, {held(status.pid)} (bytes, descriptors, threads)", flush=True)
            if options.connections:
                soak(folder, status.pid, ports[1], options.connections, options.parallel)


if __name__ == "__main__":
    main()
