# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the steps run that faults befall: one site per transport, with everything that is needed to strike there.

All sites share this machine's kernel and file system, so a pod sees a site's folder under the same path, and the
processes of a pod, of an SSH host and of this machine are all found in one ``/proc``.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import random
import shlex
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.manifold.core.plugins.plugin_utils.streams._shell import KEEPER

from faults import mounts
from faults.model import SIZE, Leg, Place, Transport
from testbed.bed import Bed
from testbed.kube import Kube
from testbed.kube.faults import Action, Direction, Fault
from testbed.kube.kubeconfig import kubeconfig, write
from testbed.kube.kubectl import find_kubectl
from testbed.pods import delete_pod
from testbed.processes import HOST_VARIABLE, all_pids, command_of, marked
from testbed.run import Run
from testbed.ssh.accounts import Sudo
from testbed.ssh.host import SshHost
from testbed.ssh.line import Line
from testbed.ssh.masters import close_masters
from testbed.ssh.relay import Relay

OLD_CONTENT = b"what was there before\n" * 500
_START_SECONDS = 20.0
LOCKED_NAMES = {"present": "kept", "absent": "missing"}
"""Files of a place that cannot be written: one is there, one is not."""


class Site(abc.ABC):
    """A context that faults befall, with a folder that it shares with this machine."""

    def __init__(self, transport: Transport, directory: Path, run: Run, data: Path) -> None:
        self.transport = transport
        self.directory = directory
        self.data = data
        """The file that the sources print."""
        self._stack = contextlib.ExitStack()
        directory.chmod(0o777)
        self._mount(run, directory / Place.FULL.value, locked=False)
        self._mount(run, directory / Place.LOCKED.value, locked=True)

    def _mount(self, run: Run, path: Path, *, locked: bool) -> None:
        token = run.owe("faults.mounts", "unmount", str(path))
        if locked:
            mounts.mount_locked(path, {LOCKED_NAMES["present"]: OLD_CONTENT})
        else:
            mounts.mount_small(path)
        self._stack.callback(run.done, token)
        self._stack.callback(mounts.unmount, str(path))

    def folder(self, place: Place) -> Path:
        """Return the folder of a kind of destination."""
        return self.directory / place.value

    @abc.abstractmethod
    def description(self, prefix: list[str]) -> dict[str, Any]:
        """Return the context as the driver takes it; ``prefix`` are words in front of the transport's program."""

    @abc.abstractmethod
    def inventory_vars(self, prefix: list[str]) -> dict[str, Any]:
        """Return the variables of an inventory host for the context; ``prefix`` as in :meth:`description`."""

    @abc.abstractmethod
    def processes(self) -> set[int]:
        """Return the pids of what runs in the context, without what belongs to the context itself."""

    client: str
    """The program that reaches the context, as ``/proc/*/comm`` has it."""

    def reached_by(self, pid: int) -> bool:
        """Return whether a process of this machine is the program that reaches the context."""
        return comm_of(pid) == self.client

    environment: dict[str, str] = {}
    """What a controller needs in its environment to use this transport."""

    def ready(self) -> None:  # noqa: B027 -- most sites cannot be lost
        """Bring back what a fault took away."""

    def lie(self, leg: Leg) -> list[str]:
        """Cut a leg in the middle, with success; return the words that the transport's program needs in front."""
        script = Path(__file__).with_name("lying_transport.sh")
        return [str(script), leg.value, str(SIZE // 2)]

    def heal(self) -> None:  # noqa: B027 -- most sites have nothing to heal
        """Take back faults that last."""

    def close(self) -> None:
        """Take everything down."""
        self._stack.close()


class LocalSite(Site):
    """This machine."""

    client = "sh"

    def description(self, prefix: list[str]) -> dict[str, Any]:
        return {"kind": "local", "prefix": prefix}

    def inventory_vars(self, prefix: list[str]) -> dict[str, Any]:
        assert not prefix, "Ansible reaches this machine without a program that could lie"
        return {"ansible_connection": "ansible.builtin.local"}

    def processes(self) -> set[int]:
        return set()  # all that runs here bears the cell's own mark


class RemoteSite(Site):
    """A context behind a connection, with a relay in front."""

    relay: Relay

    def line(self, leg: Leg) -> Line:
        """Return the direction of the connection that a step's input or output takes."""
        return self.relay.up if leg is Leg.INPUT else self.relay.down


class SshSite(RemoteSite):
    """An SSH host with an account of its own, behind a relay; ``become`` through sudo with a password."""

    client = "ssh"

    def __init__(self, transport: Transport, directory: Path, run: Run, data: Path, bed: Bed) -> None:
        super().__init__(transport, directory, run, data)
        self.becomes = transport is Transport.SSH_BECOME
        sudo = Sudo.PASSWORD if self.becomes else Sudo.NONE
        made = bed.ssh_host("host", account=True, sudo=sudo, relay=True, password="secret" if self.becomes else None)
        self.host: SshHost = dataclasses.replace(made, password=None)  # the key lets in as well
        assert made.relay is not None
        self.relay = made.relay
        self.control = run.new_directory("cp")
        self._stack.callback(close_masters, self.control)
        self._mark = self.host.run(f'printf %s "${HOST_VARIABLE}"').stdout.decode()
        locked = directory / "owned"
        locked.mkdir(mode=0o755)
        (locked / LOCKED_NAMES["present"]).write_bytes(OLD_CONTENT)

    def folder(self, place: Place) -> Path:
        """Return the folder of a kind of destination: a plain user is stopped by an owner, root by a mount."""
        if place is Place.LOCKED and not self.becomes:
            return self.directory / "owned"
        return super().folder(place)

    def description(self, prefix: list[str]) -> dict[str, Any]:
        *argv, destination = self.host.ssh_argv()
        description = {
            "kind": "ssh",
            "argv": argv,
            "destination": destination,
            "control_directory": str(self.control),
            "prefix": prefix,
        }
        return description | ({"become_password": self.host.become_password} if self.becomes else {})

    def inventory_vars(self, prefix: list[str]) -> dict[str, Any]:
        variables = self.host.inventory_vars()
        if self.becomes:
            variables |= {"ansible_become": True, "ansible_become_password": self.host.become_password}
        if prefix:
            program = self.directory / "lying-ssh"
            program.write_text(f'#!/bin/sh\nexec {shlex.join(prefix)} ssh "$@"\n')
            program.chmod(0o755)
            variables["ansible_ssh_executable"] = str(program)
        return variables

    def processes(self) -> set[int]:
        return {pid for pid in marked(HOST_VARIABLE, self._mark) if comm_of(pid) != "sshd"}

    def heal(self) -> None:
        self.relay.up.resume()
        self.relay.down.resume()


class PodSite(RemoteSite):
    """A pod behind a relay in front of its API; its folder is mounted there under the same path."""

    client = "kubectl"

    def __init__(self, transport: Transport, directory: Path, run: Run, data: Path, kube: Kube) -> None:
        super().__init__(transport, directory, run, data)
        self.kube = kube
        self.name = f"pod-{directory.name}"
        port = urlsplit(kube.url).port
        assert port is not None
        self.relay = Relay(port)
        self._stack.callback(self.relay.close)
        self._run = run
        self.kubeconfig = write(
            run.new_directory("kc") / "config",
            kubeconfig(f"http://127.0.0.1:{self.relay.port}", "testbed", "default", None),
        )
        if transport is Transport.SPDY:
            self.environment = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
        self._faults: list[Fault] = []
        self._own: set[int] = set()
        self._there = False
        self._stack.callback(self.remove)
        self.ready()

    def ready(self) -> None:
        """Start the pod unless it is there."""
        if self._there:
            return
        self.kube.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": self.name, "namespace": "default"},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "volumes": [{"name": "site", "hostPath": {"path": str(self.directory.parent)}}],
                    "containers": [
                        {
                            "name": "main",
                            "image": "testbed",
                            "volumeMounts": [{"name": "site", "mountPath": str(self.directory.parent)}],
                        }
                    ],
                },
            }
        )
        self.kube.wait_ready(self.name)
        self._there = True
        self._uid = self.kube.get("Pod", self.name)["metadata"]["uid"]
        deadline = time.monotonic() + _START_SECONDS
        while not (own := self._everything()):  # a pod is running a little before its process bears the pod's number
            assert time.monotonic() < deadline, f"the pod {self.name} has no process"
            time.sleep(0.01)
        self._own = own

    def remove(self) -> None:
        """Delete the pod, without grace."""
        if self._there:
            self._there = False
            delete_pod(self.kube, "default", self.name)

    def _everything(self) -> set[int]:
        if self.kube.front.backend.name == "process":
            return set(marked("TESTBED_POD_UID", self._uid))
        return {pid for pid in all_pids() if self._uid in _cgroup_of(pid) and command_of(pid)}  # not zombies

    def reached_by(self, pid: int) -> bool:
        """Return whether it is kubectl, or the exec client that stands in for it, or is ready to."""
        return super().reached_by(pid) or "_exec_client" in command_of(pid)

    def processes(self) -> set[int]:
        return self._everything() - self._own

    def description(self, prefix: list[str]) -> dict[str, Any]:
        argv = [*prefix, find_kubectl(), "--kubeconfig", str(self.kubeconfig), "--namespace", "default"]
        return {"kind": "kubernetes", "argv": argv, "env": self.environment, "pod": self.name, "container": "main"}

    def inventory_vars(self, prefix: list[str]) -> dict[str, Any]:
        assert not prefix, "a fault of the API server needs no program in front of kubectl"
        return {
            "ansible_connection": "kubernetes.core.kubectl",
            "ansible_kubectl_kubeconfig": str(self.kubeconfig),
            "ansible_kubectl_namespace": "default",
            "ansible_kubectl_pod": self.name,
            "ansible_kubectl_container": "main",
        }

    def arm(self, direction: Direction, action: Action, after: int) -> Fault:
        """Let a fault strike the next exec in this pod."""
        fault = self.kube.faults.add(Fault(direction, action, after, pod=self.name, command=_runs_a_step))
        self._faults.append(fault)
        return fault

    def stall(self, leg: Leg) -> None:
        """Let nothing more through on the next exec's stream, from the middle of the data on."""
        self.arm(Direction.STDIN if leg is Leg.INPUT else Direction.STDOUT, Action.STALL, SIZE // 2)

    def lie(self, leg: Leg) -> list[str]:
        if leg is Leg.INPUT:
            self.arm(Direction.STDIN, Action.EARLY_EOF, SIZE // 2)
        else:
            self.arm(Direction.STDOUT, Action.END_WITH_SUCCESS, SIZE // 2)
        return []

    def heal(self) -> None:
        while self._faults:
            self._faults.pop().release()


def _runs_a_step(argv: tuple[str, ...]) -> bool:
    """Tell the exec of a step from the one that only waits for the controller's end."""
    return KEEPER not in " ".join(argv)


class Sites:
    """All sites; a context manager."""

    def __init__(self, run: Run, bed: Bed, transports: tuple[Transport, ...] = tuple(Transport)) -> None:
        self._run, self._bed = run, bed
        self._stack = contextlib.ExitStack()
        self._root = run.new_directory("faults")
        self._root.chmod(0o777)
        self._data = self._root / "data"
        self._data.write_bytes(random.Random(1).randbytes(SIZE))
        self._kubes: dict[str, Kube] = {}
        self._made: dict[tuple[Transport, bool], Site] = {}
        self._transports = transports

    def kube(self, backend: str) -> Kube:
        """Return the API with a backend, started when it is first asked for."""
        if backend not in self._kubes:
            kube = Kube(backend, workdir=self._run.new_directory("kube"))
            self._kubes[backend] = self._stack.enter_context(contextlib.closing(kube))
        return self._kubes[backend]

    def of(self, transport: Transport, *, plain: bool = False) -> Site:
        """Return the site of a transport; ``plain``: a pod of processes, whose SPDY the test bed itself speaks."""
        key = (transport, plain)
        if key not in self._made:
            self._made[key] = self._stack.enter_context(contextlib.closing(self._make(transport, plain)))
        return self._made[key]

    def pod_site(self, transport: Transport, *, plain: bool, number: int) -> PodSite:
        """Return one of several pods of a transport, for streams side by side."""
        directory = self._root / f"cuts-{transport.name.lower()}-{number}"
        directory.mkdir()
        kube = self.kube("process" if plain else "cri")
        site = PodSite(transport, directory, self._run, self._data, kube)
        return self._stack.enter_context(contextlib.closing(site))

    def _make(self, transport: Transport, plain: bool) -> Site:
        directory = self._root / f"{transport.name.lower().replace('_', '-')}{'-plain' if plain else ''}"
        directory.mkdir()
        common = (transport, directory, self._run, self._data)
        if transport is Transport.LOCAL:
            return LocalSite(*common)
        if transport in (Transport.SSH, Transport.SSH_BECOME):
            return SshSite(*common, self._bed)
        return PodSite(*common, self.kube("process" if plain else "cri"))

    def close(self) -> None:
        """Take every site down."""
        self._stack.close()


def comm_of(pid: int) -> str:
    """Return the name of a process; an empty text if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _cgroup_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return ""


def open_files(pid: int) -> list[str]:
    """Return what the descriptors of a process lead to."""
    found = []
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(entry.readlink()))
    return found
