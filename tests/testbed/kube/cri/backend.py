# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as containers, through the CRI of a private containerd."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cri_api.v1 import api_pb2 as cri

from testbed.kube.backend import BackendError, ContainerState, ExecRequest, Phase, PodBackend, PodState
from testbed.kube.cri import execution, images, podspec, sweep
from testbed.kube.cri.containerd import Containerd
from testbed.kube.cri.layout import RunLayout
from testbed.kube.cri.logs import parse_cri_log
from testbed.kube.cri.network import PodNetwork, connect_in
from testbed.kube.cri.requirements import available
from testbed.kube.cri.runtime import Runtime
from testbed.kube.cri.volumes import Volumes
from testbed.kube.termination import message_path, read_message
from testbed.reaper import Reaper

# Pods on the host's network have the node's address, and the node is this machine.
_NODE_IP = "127.0.0.1"


@dataclass
class _Pod:
    """What we hold of one pod; ``lock`` makes its creation and deletion exclude each other."""

    spec: dict[str, Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    sandbox: str | None = None
    ip: str = ""
    namespace: Path | None = None
    containers: dict[str, str] = field(default_factory=dict)
    volumes: Volumes | None = None
    nics: list[str] = field(default_factory=list)


class CriBackend(PodBackend):
    """Real containers on a real bridge, run by a containerd that nobody else uses.

    Differences from a kubelet: containers are not restarted, there are no init containers and no
    probes, and images come from :mod:`testbed.kube.cri.images` only.
    """

    name = "cri"

    def __init__(self, log_directory: Path | None = None) -> None:
        """Start containerd and make the network; takes about half a second.

        :param log_directory: where containerd.log is written; without it, the log goes with the run.
        :raises BackendError: this machine cannot; :func:`available` says so beforehand.
        """
        reason = available()
        if reason is not None:
            raise BackendError(reason)
        self._reaper = Reaper.in_new_workdir("cri")
        directory = self._reaper.workdir
        self._layout = RunLayout(directory, f"mf{directory.name.rpartition('-')[2]}")
        self._log = (log_directory or directory) / "containerd.log"
        self._pods: dict[str, _Pod] = {}
        self._mutex = threading.Lock()
        self._debian = threading.Lock()
        self._closed = False
        try:
            self._reaper.add_command(_sweep_command(self._layout))
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._layout.images.mkdir()
        self.network = PodNetwork(self._layout)
        self._containerd = Containerd(self._layout, self._reaper, self._log, images.STAY_UP)
        archive = images.busybox_archive(self._layout.images)
        self._containerd.wait_ready()
        self._containerd.import_image(archive)
        self._runtime = Runtime(self._layout.socket)
        self._runtime.wait_image(images.STAY_UP)

    @property
    def layout(self) -> RunLayout:
        """Where this run keeps its files, and what its things are named after."""
        return self._layout

    @property
    def reaper(self) -> Reaper:
        """Who cleans up should this process be killed."""
        return self._reaper

    def create(self, pod: dict[str, Any]) -> None:
        """Start a pod and return when its containers run (0.4 s); raise BackendError if they do not."""
        uid = pod["metadata"]["uid"]
        record = _Pod(pod)
        with self._mutex:
            if self._closed:
                raise BackendError("the backend is closed")
            if uid in self._pods:
                raise BackendError(f"pod {uid} exists already")
            self._pods[uid] = record
        with record.lock:
            try:
                self._run(uid, record)
            except BaseException:
                self._remove(uid, record)
                raise

    def _run(self, uid: str, record: _Pod) -> None:
        pod = record.spec
        if pod["spec"].get("initContainers"):
            raise BackendError("init containers are not supported by this test bed")
        image_ids = [self._image(container["image"]) for container in pod["spec"]["containers"]]
        record.volumes = Volumes(pod, self._layout.pod(uid))
        self._layout.logs(uid).mkdir(parents=True)
        config = podspec.sandbox_config(pod, self._layout)
        record.sandbox = self._runtime.run_sandbox(config)
        if pod["spec"].get("hostNetwork"):
            record.ip = _NODE_IP
        else:
            record.ip = self._runtime.sandbox_status(record.sandbox).network.ip
            record.namespace = self._runtime.network_namespace(record.sandbox)
        for container, image in zip(pod["spec"]["containers"], image_ids, strict=True):
            mounts = [*record.volumes.mounts(container), self._termination_mount(uid, container)]
            message = podspec.container_config(pod, container, image, mounts)
            record.containers[container["name"]] = self._runtime.start_container(record.sandbox, message, config)

    def _termination_mount(self, uid: str, container: dict[str, Any]) -> cri.Mount:
        file = self._layout.termination(uid, container["name"])
        file.parent.mkdir(exist_ok=True)
        file.touch(0o666)
        file.chmod(0o666)
        return podspec.mount({"mountPath": message_path(container)}, str(file))

    def _image(self, image: str) -> str:
        """Return the id of an image, making and importing the Debian one when it is first asked for."""
        reference = images.resolve(image)
        if reference == images.DEBIAN:
            with self._debian:
                if self._runtime.image_id(reference) is None:
                    self._containerd.import_image(images.debian_archive())
        return self._runtime.wait_image(reference)

    def state(self, uid: str) -> PodState:
        """Ask the runtime how the containers of a pod are; raise KeyError if it is unknown."""
        record = self._pods[uid]
        try:
            containers = tuple(
                self._with_message(record, _container_state(name, self._runtime.container_status(container)))
                for name, container in list(record.containers.items())
            )
        except BackendError as exc:  # it is just being deleted
            raise KeyError(uid) from exc
        return PodState(phase=_phase(record, containers), ip=record.ip, containers=containers)

    def _with_message(self, record: _Pod, state: ContainerState) -> ContainerState:
        if state.exit_code is None:
            return state
        uid = record.spec["metadata"]["uid"]
        spec = next(spec for spec in record.spec["spec"]["containers"] if spec["name"] == state.name)
        file = self._layout.termination(uid, state.name)
        message = read_message(spec, file, lambda: self.logs(uid, state.name), state.exit_code)
        return replace(state, message=message)

    def kill(self, uid: str, container: str = "") -> None:
        """Kill the first process of a container, and with it all of its PID namespace."""
        record = self._pods.get(uid)
        for name, found in list(record.containers.items()) if record is not None else ():
            if container in ("", name):
                execution.kill(self._layout.runc_root, found)

    def delete(self, uid: str, grace_seconds: float) -> None:
        """Stop the pod's containers, at the same time and within the grace, and free all it holds."""
        record = self._pods.get(uid)
        if record is None:
            return
        with record.lock:
            if grace_seconds > 0:
                self._stop_containers(record, grace_seconds)
            self._remove(uid, record)

    def _stop_containers(self, record: _Pod, grace_seconds: float) -> None:
        stops = [
            threading.Thread(target=self._stop_container, args=(container, grace_seconds))
            for container in record.containers.values()
        ]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    def _stop_container(self, container: str, grace_seconds: float) -> None:
        # What could not be stopped in time is killed with its sandbox.
        with contextlib.suppress(BackendError):
            self._runtime.stop_container(container, grace_seconds)

    def _remove(self, uid: str, record: _Pod) -> None:
        """Free all that a pod holds, also one that came up half way."""
        if self._pods.get(uid) is not record:
            return  # deleted by someone else while we waited for the lock
        for nic in record.nics:
            self.network.remove_nic(nic)
        if record.sandbox is not None:
            self._runtime.remove_sandbox(record.sandbox)
        sweep.remove_cgroups(f"{self._layout.name}/{uid}")
        if record.volumes is not None:
            record.volumes.close()
        for directory in (self._layout.pod(uid), self._layout.logs(uid)):
            shutil.rmtree(directory, ignore_errors=True)
        with self._mutex:
            del self._pods[uid]

    def exec(self, uid: str, request: ExecRequest) -> subprocess.Popen[bytes]:
        """Run a command by way of runc; with ``tty``, stdin and stdout are one pseudo-terminal."""
        return execution.start(self._layout.runc_root, self._running_container(uid, request.container), request)

    def exec_url(self, uid: str, request: ExecRequest) -> str | None:
        """Return the URL of containerd's own SPDY stream for a command."""
        return self._runtime.exec_url(self._running_container(uid, request.container), request)

    def _pod(self, uid: str) -> _Pod:
        record = self._pods.get(uid)
        if record is None:
            raise BackendError(f"pod {uid} not found")
        return record

    def _container(self, uid: str, name: str) -> str:
        """Return the id of a container; an empty name means the first one."""
        for key, container in self._pod(uid).containers.items():
            if name in ("", key):
                return container
        raise BackendError(f'container not found ("{name}")')

    def _running_container(self, uid: str, name: str) -> str:
        container = self._container(uid, name)
        status = self._runtime.container_status(container)
        if status.state != cri.CONTAINER_RUNNING:
            raise BackendError(f'container "{status.metadata.name}" is not running')
        return container

    def connect(self, uid: str, port: int) -> socket.socket:
        """Connect to a port of the pod's own localhost, as a port-forward does."""
        record = self._pod(uid)
        try:
            return connect_in(record.namespace, port)
        except OSError as exc:
            raise BackendError(f"port {port} of pod {record.spec['metadata']['name']}: {exc}") from exc

    def port_forward_url(self, uid: str, ports: list[int]) -> str | None:
        """Return the URL of containerd's own SPDY port-forward."""
        sandbox = self._pod(uid).sandbox
        return None if sandbox is None else self._runtime.port_forward_url(sandbox, ports)

    def logs(self, uid: str, container: str) -> bytes:
        """Return what a container has written, stdout and stderr as they came."""
        name = container or next(iter(self._pod(uid).containers), "")
        self._container(uid, name)
        return parse_cri_log((self._layout.logs(uid) / f"{name}.log").read_bytes())

    def root(self, uid: str) -> Path | None:
        """Return the root directory as the pod's first container sees it, volumes included."""
        bundle = self._layout.bundle(self._running_container(uid, ""))
        return Path("/proc", (bundle / "init.pid").read_text(encoding="ascii").strip(), "root")

    def network_namespace(self, uid: str) -> Path | None:
        """Return the path of a pod's network namespace; None if it uses this machine's."""
        return self._pod(uid).namespace

    def add_nic(self, uid: str, name: str, mac: str) -> str:
        """Give a pod one more NIC (one end of a veth pair, down); return the name of the end outside.

        :raises BackendError: the pod has the host's network, or the name or the address is no good.
        """
        record = self._pod(uid)
        with record.lock:
            if record.namespace is None:
                raise BackendError(f"pod {record.spec['metadata']['name']} has no network of its own")
            host_end = self.network.add_nic(record.namespace, name, mac)
            record.nics.append(host_end)
        return host_end

    def close(self) -> None:
        """Stop containerd and sweep up all that it ran; the same way as after a SIGKILL, and as fast for any number."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
        if hasattr(self, "_runtime"):
            self._runtime.close()
        if hasattr(self, "_containerd"):
            self._containerd.stop()
        self._reaper.close()
        with self._mutex:
            self._pods.clear()


def _sweep_command(layout: RunLayout) -> list[str]:
    """Return the command that the reaper runs; -P keeps our file names from shadowing Python's."""
    tests = Path(sweep.__file__).parents[3]
    command = ["env", f"PYTHONPATH={tests}", sys.executable, "-P", "-S", sweep.__file__]
    return [*command, str(layout.directory), layout.name]


def _container_state(name: str, status: cri.ContainerStatus) -> ContainerState:
    exited = status.state == cri.CONTAINER_EXITED
    return ContainerState(
        name=name,
        running=status.state == cri.CONTAINER_RUNNING,
        exit_code=status.exit_code if exited else None,
        reason=status.reason,
    )


def _phase(record: _Pod, containers: tuple[ContainerState, ...]) -> Phase:
    """Sum the containers up as a kubelet does for a pod that is never restarted."""
    if len(containers) < len(record.spec["spec"]["containers"]):
        return Phase.PENDING
    if any(container.exit_code is None for container in containers):
        return Phase.RUNNING
    return Phase.FAILED if any(container.exit_code for container in containers) else Phase.SUCCEEDED
