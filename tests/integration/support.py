# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration tests share: plays as data, files in pods, and who still runs after a play."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from testbed.inventory import Inventory
from testbed.playbook import PlaybookResult
from testbed.pods import PodHost
from testbed.processes import RUN_VARIABLE, all_pids, await_exit, command_of, marked
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.ssh.masters import close_masters

Hosts = Callable[..., SshHost]
Pods = Callable[..., PodHost]
Inventories = Callable[..., Inventory]
Step = Mapping[str, Any]

PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
SECONDS = 20
"""How long something may take that is only awaited; nothing is measured by it."""


def pipeline(name: str, *steps: Step, task: Mapping[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return a task that may fail without ending the play; ``task`` are keywords of the task itself."""
    arguments = {"steps": [dict(step) for step in steps], **options}
    return {"name": name, "manifold.core.pipeline": arguments, "ignore_errors": True, **dict(task or {})}


def play(*tasks: Mapping[str, Any], hosts: str = "localhost", **keywords: Any) -> dict[str, Any]:
    """Return a play without facts."""
    return {"hosts": hosts, "gather_facts": False, "tasks": [dict(task) for task in tasks], **keywords}


def assert_no_traceback(result: PlaybookResult) -> None:
    """A user is told what is wrong, never where our code noticed."""
    for text in (result.stdout, result.stderr):
        assert "Traceback" not in text, result.describe()
        assert "Unexpected exception" not in text, result.describe()
    for task in result.tasks:
        assert "Traceback" not in str(task.result), task.result


def kept_by(inventory: Inventory) -> dict[str, str]:
    """Return the environment of a play that keeps a log and a record in the inventory's folder."""
    return {
        "ANSIBLE_LOG_PATH": str(inventory.directory / "ansible.log"),
        "ANSIBLE_CALLBACKS_ENABLED": "testbed_results,manifold.core.operation_log",
        "MANIFOLD_OPERATION_LOG_DIRECTORY": str(inventory.directory / "records"),
    }


def records_of(inventory: Inventory) -> list[Path]:
    """Return the records that plays with that environment left."""
    return list((inventory.directory / "records").glob("*.json"))


def kubectl(pod: PodHost, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the real kubectl in the pod's namespace."""
    argv = ["kubectl", "--kubeconfig", str(pod.kubeconfig), "-n", pod.namespace, *arguments]
    programs = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    environment = {**os.environ, "PATH": programs}
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=120, check=False, env=environment)


def in_pod(pod: PodHost, command: str, stdin: bytes = b"", container: str | None = None) -> bytes:
    """Run a shell command in a pod and return what it printed; raise AssertionError if it fails."""
    done = kubectl(
        pod, "exec", "-i", pod.name, "-c", container or pod.container, "--", "sh", "-c", command, stdin=stdin
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def folder_in(pod: PodHost, name: str) -> str:
    """Return the path of a folder of the pod's own, as a command in the pod names it; it is made if missing."""
    # a pod of plain processes has no root of its own, but says where it may write
    return in_pod(pod, f'd=$POD_ROOT/{shlex.quote(name)}; mkdir -p "$d"; echo "$d"').decode().strip()


def parts_in(folder: Path) -> list[str]:
    """Return the names of temporaries that a sink left in a folder."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or path.name.endswith(".part")]


def tail_of(results: PlaybookResult, name: str, host: str | None = None) -> dict[str, Any]:
    """Return what a task registered."""
    return results.task(name, host).result


class Census:
    """Who runs on this machine, in its SSH hosts and in some pods; made before a play, asked after it.

    SSH masters are meant to stay for the next task. They are closed before counting. Not counted are zombies, and the
    runc that the test bed holds on to when a client left it (the process in the container is counted).
    """

    def __init__(self, run: Run, inventory: Inventory, *pods: PodHost) -> None:
        self._run = run
        self._inventory = inventory
        self._namespaces = {_pid_namespace(pod) for pod in pods} - {_namespace_of(os.getpid())}
        self._before = set(self._members())

    def _members(self) -> list[int]:
        inside = [pid for pid in all_pids() if _namespace_of(pid) in self._namespaces] if self._namespaces else []
        ours = [pid for pid in marked(RUN_VARIABLE, self._run.id) if "/runc --root " not in command_of(pid)]
        return [pid for pid in {*ours, *inside} if not _is_zombie(pid)]

    def newcomers(self, timeout: float = SECONDS) -> list[str]:
        """Wait until everybody who came since has gone; return the command lines of those who have not."""
        close_masters(self._inventory.directory)
        deadline = time.monotonic() + timeout
        while True:
            fresh = [pid for pid in self._members() if pid not in self._before]
            if not fresh or time.monotonic() >= deadline:
                return [f"{pid} on {_hostname_of(pid)}: {command_of(pid)}" for pid in fresh]
            await_exit(fresh, max(0.0, deadline - time.monotonic()))


def _hostname_of(pid: int) -> str:
    """Return what a process takes for its host's name: for one in a pod the pod's."""
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"HOSTNAME="):
                return entry[9:].decode()
    return "?"


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True  # it has just gone


def _namespace_of(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return ""


def _pid_namespace(pod: PodHost) -> str:
    return in_pod(pod, "readlink /proc/self/ns/pid").decode().strip()


def argument_lists() -> list[str]:
    """Return every command line on this machine, those in containers included."""
    lines = []
    for pid in all_pids():
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


def ini(*hosts: SshHost | PodHost) -> str:
    """Return an INI inventory of the hosts."""
    lines = []
    for host in hosts:
        words = [shlex.quote(f"{name}={value}") for name, value in host.inventory_vars().items()]
        lines.append(" ".join([host.name, *words]))
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """Return a text with all white space as single blanks: Ansible folds its messages."""
    return re.sub(r"\s+", " ", text)
