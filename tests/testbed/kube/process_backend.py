# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as plain processes of this machine: no root, no images, no isolation.

What differs from a container:

- There is no chroot. Each pod has a private directory; it is the working directory of everything that runs
  in the pod, its ``HOME``, and the value of ``POD_ROOT``. A relative path is private, an absolute one is the
  machine's.
- Images are ignored. A container without a ``command`` just stays up; ``args`` without a ``command`` are
  ignored with it, for there is no entrypoint to give them to.
- The network is the machine's: every pod has the address 127.0.0.1, and two pods cannot listen on one port.
- It needs Linux: processes are found by what ``/proc`` tells of them.
- The termination message is looked for below the pod's directory: ``$POD_ROOT/dev/termination-log``.
- Containers that end are not restarted, init containers and volumes are not there, and a terminal is refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.kube import process_tree
from testbed.kube.backend import BackendError, ContainerState, ExecRequest, Phase, PodBackend, PodState
from testbed.kube.termination import message_path, read_message
from testbed.processes import RUN_VARIABLE

_STAY_UP = ("sleep", "2147483647")
_MARKER = "TESTBED_POD_UID"
_ADDRESS = "127.0.0.1"


@dataclass
class _Container:
    name: str
    spec: dict[str, Any]
    environment: dict[str, str]
    process: subprocess.Popen[bytes]


@dataclass
class _Pod:
    directory: Path
    containers: dict[str, _Container] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def log(self, container: str) -> Path:
        return self.directory / f"{container}.log"

    def termination(self, spec: dict[str, Any]) -> Path:
        """Return where a container's termination message is looked for."""
        return self.root / message_path(spec).lstrip("/")

    def remember(self, process: subprocess.Popen[bytes]) -> None:
        """Keep a process for the pod's end; drop those that have ended (their children still carry the marker)."""
        self.processes = [known for known in self.processes if known.poll() is None]
        self.processes.append(process)


class ProcessBackend(PodBackend):
    """Runs each container's command, and each exec, as a process in a session of its own."""

    name = "process"

    def __init__(self, workdir: Path) -> None:
        """Keep the pods' directories and logs below ``workdir``."""
        self._pods_directory = workdir / "pods"
        self._pods_directory.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._pods: dict[str, _Pod] = {}

    def create(self, pod: dict[str, Any]) -> None:
        """Start every container's command."""
        uid = pod["metadata"]["uid"]
        created = _Pod(self._pods_directory / uid)
        created.root.mkdir(parents=True)
        with self._lock:
            self._pods[uid] = created
        try:
            for spec in pod["spec"]["containers"]:
                self._start(created, pod, spec)
        except OSError as exc:
            self.delete(uid, 0)
            raise BackendError(f"cannot start a container of pod {pod['metadata']['name']}: {exc}") from exc

    def _start(self, pod: _Pod, description: dict[str, Any], spec: dict[str, Any]) -> None:
        environment = _environment(pod.root, description, spec)
        pod.termination(spec).parent.mkdir(parents=True, exist_ok=True)
        command = spec.get("command")
        argv = [*command, *spec.get("args", [])] if command else list(_STAY_UP)
        with pod.log(spec["name"]).open("wb") as log:
            process = subprocess.Popen(
                argv,
                cwd=pod.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        pod.containers[spec["name"]] = _Container(spec["name"], spec, environment, process)
        pod.remember(process)

    def _pod(self, uid: str) -> _Pod:
        with self._lock:
            return self._pods[uid]

    def _container(self, uid: str, name: str) -> tuple[_Pod, _Container]:
        try:
            pod = self._pod(uid)
            return pod, pod.containers[name]
        except KeyError as exc:
            raise BackendError(f'container not found ("{name}")') from exc

    def state(self, uid: str) -> PodState:
        """Look at the containers' processes."""
        pod = self._pod(uid)
        containers = tuple(_state(pod, container) for container in list(pod.containers.values()))
        if any(container.running for container in containers):
            phase = Phase.RUNNING
        elif any(container.exit_code for container in containers):
            phase = Phase.FAILED
        else:
            phase = Phase.SUCCEEDED
        return PodState(phase, _ADDRESS, containers)

    def kill(self, uid: str, container: str = "") -> None:
        """Kill the process that a container runs; what that has started stays."""
        with self._lock:
            pod = self._pods.get(uid)
        for known in () if pod is None else list(pod.containers.values()):
            if container in ("", known.name):
                known.process.kill()
                known.process.wait()

    def delete(self, uid: str, grace_seconds: float) -> None:
        """End the pod's processes and remove its directory."""
        with self._lock:
            pod = self._pods.get(uid)
        if pod is None:
            return
        # The PID of a process that is already reaped may be somebody else's by now.
        sessions = [process.pid for process in pod.processes if process.poll() is None]
        process_tree.end(_MARKER, uid, sessions, grace_seconds)
        for process in pod.processes:
            process.poll()
        with self._lock:
            self._pods.pop(uid, None)
        shutil.rmtree(pod.directory, ignore_errors=True)

    def exec(self, uid: str, request: ExecRequest) -> subprocess.Popen[bytes]:
        """Start a command beside the container's own, with the same environment and directory."""
        pod, container = self._container(uid, request.container)
        if container.process.poll() is not None:
            raise BackendError(f'container "{request.container}" is not running')
        if request.tty:
            raise BackendError("the process backend has no terminals; leave out the TTY")
        try:
            process = subprocess.Popen(
                request.argv,
                bufsize=0,
                cwd=pod.root,
                env=container.environment,
                stdin=subprocess.PIPE if request.stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if request.stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE if request.stderr else subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as exc:
            raise BackendError(f'exec: "{request.argv[0]}": {exc.strerror}') from exc
        with self._lock:
            pod.remember(process)
        return process

    def connect(self, uid: str, port: int) -> socket.socket:
        """Connect to the port on loopback, where the pod's processes listen."""
        self._pod(uid)
        try:
            return socket.create_connection((_ADDRESS, port), timeout=10)
        except OSError as exc:
            raise BackendError(f"failed to connect to {_ADDRESS}:{port}: {exc}") from exc

    def logs(self, uid: str, container: str) -> bytes:
        """Return the container's log file."""
        pod, found = self._container(uid, container)
        return pod.log(found.name).read_bytes()

    def root(self, uid: str) -> Path | None:
        """Return the pod's private directory."""
        return self._pod(uid).root

    def close(self) -> None:
        """Kill every pod."""
        with self._lock:
            uids = list(self._pods)
        for uid in uids:
            self.delete(uid, 0)
        with contextlib.suppress(OSError):
            self._pods_directory.rmdir()


def _state(pod: _Pod, container: _Container) -> ContainerState:
    code = container.process.poll()
    if code is None:
        return ContainerState(container.name, running=True)
    # A container runtime reports a death by signal as a shell does.
    exit_code = 128 - code if code < 0 else code
    log = pod.log(container.name).read_bytes
    message = read_message(container.spec, pod.termination(container.spec), log, exit_code)
    return ContainerState(container.name, False, exit_code, "Completed" if exit_code == 0 else "Error", message)


def _environment(root: Path, pod: dict[str, Any], spec: dict[str, Any]) -> dict[str, str]:
    """Return what a container sees: little of this process's environment, then its own."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOSTNAME": pod["metadata"]["name"],
        "HOME": str(root),
        "POD_ROOT": str(root),
    }
    if RUN_VARIABLE in os.environ:  # by it the run finds what is left of it, should this process be killed
        environment[RUN_VARIABLE] = os.environ[RUN_VARIABLE]
    environment |= {entry["name"]: str(entry.get("value", "")) for entry in spec.get("env") or ()}
    # Last, because process_tree must find the pod's processes by it.
    return environment | {_MARKER: pod["metadata"]["uid"]}
