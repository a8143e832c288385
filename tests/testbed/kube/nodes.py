# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes for tests: what a kubelet and the node controllers say of them, and what becomes of their pods.

Not there: eviction. A pod on a lost node stays until somebody deletes it (a real cluster waits 300 s, and for ever if
the pod tolerates every taint).
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from typing import Any

from testbed.kube.errors import ApiError
from testbed.kube.kubelet import Kubelet
from testbed.kube.objects import Objects, now, ref_of
from testbed.kube.store import Obj, Ref

_WAIT_SECONDS = 5.0
_UNREACHABLE, _NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"


class TestNode:
    """A Node of the API, in the hands of a test."""

    __test__ = False  # it is no test, whatever pytest may think of its name

    def __init__(self, objects: Objects, kubelet: Kubelet, name: str) -> None:
        self._objects = objects
        self._kubelet = kubelet
        self._resource = objects.registry.of_kind("Node", "v1")
        self.name = name

    @property
    def object(self) -> Obj:
        """The Node as it is now; raise ApiError (404)."""
        return self._objects.get(self._resource, None, self.name)

    def set_ready(self, ready: bool) -> None:
        """Let the kubelet report whether the node is ready; pods run either way."""
        self._report("True" if ready else "False", "KubeletReady" if ready else "KubeletNotReady")
        self._taint({} if ready else {_NOT_READY: ("NoSchedule", "NoExecute")})

    def lose(self, *, power: bool = True) -> None:
        """Let the node drop out: its kubelet is silent, the node controller says Unknown; without power all ends."""
        self._kubelet.silence(self.name)
        if power:
            self._kubelet.power_off(self.name)
        self._report("Unknown", "NodeStatusUnknown")
        self._taint({_UNREACHABLE: ("NoSchedule", "NoExecute")})
        self._pods_not_ready()

    def come_back(self) -> None:
        """Let the kubelet report again, also what has become of the pods meanwhile."""
        self._kubelet.resume(self.name)
        self._report("True", "KubeletReady")
        self._taint({})

    def reboot(self) -> None:
        """End everything on the node, then let it come back with another boot id."""
        self.lose()

        def change(obj: Obj) -> None:
            obj["status"]["nodeInfo"] = {**obj["status"]["nodeInfo"], "bootID": str(uuid.uuid4())}

        self._change(change, "status")
        self.come_back()

    def cordon(self, unschedulable: bool = True) -> None:
        """Set ``spec.unschedulable``."""
        self._change(lambda obj: obj["spec"].update(unschedulable=unschedulable))

    def patch_info(self, **info: str) -> None:
        """Change ``status.nodeInfo``, such as ``systemUUID``."""

        def change(obj: Obj) -> None:
            obj["status"]["nodeInfo"] = {**obj["status"]["nodeInfo"], **info}

        self._change(change, "status")

    def delete(self) -> None:
        """Remove the Node from the API; its pods are collected."""
        self._kubelet.silence(self.name)
        self._kubelet.power_off(self.name)
        self._objects.delete(self._resource, None, self.name)
        self._kubelet.resume(self.name)

    def _report(self, status: str, reason: str) -> None:
        def change(obj: Obj) -> None:
            others = [entry for entry in obj["status"].get("conditions", ()) if entry["type"] != "Ready"]
            ready = {"type": "Ready", "status": status, "reason": reason}
            obj["status"]["conditions"] = [*others, {**ready, "lastHeartbeatTime": now(), "lastTransitionTime": now()}]

        self._change(change, "status")

    def _taint(self, wanted: dict[str, tuple[str, ...]]) -> None:
        def change(obj: Obj) -> None:
            kept = [t for t in obj["spec"].get("taints") or () if t["key"] not in (_UNREACHABLE, _NOT_READY)]
            added = [{"key": key, "effect": effect} for key, effects in wanted.items() for effect in effects]
            obj["spec"]["taints"] = [*kept, *added]
            if not obj["spec"]["taints"]:
                del obj["spec"]["taints"]

        self._change(change)

    def _pods_not_ready(self) -> None:
        pods = self._objects.registry.of_kind("Pod", "v1")

        def change(obj: Obj) -> None:
            for entry in obj["status"].get("conditions", ()):
                if entry["type"] == "Ready" and entry["status"] == "True":
                    entry |= {"status": "False", "reason": "NodeNotReady", "lastTransitionTime": now()}

        for pod in self._objects.store.items("", "pods")[0]:
            if pod["spec"].get("nodeName") == self.name:
                with contextlib.suppress(ApiError):
                    self._objects.change(pods, pod["metadata"]["namespace"], pod["metadata"]["name"], change, "status")

    def _change(self, change: Callable[[Obj], Any], part: str = "") -> None:
        self._objects.change(self._resource, None, self.name, change, part)


class PodCollector:
    """Removes the pods of Nodes that were deleted, as the pod garbage collector does (but at once)."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._thread = threading.Thread(target=self._run, name="pod-collector")
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread; call it after the store was closed."""
        self._thread.join()

    def _run(self) -> None:
        store = self._objects.store
        revision = 0
        while not store.closed:
            try:
                events = store.events_after(revision, _WAIT_SECONDS)
            except ApiError:
                revision = store.revision
                continue
            for event in events:
                revision = event.revision
                if (event.ref.group, event.ref.plural, event.type) == ("", "nodes", "DELETED"):
                    self._collect(event.ref.name)

    def _collect(self, node: str) -> None:
        store = self._objects.store
        if store.read(Ref("", "nodes", "", node)) is not None:
            return
        pods = self._objects.registry.of_kind("Pod", "v1")
        for pod in store.items("", "pods")[0]:
            metadata = pod["metadata"]
            if pod["spec"].get("nodeName") != node:
                continue
            with contextlib.suppress(ApiError):
                self._objects.change(pods, metadata["namespace"], metadata["name"], _fail, "status")
                self._objects.delete(pods, metadata["namespace"], metadata["name"], grace_seconds=0)
                self._objects.finalize(ref_of(pods, metadata["namespace"], metadata["name"]), metadata["uid"])


def _fail(pod: Obj) -> None:
    if pod["status"].get("phase") not in ("Succeeded", "Failed"):
        pod["status"] = {**pod["status"], "phase": "Failed"}
