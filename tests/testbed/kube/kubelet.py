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
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from testbed.kube.backend import BackendError, ContainerState, Phase, PodBackend, PodState
from testbed.kube.errors import ApiError
from testbed.kube.objects import Objects, now, ref_of
from testbed.kube.store import Event, Obj, Ref

# How often the backend is asked for the state of the pods when the API has nothing new.
_POLL_SECONDS = 0.1
_QUIET_SECONDS = 1.0
_WORKERS = 8

_LOG = logging.getLogger(__name__)


class Kubelet:
    """One thread that hears of pods and asks the backend for their state, and a few that start and end them.

    It is the kubelet of every node that exists. ``silence`` makes it stop acting for one of them.
    """

    def __init__(self, objects: Objects, backend: PodBackend) -> None:
        self._objects = objects
        self._backend = backend
        self._pods = objects.registry.of_kind("Pod", "v1")
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="kubelet")
        self._known: dict[str, Obj] = {}
        self._busy: set[str] = set()
        self._started: set[str] = set()
        self._silent: set[str] = set()
        self._lock = threading.RLock()
        backend.on_change(self._changed)
        self._thread = threading.Thread(target=self._run, name="kubelet")
        self._thread.start()

    def close(self) -> None:
        """Wait for the threads; call it after the store was closed."""
        self._thread.join()
        self._workers.shutdown(wait=True, cancel_futures=True)

    def silence(self, node: str) -> None:
        """Start and end nothing on a node and report nothing of it, until ``resume``."""
        with self._lock:
            self._silent.add(node)

    def resume(self, node: str) -> None:
        """Look after the pods of a node again."""
        with self._lock:
            self._silent.discard(node)
            pods = self._pods_of(node)
        for pod in pods:
            self._look_after(pod)

    def power_off(self, node: str) -> None:
        """End what runs on a node as a loss of power does: at once, and unseen until its kubelet is back."""
        for pod in self._pods_of(node):
            with contextlib.suppress(KeyError, BackendError):
                self._backend.kill(pod["metadata"]["uid"])

    def _pods_of(self, node: str) -> list[Obj]:
        with self._lock:
            return [pod for pod in self._known.values() if pod["spec"].get("nodeName") == node]

    # -- hearing of pods

    def _run(self) -> None:
        store = self._objects.store
        revision, asked = self._resync(), 0.0
        while not store.closed:
            try:
                events = store.events_after(revision, _POLL_SECONDS if self._polls() else _QUIET_SECONDS)
            except ApiError:  # more changes than the history holds
                revision = self._resync()
                continue
            for event in events:
                revision = event.revision
                self._hear(event)
            if time.monotonic() - asked >= _POLL_SECONDS and self._polls():
                self._ask()
                asked = time.monotonic()

    def _polls(self) -> bool:
        return self._backend.polled and bool(self._known)

    def _resync(self) -> int:
        pods, revision = self._objects.store.items("", "pods")
        with self._lock:
            self._known = {pod["metadata"]["uid"]: pod for pod in pods}
        for pod in pods:
            self._look_after(pod)
        return revision

    def _hear(self, event: Event) -> None:
        kind, uid = (event.ref.group, event.ref.plural), event.obj["metadata"].get("uid", "")
        if kind == ("", "pods") and event.type == "DELETED":
            with self._lock:
                self._known.pop(uid, None)
                left = uid in self._started and uid not in self._busy
            if left:  # removed by force; what ran goes as soon as its node is heard of
                self._workers.submit(self._clean_up, event.obj)
        elif kind == ("", "pods"):
            with self._lock:
                self._known[uid] = event.obj
            self._look_after(event.obj)
        elif kind == ("", "nodes") and event.type == "ADDED":
            for pod in self._pods_of(event.ref.name):
                self._look_after(pod)

    def _changed(self, uid: str) -> None:
        """Report a pod of whose change the backend has told, in one of the workers."""
        with contextlib.suppress(RuntimeError):  # it is being closed
            self._workers.submit(self._report_changed, uid)

    def _report_changed(self, uid: str) -> None:
        with self._lock:
            pod = self._known.get(uid)
            silent = pod is not None and pod["spec"].get("nodeName") in self._silent
        if pod is not None and not silent:
            self._report(pod)

    def _ask(self) -> None:
        with self._lock:
            pods = list(self._known.values())
        for pod in pods:
            if not _at_rest(pod):
                self._look_after(pod)

    # -- looking after one

    def _look_after(self, pod: Obj) -> None:
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName", "")
        ending = "deletionTimestamp" in pod["metadata"]
        with self._lock:
            if node in self._silent:
                self._force(pod)
                return
            if uid in self._busy:
                return
            if uid in self._started and not ending:
                work = None
            elif not ending and not self._has_node(node):
                return
            else:
                self._busy.add(uid)
                work = self._end if ending else self._start
        if work is None:
            self._report(pod)
        else:
            with contextlib.suppress(RuntimeError):  # it is being closed
                self._workers.submit(self._do, work, pod)

    def _has_node(self, name: str) -> bool:
        return self._objects.store.read(Ref("", "nodes", "", name)) is not None

    def _force(self, pod: Obj) -> None:
        """Remove a pod whose deletion does not wait for its (silent) kubelet."""
        metadata = pod["metadata"]
        at_once = metadata.get("deletionGracePeriodSeconds") == 0 or _ended(pod)
        if metadata.get("deletionTimestamp") and at_once:
            self._objects.finalize(ref_of(self._pods, metadata["namespace"], metadata["name"]), metadata["uid"])

    def _do(self, work: Callable[[Obj], None], pod: Obj) -> None:
        uid = pod["metadata"]["uid"]
        try:
            work(pod)
        finally:
            with self._lock:
                self._busy.discard(uid)
                latest = self._known.get(uid)
        # Its deletion may have been asked for meanwhile.
        if latest is not None and "deletionTimestamp" in latest["metadata"] and work != self._end:
            self._look_after(latest)

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
        if not self._clean_up(pod):
            # The pod stays, so that a test that waits for its end fails; the next round tries again.
            return
        self._objects.finalize(ref_of(self._pods, metadata["namespace"], metadata["name"]), metadata["uid"])

    def _clean_up(self, pod: Obj) -> bool:
        metadata = pod["metadata"]
        try:
            self._backend.delete(metadata["uid"], float(metadata.get("deletionGracePeriodSeconds") or 0))
        except Exception:
            _LOG.exception("ending pod %s", metadata["name"])
            return False
        with self._lock:
            self._started.discard(metadata["uid"])
        return True

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


def _at_rest(pod: Obj) -> bool:
    """Return whether nothing can happen to a pod any more but its deletion."""
    return _ended(pod) and "deletionTimestamp" not in pod["metadata"]


def _ended(pod: Obj) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _keep_times(old: Obj, new: Obj) -> Obj:
    """Return the new status with the old one's times where nothing but the time differs."""
    known = {condition["type"]: condition for condition in old.get("conditions", ())}
    for condition in new.get("conditions", ()):
        was = known.get(condition["type"])
        if was is not None and was["status"] == condition["status"] and "lastTransitionTime" in was:
            condition["lastTransitionTime"] = was["lastTransitionTime"]
        else:
            condition["lastTransitionTime"] = now()
    _keep_container_times(old, new)
    kept = {key: value for key, value in old.items() if key not in new}
    return {**kept, **new, "startTime": old.get("startTime") or now()}


def _keep_container_times(old: Obj, new: Obj) -> None:
    """Say since when each container runs and when it ended."""
    known = {status["name"]: status["state"] for status in old.get("containerStatuses", ())}
    for status in new.get("containerStatuses", ()):
        was, state = known.get(status["name"], {}), status["state"]
        if "running" in state:
            state["running"]["startedAt"] = was.get("running", {}).get("startedAt") or now()
        elif "terminated" in state:
            ended = was.get("terminated", {})
            started = ended.get("startedAt") or was.get("running", {}).get("startedAt") or now()
            state["terminated"] |= {"startedAt": started, "finishedAt": ended.get("finishedAt") or now()}


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
        terminated = {"exitCode": container.exit_code, "reason": container.reason or "Completed"}
        if container.message:
            terminated["message"] = container.message
        state = {"terminated": terminated}
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
