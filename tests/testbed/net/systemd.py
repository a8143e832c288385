# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real systemd as PID 1 of a node.

It runs in namespaces of its own for processes and mounts, in the node's network, and sees the node's ``/etc``,
``/var/lib`` and ``/run``. Its cgroups are below one that belongs to it, in the unified hierarchy, which machines
with the old hierarchies have as well; it needs no controllers.

It knows no unit but those that are written here. The distribution's would do to the machine what they do at a
boot: every timer needs ``sysinit.target``, which empties ``/tmp``, sets kernel parameters and starts udev.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed.net.node import Node, NodeError
from testbed.processes import HOST_VARIABLE, await_exit, children_of, send_signal

_SECONDS = 20
_TARGET = "[Unit]\nDescription=Nothing\nDefaultDependencies=no\n"
_TARGETS = ("default", "sysinit", "basic", "shutdown", "timers", "time-set", "time-sync")

_ENTER = 'mkdir "$1" && echo $$ > "$1/cgroup.procs" && shift && exec "$@"'
_BOOT = """
set -e
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /var/lib/systemd
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
mount -t tmpfs tmpfs /var/log
mount -o remount,bind,ro /sys
mount -o remount,bind,ro /dev
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
for folder in generators environment-generators; do
    mount -t tmpfs tmpfs "/usr/lib/systemd/system-$folder"
done
export container=testbed SYSTEMD_UNIT_PATH=/run/units:/run/systemd/transient
exec /lib/systemd/systemd --system --log-target=null systemd.unified_cgroup_hierarchy=1
"""


class Systemd:
    """A running systemd that starts nothing by itself. It has to be closed before its node.

    :param node: a node, with NICs or without.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cgroup = _unified() / node.environment()[HOST_VARIABLE]
        units = node.root / "run/units"
        units.mkdir()
        for target in _TARGETS:
            (units / f"{target}.target").write_text(_TARGET)
        namespaces = ["unshare", "--cgroup", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private"]
        self._parent = subprocess.Popen(
            ["sh", "-c", _ENTER, "sh", str(self.cgroup), *node.argv([*namespaces, "--", "sh", "-c", _BOOT])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=node.environment(),
        )
        try:
            self._await_boot()
        except BaseException:
            self.close()
            raise

    def environment(self) -> dict[str, str]:
        """Return the environment of what runs there."""
        return self.node.environment()

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return the argv that runs a command there."""
        (first,) = children_of(self._parent.pid)
        kinds = ("--net", "--mount", "--uts", "--pid", "--cgroup")
        return ["nsenter", f"--target={first}", *kinds, "--", *argv]

    def run(self, argv: Sequence[str], timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a command there and return what it gave."""
        command = self.argv(argv)
        return subprocess.run(command, capture_output=True, timeout=timeout, check=False, env=self.environment())

    def units(self, pattern: str) -> list[str]:
        """Return the units of a name that it knows, as in ``x.timer active``."""
        said = self.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", pattern]).stdout.decode()
        return [f"{name} {active}" for name, _load, active in (line.split()[:3] for line in said.splitlines())]

    def wait(self, what: str, reached: Callable[[], bool]) -> None:
        """Wait until something is so; raise NodeError if it takes too long."""
        deadline = time.monotonic() + _SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise NodeError(f"node {self.node.name}: waited in vain for {what}")
            time.sleep(0.01)

    def close(self) -> None:
        """End it and everything that it has started. May be called twice."""
        pids = [self._parent.pid, *children_of(self._parent.pid)]
        if self._parent.poll() is None:
            send_signal(pids, signal.SIGKILL)
            await_exit(pids, _SECONDS)
        self._parent.wait(_SECONDS)
        if self._parent.stderr is not None:
            self._parent.stderr.close()
        for folder in sorted(self.cgroup.rglob("*/"), reverse=True):
            folder.rmdir()
        if self.cgroup.exists():
            self.cgroup.rmdir()

    def _await_boot(self) -> None:
        answers = self.node.root / "run/systemd/private"
        self.wait("systemd to start", lambda: self._parent.poll() is not None or answers.exists())
        if self._parent.poll() is not None:
            said = self._parent.stderr.read().decode(errors="replace") if self._parent.stderr else ""
            raise NodeError(f"node {self.node.name}: systemd does not start: {said.strip()}")
        state = self.run(["systemctl", "is-system-running", "--wait"], _SECONDS).stdout.decode().strip()
        if state not in ("running", "degraded"):
            raise NodeError(f"node {self.node.name}: systemd is {state}")


def _unified() -> Path:
    """Return where the unified hierarchy of cgroups is mounted."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _device, where, kind = line.split()[:3]
        if kind == "cgroup2":
            return Path(where)
    raise NodeError("this machine has no unified hierarchy of cgroups")
