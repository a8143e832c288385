# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remove whatever a run of the CRI backend has left, by what carries its name.

This is the floor under the orderly way (stop the pods, stop containerd): it asks no daemon, so it also works
when containerd was killed half way through. The reaper runs it as a program; it imports nothing
but the standard library and the reaper's own process functions.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from testbed.reaper import end_processes, mount_points, process_ids

_CGROUPS = Path("/sys/fs/cgroup")
_PROGRAMS = frozenset({"containerd", "containerd-shim-runc-v2", "runc", "ctr"})
# libcni keeps the result of each ADD there, whatever its caller configures.
_CNI_RESULTS = Path("/var/lib/cni/results")


def sweep(directory: Path, name: str) -> None:
    """Remove processes, mounts, interfaces, control groups and stray files of the run ``name`` in ``directory``."""
    end_run_processes(directory, name)
    unmount_below(directory)
    remove_interfaces(name)
    remove_cgroups(name)
    for path in stray_files(directory, name):
        path.unlink(missing_ok=True)


def end_run_processes(directory: Path, name: str) -> None:
    """Kill containerd, then everything in the containers, then the shims (who reap the containers)."""
    for _round in range(5):  # a fork may slip through between listing and killing
        tools = _tool_processes(directory)
        contained = cgroup_processes(name)
        if not tools and not contained:
            return
        end_processes([pid for pid, program in tools.items() if program == "containerd"], grace_seconds=0)
        end_processes(contained, grace_seconds=0)
        end_processes([pid for pid, program in tools.items() if program != "containerd"], grace_seconds=0)
    raise OSError(errno.EBUSY, f"processes of {name} keep coming back")


def _tool_processes(directory: Path) -> dict[int, str]:
    """Return containerd's tools that work on this run: those with a path below ``directory`` in their argv."""
    found = {}
    for pid in process_ids():
        with contextlib.suppress(OSError):
            argv = [os.fsdecode(part) for part in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
            state = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2][0]
            program = Path(argv[0]).name
            if program in _PROGRAMS and state != "Z" and any(arg.startswith(f"{directory}/") for arg in argv[1:]):
                found[pid] = program
    return found


def cgroup_directories(name: str) -> list[Path]:
    """Return the directories of a top-level control group: one per hierarchy (v1), or a single one (v2)."""
    candidates = [_CGROUPS / name, *_CGROUPS.glob(f"*/{name}")]
    return [path for path in candidates if path.is_dir()]


def cgroup_processes(name: str) -> list[int]:
    """Return the processes in the control group ``name`` or below it."""
    pids: set[int] = set()
    for top in cgroup_directories(name):
        for file in (top / "cgroup.procs", *top.rglob("cgroup.procs")):
            with contextlib.suppress(OSError):
                pids.update(int(pid) for pid in file.read_text(encoding="ascii").split())
    return sorted(pids)


def remove_cgroups(name: str, deadline_seconds: float = 10.0) -> None:
    """Remove the (empty) control group ``name``; wait while the kernel still counts dead processes in it."""
    deadline = time.monotonic() + deadline_seconds
    for top in cgroup_directories(name):
        while top.is_dir():
            try:
                for below, _dirs, _files in os.walk(top, topdown=False):
                    with contextlib.suppress(FileNotFoundError):
                        Path(below).rmdir()
            except OSError as exc:
                if exc.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


def unmount_below(directory: Path) -> None:
    """Unmount everything below ``directory``, last first."""
    for point in reversed(mount_points(directory)):
        if subprocess.run(["umount", str(point)], capture_output=True, check=False).returncode != 0:
            subprocess.run(["umount", "--lazy", str(point)], capture_output=True, check=False)
    remaining = mount_points(directory)
    if remaining:
        raise OSError(errno.EBUSY, "still mounted: " + ", ".join(map(str, remaining)))


def interfaces(name: str) -> list[str]:
    """Return the bridge ``name``, its ports, and the interfaces whose names begin with it; ports first."""
    listing = subprocess.run(["ip", "-j", "link", "show"], capture_output=True, check=True)
    links = json.loads(listing.stdout or b"[]")
    ours = [link["ifname"] for link in links if link["ifname"].startswith(name) or link.get("master") == name]
    return sorted(ours, key=lambda ifname: ifname == name)


def remove_interfaces(name: str) -> None:
    """Delete our interfaces; a veth may be gone already, taken along by its namespace."""
    for ifname in interfaces(name):
        subprocess.run(["ip", "link", "delete", "dev", ifname], capture_output=True, check=False)
    remaining = interfaces(name)
    if remaining:
        raise OSError(errno.EBUSY, f"interfaces remain: {', '.join(remaining)}")


def stray_files(directory: Path, name: str) -> Iterator[Path]:
    """Yield what was written outside ``directory``: the shims' sockets (see their bundles) and CNI's results."""
    for address in (directory / "state").glob("io.containerd.runtime.v2.task/*/*/address"):
        yield Path(address.read_text(encoding="utf-8").strip().removeprefix("unix://"))
        yield from _CNI_RESULTS.glob(f"cni-loopback-{address.parent.name}-*")
    yield from _CNI_RESULTS.glob(f"{name}-*")


if __name__ == "__main__":
    sweep(Path(sys.argv[1]), sys.argv[2])
