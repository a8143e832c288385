# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the pods of one test node: containers of runc in the node's own network, mount and UTS namespace.

Every pod must have ``hostNetwork``. hostPath volumes are the node's own files. What differs from a kubelet: no init
containers, no limits of memory or CPU, no seccomp profile, and no volumes but ``hostPath`` and ``emptyDir``. Images are
folders: ``busybox``, ``machine`` (this machine's own root, over which the container writes to a layer of its own), and
those that a test names.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import socket
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed.kube.backend import BackendError, ContainerState, ExecRequest, Phase, PodBackend, PodState
from testbed.kube.cri.layout import find_tool
from testbed.kube.cri.network import connect_in
from testbed.kube.cri.volumes import host_path
from testbed.kube.node_pods.bundle import configuration, mount
from testbed.kube.node_pods.rootfs import busybox_layer
from testbed.kube.termination import message_path, read_message
from testbed.net.node import Node
from testbed.processes import HOST_VARIABLE

_SECONDS = 60.0
_PLAIN_OPTIONS = frozenset({"rw", "nosuid", "nodev", "noexec", "relatime", "nsdelegate"})


@dataclass
class _Container:
    id: str
    spec: dict[str, Any]
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def message_file(self) -> Path:
        return self.directory / "termination"


@dataclass
class _Pod:
    directory: Path
    containers: dict[str, _Container] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class NodeBackend(PodBackend):
    """The runtime of one test node; close it before the node.

    :param images: further images, by the last part of their names without the tag: the folder of each.
    """

    name = "node"

    def __init__(self, node: Node, images: Mapping[str, Path] | None = None) -> None:
        self._node = node
        self._directory = node.directory / "pods"
        self._directory.mkdir()
        self._images = {"machine": Path("/"), **(images or {})}
        self._mark = node.environment()[HOST_VARIABLE]
        self._runc = [str(find_tool("runc")), "--root", str(self._directory / "runc")]
        self._lock = threading.Lock()
        self._pods: dict[str, _Pod] = {}
        self._checked(["sh", "-c", _cgroup_mounts()])

    # -- starting

    def create(self, pod: dict[str, Any]) -> None:
        """Start a pod's containers and return when they run; raise BackendError if they do not."""
        if not pod["spec"].get("hostNetwork"):
            raise BackendError("a test node has no pod network: only pods with hostNetwork run there")
        if pod["spec"].get("initContainers"):
            raise BackendError("init containers are not supported by this test bed")
        uid = pod["metadata"]["uid"]
        record = _Pod(self._directory / uid)
        with self._lock:
            self._pods[uid] = record
        with record.lock:
            try:
                record.directory.mkdir()
                volumes = {volume["name"]: self._volume(record, volume) for volume in pod["spec"].get("volumes") or ()}
                for container in pod["spec"]["containers"]:
                    record.containers[container["name"]] = self._start(pod, container, record, volumes)
            except BaseException:
                self._remove(uid, record)
                raise

    def _volume(self, record: _Pod, volume: dict[str, Any]) -> str:
        if "hostPath" in volume:
            found = host_path(volume["name"], volume["hostPath"], self._node.root)
            return f"/{found.relative_to(self._node.root)}"
        if "emptyDir" in volume:
            path = record.directory / "volumes" / volume["name"]
            path.mkdir(parents=True)
            path.chmod(0o777)
            return str(path)
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise BackendError(f'volume "{volume["name"]}" is of a kind that does not exist here: {kinds}')

    def _start(
        self, pod: dict[str, Any], container: dict[str, Any], record: _Pod, volumes: dict[str, str]
    ) -> _Container:
        directory = record.directory / container["name"]
        directory.mkdir()
        rootfs = self._mount_root(container["image"], directory)
        (directory / "termination").touch(0o666)
        (directory / "termination").chmod(0o666)
        mounts = [mount({"mountPath": message_path(container)}, str(directory / "termination"))]
        for entry in container.get("volumeMounts") or ():
            if entry["name"] not in volumes:
                raise BackendError(f'container {container["name"]} mounts the unknown volume "{entry["name"]}"')
            source = Path(volumes[entry["name"]]) / entry.get("subPath", "")
            mounts.append(mount(entry, str(source)))
        name = f"{self._mark}-{pod['metadata']['uid'][:8]}-{container['name']}"
        config = configuration(
            pod,
            container,
            rootfs=str(rootfs),
            # What is mounted below another mount comes after it.
            mounts=sorted(mounts, key=lambda entry: entry["destination"].count("/")),
            environment={HOST_VARIABLE: self._mark, "HOSTNAME": self._node.name},
            cgroup=f"/{self._mark}/{name}",
        )
        (directory / "config.json").write_text(json.dumps(config))
        return self._run(_Container(name, container, directory, self._launch(name, directory)))

    def _mount_root(self, image: str, directory: Path) -> Path:
        short = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
        if short in ("busybox", "testbed"):
            lower = busybox_layer(self._directory)
        elif short in self._images:
            lower = self._images[short]
        else:
            known = ", ".join(["busybox", *self._images])
            raise BackendError(f'image "{image}" cannot be pulled here; known are {known}')
        for part in ("upper", "work", "rootfs"):
            (directory / part).mkdir()
        options = f"lowerdir={lower},upperdir={directory / 'upper'},workdir={directory / 'work'}"
        self._checked(["mount", "-t", "overlay", "overlay", "-o", options, str(directory / "rootfs")])
        return directory / "rootfs"

    def _launch(self, name: str, directory: Path) -> subprocess.Popen[bytes]:
        run = ["--log", str(directory / "runc.log"), "run", "--pid-file", str(directory / "pid")]
        with (directory / "log").open("wb") as log:
            return subprocess.Popen(
                self._node.argv([*self._runc, *run, "--bundle", str(directory), name]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._node.environment(),
                start_new_session=True,
            )

    def _run(self, container: _Container) -> _Container:
        """Wait until a container runs, or has run; raise BackendError if it never did."""
        for _tick in range(int(_SECONDS * 100)):
            if (container.directory / "pid").exists():
                return container
            with contextlib.suppress(subprocess.TimeoutExpired):
                container.process.wait(0.01)
                if not (container.directory / "pid").exists():
                    break
        container.process.kill()
        container.process.wait()
        said = container.log.read_text(errors="replace").strip().splitlines()
        raise BackendError(f"runc: {said[-1] if said else 'it did not start'}")

    # -- looking

    def state(self, uid: str) -> PodState:
        """Look at the containers' processes; raise KeyError for a pod that is unknown."""
        with self._lock:
            record = self._pods[uid]
        containers = tuple(self._state(container) for container in list(record.containers.values()))
        if not containers:
            phase = Phase.PENDING
        elif any(container.exit_code is None for container in containers):
            phase = Phase.RUNNING
        else:
            phase = Phase.FAILED if any(container.exit_code for container in containers) else Phase.SUCCEEDED
        return PodState(phase, "127.0.0.1", containers)

    def _state(self, container: _Container) -> ContainerState:
        code = container.process.poll()
        if code is None:
            return ContainerState(container.spec["name"], True)
        exit_code = 128 - code if code < 0 else code
        message = read_message(container.spec, container.message_file, container.log.read_bytes, exit_code)
        reason = "Completed" if exit_code == 0 else "Error"
        return ContainerState(container.spec["name"], False, exit_code, reason, message)

    def pid(self, uid: str, container: str = "") -> int:
        """Return the process id of a container's first process, as this machine sees it."""
        return int((self._container(uid, container).directory / "pid").read_text())

    def logs(self, uid: str, container: str) -> bytes:
        """Return what a container has written."""
        return self._container(uid, container).log.read_bytes()

    def root(self, uid: str) -> Path | None:
        """Return the root directory as the pod's first container sees it, volumes included."""
        return Path(f"/proc/{self.pid(uid)}/root")

    def _container(self, uid: str, name: str) -> _Container:
        with self._lock:
            record = self._pods.get(uid)
        for key, container in record.containers.items() if record is not None else ():
            if name in ("", key):
                return container
        raise BackendError(f'container not found ("{name}")')

    # -- acting

    def kill(self, uid: str, container: str = "") -> None:
        """Kill the first process of a container, and with it all of its PID namespace."""
        with self._lock:
            record = self._pods.get(uid)
        for name, found in list(record.containers.items()) if record is not None else ():
            if container in ("", name):
                self._node.run([*self._runc, "kill", found.id, "KILL"])
                found.process.wait(_SECONDS)

    def delete(self, uid: str, grace_seconds: float) -> None:
        """Stop the containers, within the grace, and free all they hold."""
        with self._lock:
            record = self._pods.get(uid)
        if record is None:
            return
        with record.lock:
            running = [container for container in record.containers.values() if container.process.poll() is None]
            for container in running if grace_seconds > 0 else ():
                self._node.run([*self._runc, "kill", container.id, "TERM"])
            for container in running if grace_seconds > 0 else ():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    container.process.wait(grace_seconds)
            self._remove(uid, record)

    def _remove(self, uid: str, record: _Pod) -> None:
        for container in record.containers.values():
            self._node.run([*self._runc, "delete", "--force", container.id])
            container.process.wait(_SECONDS)
        for directory in record.directory.glob("*/rootfs"):
            self._node.run(["umount", str(directory)])
        shutil.rmtree(record.directory, ignore_errors=True)
        with self._lock:
            self._pods.pop(uid, None)

    def exec(self, uid: str, request: ExecRequest) -> subprocess.Popen[bytes]:
        """Run a command in a container."""
        container = self._container(uid, request.container)
        if request.tty:
            raise BackendError("containers on test nodes have no terminals; leave out the TTY")
        return subprocess.Popen(
            self._node.argv([*self._runc, "exec", container.id, *request.argv]),
            bufsize=0,
            stdin=subprocess.PIPE if request.stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if request.stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE if request.stderr else subprocess.DEVNULL,
            env=self._node.environment(),
            start_new_session=True,
        )

    def connect(self, uid: str, port: int) -> socket.socket:
        """Connect to a port of the node's own localhost."""
        try:
            return connect_in(Path(f"/proc/{self.pid(uid)}/ns/net"), port)
        except OSError as exc:
            raise BackendError(f"port {port}: {exc}") from exc

    def close(self) -> None:
        """Remove every pod. May be called twice."""
        with self._lock:
            pods = list(self._pods.items())
        for uid, record in pods:
            with record.lock:
                self._remove(uid, record)
        # A control group is removed only once the kernel has let its last process go.
        for directory in Path("/sys/fs/cgroup").glob(f"**/{self._mark}"):
            with contextlib.suppress(OSError):
                directory.rmdir()

    def _checked(self, argv: list[str]) -> None:
        done = self._node.run(argv)
        if done.returncode != 0:
            raise BackendError(f"{shlex.join(argv)}: {done.stderr.decode(errors='replace').strip()}")


def _cgroup_mounts() -> str:
    """Return a script that mounts this machine's control groups on a node, whose own ``/sys`` hides them."""
    script = ["set -e"]
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _source, point, kind, options, *_rest = line.split()
        if kind == "tmpfs" and point == "/sys/fs/cgroup":
            script.append(f"mount -t tmpfs tmpfs {point}")
        elif kind in ("cgroup", "cgroup2") and point.startswith("/sys/fs/cgroup"):
            own = ",".join(option for option in options.split(",") if option not in _PLAIN_OPTIONS)
            chosen = f"-o {own}" if kind == "cgroup" and own else ""
            script.append(f"mkdir -p {point}; mount -t {kind} {chosen} {kind} {point}")
    return "\n".join(script)
