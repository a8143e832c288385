# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the pods that the API holds: starts them on a backend, reports their state, ends them.

What a kubelet does beyond that is not there: no probes (a running container is ready, and its pod is unless it has
readiness gates) and no restarts (a
container that ends stays ended, whatever its ``restartPolicy``).
"""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from testbed.kube.backend import BackendError, ContainerState, Phase, PodBackend, PodState
from testbed.kube.errors import ApiError
from testbed.kube.objects import Objects, now, ref_of
from testbed.kube.store import Obj

# How often the backend is asked for the state of the pods when the API has nothing new.
_POLL_SECONDS = 0.1
_WORKERS = 8

_LOG = logging.getLogger(__name__)


class Kubelet:
    """One thread that compares pods with the backend, and a few that start and end them."""

    def __init__(self, objects: Objects, backend: PodBackend) -> None:
        self._objects = objects
        self._backend = backend
        self._pods = objects.registry.of_kind("Pod", "v1")
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="kubelet")
        self._busy: set[str] = set()
        self._started: set[str] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="kubelet")
        self._thread.start()

    def close(self) -> None:
        """Wait for the threads; call it after the store was closed."""
        self._thread.join()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        revision = 0
        while not self._objects.store.closed:
            pods, revision = self._objects.store.items("", "pods")
            for pod in pods:
                self._look_after(pod)
            with contextlib.suppress(ApiError):  # more changes than the history holds; items() has them all
                self._objects.store.events_after(revision, _POLL_SECONDS)

    def _look_after(self, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        with self._lock:
            if uid in self._busy:
                return
            ending = "deletionTimestamp" in pod["metadata"]
            if not ending and uid in self._started:
                work = None
            else:
                self._busy.add(uid)
                work = self._end if ending else self._start
        if work is None:
            self._report(pod)
        else:
            self._workers.submit(self._do, work, pod)

    def _do(self, work: Any, pod: Obj) -> None:
        try:
            work(pod)
        finally:
            with self._lock:
                self._busy.discard(pod["metadata"]["uid"])

    def _start(self, pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        with self._lock:
            self._started.add(uid)
        try:
            self._backend.create(pod)
        except Exception as exc:  # whatever it is, the pod's status is where its user will look
            if not isinstance(exc, BackendError):
                _LOG.exception("starting pod %s", pod["metadata"]["name"])
            message = str(exc)
            self._write_status(pod, lambda now_there: _not_started(now_there, message))
        else:
            self._report(pod)

    def _end(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        try:
            self._backend.delete(metadata["uid"], float(metadata.get("deletionGracePeriodSeconds") or 0))
        except Exception:
            # The pod stays, so that a test that waits for its end fails; the next round tries again.
            _LOG.exception("ending pod %s", metadata["name"])
            return
        with self._lock:
            self._started.discard(metadata["uid"])
        self._objects.finalize(ref_of(self._pods, metadata["namespace"], metadata["name"]), metadata["uid"])

    def _report(self, pod: Obj) -> None:
        try:
            state = self._backend.state(pod["metadata"]["uid"])
        except KeyError:
            return
        self._write_status(pod, lambda now_there: _status(now_there, state))

    def _write_status(self, pod: Obj, status: Callable[[Obj], Obj]) -> None:
        """Write the status that a pod has; it is made from what is there now, of which others may write a part."""
        metadata = pod["metadata"]

        def change(obj: Obj) -> None:
            if obj["metadata"]["uid"] == metadata["uid"]:
                obj["status"] = _keep_times(obj.get("status", {}), status(obj))

        with contextlib.suppress(ApiError):  # it has just been removed
            self._objects.change(self._pods, metadata["namespace"], metadata["name"], change, "status")


def _keep_times(old: Obj, new: Obj) -> Obj:
    """Return the new status with the old one's times where nothing but the time differs."""
    known = {condition["type"]: condition for condition in old.get("conditions", ())}
    for condition in new.get("conditions", ()):
        was = known.get(condition["type"])
        if was is not None and was["status"] == condition["status"] and "lastTransitionTime" in was:
            condition["lastTransitionTime"] = was["lastTransitionTime"]
        else:
            condition["lastTransitionTime"] = now()
    kept = {key: value for key, value in old.items() if key not in new}
    return {**kept, **new, "startTime": old.get("startTime") or now()}


def _conditions(ready: bool, phase: Phase) -> list[Obj]:
    reason = {Phase.SUCCEEDED: "PodCompleted", Phase.FAILED: "PodFailed"}.get(phase, "ContainersNotReady")
    status: Obj = {"status": "True"} if ready else {"status": "False", "reason": reason}
    return [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "ContainersReady", **status},
        {"type": "Ready", **status},
    ]


def _status(pod: Obj, state: PodState) -> Obj:
    images = {container["name"]: container.get("image", "") for container in pod["spec"]["containers"]}
    gates = _gates(pod)
    running = state.phase is Phase.RUNNING and all(container.running for container in state.containers)
    ready = running and all(gate["status"] == "True" for gate in gates)
    status: Obj = {
        "phase": state.phase.value,
        "conditions": [*_conditions(ready, state.phase), *gates],
        "containerStatuses": [_container_status(container, images) for container in state.containers],
        "hostIP": "127.0.0.1",
        "podIP": state.ip,
        "podIPs": [{"ip": state.ip}] if state.ip else [],
    }
    if state.message:
        status["message"] = state.message
    return status


def _gates(pod: Obj) -> list[Obj]:
    """Return the conditions that the pod's readiness gates ask for, as whoever looks after them has set them."""
    known = {condition["type"]: condition for condition in pod.get("status", {}).get("conditions", ())}
    wanted = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
    return [known.get(kind) or {"type": kind, "status": "False"} for kind in wanted]


def _container_status(container: ContainerState, images: dict[str, str]) -> Obj:
    if container.running:
        state: Obj = {"running": {}}
    elif container.exit_code is None:
        state = {"waiting": {"reason": container.reason or "ContainerCreating"}}
    else:
        state = {"terminated": {"exitCode": container.exit_code, "reason": container.reason or "Completed"}}
    return {
        "name": container.name,
        "image": images.get(container.name, ""),
        "imageID": "",
        "containerID": f"testbed://{container.name}",
        "ready": container.running,
        "started": container.running,
        "restartCount": 0,
        "state": state,
    }


def _not_started(pod: Obj, message: str) -> Obj:
    waiting = {"waiting": {"reason": "CreateContainerError", "message": message}}
    statuses = [
        {**_container_status(ContainerState(container["name"], False), {}), "state": copy.deepcopy(waiting)}
        for container in pod["spec"]["containers"]
    ]
    return {
        "phase": "Pending",
        "conditions": _conditions(False, Phase.PENDING),
        "containerStatuses": statuses,
        "message": message,
    }
