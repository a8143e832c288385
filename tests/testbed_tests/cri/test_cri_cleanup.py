# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves behind: nothing, however it ends.

The tests look for the run's unique name in what the kernel shows, not in what the backend says it owns.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import testbed
from testbed.kube.backend import BackendError
from testbed.kube.cri import CriBackend
from testbed.reaper import base_directory, recover

pytestmark = pytest.mark.node

TESTS = Path(testbed.__file__).parents[1]
CGROUPS = Path("/sys/fs/cgroup")
# Starts a backend and a pod with all that could be left: a tmpfs, an extra NIC, a running command.
OWNER = """
import json, signal, sys
from testbed.kube.backend import ExecRequest
from testbed.kube.cri import CriBackend
backend = CriBackend()
try:
    spec = {
        "containers": [{"name": "main", "image": "testbed"}],
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
    }
    backend.create({"metadata": {"uid": "u", "name": "pod"}, "spec": spec})
    backend.add_nic("u", "nic1", "02:00:5e:10:00:02")
    backend.exec("u", ExecRequest("main", ("sleep", "1000"), stdin=False, stdout=False, stderr=False))
    print(json.dumps({"directory": str(backend.layout.directory), "reaper": backend.reaper.pid}), flush=True)
    signal.pause()
finally:
    backend.close()
"""


def traces(name: str) -> list[str]:
    """Return every process, mount, interface, control group and file on this machine that carries ``name``.

    A network namespace lives through its mount or its processes, and takes its interfaces along.
    """
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            about = (entry / "cmdline").read_bytes() + (entry / "cgroup").read_bytes()
            ours = entry.name.isdigit() and int(entry.name) != os.getpid() and name.encode() in about
            # The first process of the machine reaps orphans in its own time.
            if ours and " Z " not in (entry / "stat").read_text():
                found.append(f"process {entry.name} {about!r}")
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    links = json.loads(subprocess.run(["ip", "-j", "link", "show"], capture_output=True, check=True).stdout)
    found += [f"link {link['ifname']}" for link in links if name in link["ifname"] + link.get("master", "")]
    groups = [*CGROUPS.glob(f"*{name}*"), *CGROUPS.glob(f"*/*{name}*")]
    found += [str(path) for group in groups for path in (group, *group.glob("**/"))]
    found += [str(path) for path in Path("/var/lib/cni").glob(f"**/*{name}*")]
    found += [str(path) for path in base_directory().glob(f"*{name}*")]
    return found


def strays(directory: Path) -> set[Path]:
    """Return files of a run's containers that programs' conventions put elsewhere, without the run's name."""
    found: set[Path] = set()
    for bundle in directory.glob("state/io.containerd.runtime.v2.task/*/*"):
        found.add(Path((bundle / "address").read_text().removeprefix("unix://")))
        found.update(Path("/var/lib/cni/results").glob(f"*{bundle.name}*"))
    return found


@dataclass
class Owner:
    """A process that owns a backend."""

    process: subprocess.Popen[str]
    directory: Path
    reaper: int

    @property
    def name(self) -> str:
        """The part of the run's name that stands in everything it makes."""
        return self.directory.name.rpartition("-")[2]


@pytest.fixture
def owner(backend: CriBackend) -> Iterator[Owner]:
    """Start an owner; the session's own backend shows beside it that a sweep takes only what it should."""
    assert backend.layout.directory.exists()
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process:
        facts = json.loads(process.stdout.readline())
        yield Owner(process, Path(facts["directory"]), facts["reaper"])
        process.kill()


def await_end(pid: int, seconds: float = 60) -> None:
    """Wait until a process that need not be our child has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(seconds * 1000), f"process {pid} did not end in {seconds} s"
    finally:
        os.close(fd)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_however_the_owner_dies(backend: CriBackend, owner: Owner, signum: signal.Signals) -> None:
    kinds = " ".join(traces(owner.name))
    links = (f"link mf{owner.name}", f"link mf{owner.name}n1", "link veth")
    for expected in ("containerd-shim", "runc", "sleep", "nsfs", "overlay", "tmpfs", "/sys/fs/cgroup", *links):
        assert expected in kinds
    files = strays(owner.directory)
    assert files
    owner.process.send_signal(signum)
    owner.process.wait(60)
    await_end(owner.reaper)
    assert traces(owner.name) == []
    assert not any(path.exists() for path in files)
    assert backend.layout.socket.exists()
    assert traces(backend.layout.name)


def test_the_next_start_cleans_up_after_an_owner_and_a_reaper_that_both_died(owner: Owner) -> None:
    os.kill(owner.reaper, signal.SIGKILL)
    owner.process.kill()
    owner.process.wait(60)
    await_end(owner.reaper)
    assert traces(owner.name)
    assert owner.directory in recover(base_directory())
    assert traces(owner.name) == []


def test_a_killed_containerd_does_not_keep_the_sweep_from_its_work(owner: Owner) -> None:
    for line in traces(owner.name):
        if line.startswith("process") and "containerd\\x00--config" in line:
            os.kill(int(line.split()[1]), signal.SIGKILL)
    owner.process.kill()
    owner.process.wait(60)
    await_end(owner.reaper)
    assert traces(owner.name) == []


def test_a_deleted_pod_leaves_nothing(backend: CriBackend, start_pod: Callable[..., str]) -> None:
    start_pod()  # the first one makes what the run keeps: the parent control group and the lease files
    before, files = set(traces(backend.layout.name[2:])), strays(backend.layout.directory)
    leases = set(backend.layout.ipam.glob("*/198.*"))
    uid = start_pod({"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]})
    backend.add_nic(uid, "nic1", "02:00:5e:10:00:03")
    assert set(traces(backend.layout.name[2:])) - before
    new_files = strays(backend.layout.directory) - files
    assert len(new_files) == 3  # the shim's socket and the results of two networks, loopback being one
    assert set(backend.layout.ipam.glob("*/198.*")) - leases
    backend.delete(uid, 0)
    assert set(traces(backend.layout.name[2:])) - before == set()
    assert not any(path.exists() for path in new_files)
    assert set(backend.layout.ipam.glob("*/198.*")) == leases
    assert not backend.layout.pod(uid).exists()
    assert not backend.layout.logs(uid).exists()


def test_close_leaves_nothing_and_may_be_called_twice(backend: CriBackend) -> None:
    assert backend.layout.directory.exists()  # a second backend at the same time is the harder case
    second = CriBackend()
    name = second.layout.name[2:]
    try:
        pod = {"containers": [{"name": "main", "image": "testbed"}]}
        second.create({"metadata": {"uid": "u", "name": "pod"}, "spec": pod})
        assert traces(name)
        files = strays(second.layout.directory)
        assert files
        assert second.network.subnet != backend.network.subnet
    finally:
        second.close()
    assert traces(name) == []
    assert not any(path.exists() for path in files)
    second.close()
    with pytest.raises(BackendError, match="closed"):
        second.create({"metadata": {"uid": "v", "name": "late"}, "spec": pod})
