# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with NICs of its own: a process that holds a network, a mount and a UTS namespace.

Nothing is registered in ``/run/netns``: when the holder and everything in the namespaces has ended, the
kernel removes them and their NICs. ``/etc`` and ``/var/lib`` are the machine's own under a private overlay and
``/run`` is empty, so a test may configure the network without touching the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testbed.processes import HOST_VARIABLE, kill_marked

_HOLD = """
set -e
echo "$1" > /proc/sys/kernel/hostname
mount -t sysfs sysfs /sys
for folder in etc var/lib; do
    mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$2/$folder,workdir=$2/work/$folder" "/$folder"
done
mount -t tmpfs tmpfs /run
ip link set lo up
# The far ends of the NICs are in a namespace of their own, so that the node sees only its NICs.
exec 3<&0  # a background command loses its stdin
unshare --net sh -c 'echo $$; exec cat <&3' &
wait
"""


class NodeError(Exception):
    """A node could not be set up; the text holds what the tool said."""


class Node:
    """A running node; needs root.

    :param name: its host name and its name in an inventory.
    :param directory: an empty folder for the node's private ``/etc`` and its files.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self._mark = f"node-{secrets.token_hex(8)}"
        self._nics = 0
        for part in ("etc", "var/lib", "work/etc", "work/var/lib"):
            (directory / part).mkdir(parents=True)
        self._holder = subprocess.Popen(
            [
                *("unshare", "--net", "--mount", "--uts", "--propagation", "private", "--"),
                *("sh", "-c", _HOLD, "sh", name, str(directory)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=self.environment(),
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        ready = self._holder.stdout.readline()
        if not ready:
            said = self._holder.stderr.read()
            self.close()
            raise NodeError(f"cannot set up node {name}: {said.strip()}")
        self._far_end = int(ready)
        self._wrapper = self._write_wrapper()

    @property
    def root(self) -> Path:
        """The node's file system as seen from outside: ``node.root / "etc/netplan"``."""
        return Path(f"/proc/{self._holder.pid}/root")

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Return the argv that runs a command on the node."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--uts", "--", *argv]

    def run(self, argv: Sequence[str], stdin: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the node and return what it gave."""
        return subprocess.run(
            self.argv(argv),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            check=False,
            env=self.environment(),
        )

    def run_far(self, argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        """Run a command where the far ends of the NICs are: ``far1`` of the first one, and so on."""
        return subprocess.run(self.far_argv(argv), capture_output=True, timeout=60, check=False, env=self.environment())

    def far_argv(self, argv: Sequence[str]) -> list[str]:
        """Return the argv that runs a command there."""
        return ["nsenter", f"--target={self._far_end}", "--net", "--", *argv]

    def add_nic(self, name: str, mac: str, address: str | None = None, *, up: bool = False) -> None:
        """Plug in a NIC (a veth whose far end is up) with a MAC; ``address`` as 192.0.2.1/24 sets it up as well."""
        self._nics += 1
        self._ip("link", "add", name, "address", mac, "type", "veth", "peer", f"far{self._nics}", "netns", self._far)
        self._far_ip("link", "set", f"far{self._nics}", "up")
        if address is not None:
            self._ip("address", "add", address, "dev", name)
        if up or address is not None:
            self._ip("link", "set", name, "up")

    def remove_nic(self, name: str) -> None:
        """Unplug a NIC."""
        self._ip("link", "delete", name)

    def links(self) -> list[dict[str, Any]]:
        """Return what ``ip -json address`` says of the node's links."""
        found: list[dict[str, Any]] = json.loads(self._ip("-json", "address"))
        return found

    def inventory_vars(self) -> dict[str, Any]:
        """Return host variables with which modules run on the node.

        Only what Python runs is there: the ``raw`` and ``script`` actions stay on this machine, and files
        are copied through this machine's own ``/tmp`` and home.
        """
        return {
            "ansible_connection": "ansible.builtin.local",
            "ansible_python_interpreter": str(self._wrapper),
        }

    def environment(self) -> dict[str, str]:
        """Return the environment of what runs on the node; by it :meth:`close` finds it."""
        return dict(os.environ) | {HOST_VARIABLE: self._mark}

    def close(self) -> None:
        """End everything that runs on the node; its NICs go with it. May be called twice."""
        kill_marked(HOST_VARIABLE, self._mark)
        self._holder.wait(10)
        for stream in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            if stream is not None:
                stream.close()

    @property
    def _far(self) -> str:
        return str(self._far_end)

    def _ip(self, *arguments: str) -> str:
        return self._checked(self.run(["ip", *arguments]))

    def _far_ip(self, *arguments: str) -> str:
        return self._checked(self.run_far(["ip", *arguments]))

    def _checked(self, done: subprocess.CompletedProcess[bytes]) -> str:
        if done.returncode != 0:
            command = shlex.join(done.args)
            raise NodeError(f"node {self.name}: {command}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def _write_wrapper(self) -> Path:
        """Write the Python that Ansible is told of: ours, inside the node."""
        path = self.directory / "python"
        inside = shlex.join(["env", f"{HOST_VARIABLE}={self._mark}", *self.argv([sys.executable])])
        path.write_text(f'#!/bin/sh\nexec {inside} "$@"\n')
        path.chmod(0o755)
        return path
