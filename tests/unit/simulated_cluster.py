# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster in memory: an API with resource versions, a Job controller, kubelets, and agents that change machines.

It checks by itself what must never happen: two agents on a node at once, and a status that says more than an agent did.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import Writer
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import Event
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._index import Index
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import CONFIG_LABEL
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import timestamp
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import from_result, write

KINDS = ("config", "node", "job", "pod")
Object = dict[str, Any]


class Killed(Exception):
    """The controller was killed."""


@dataclass
class Machine:
    """A real machine.

    :param nics: what its NICs are configured as, by id; None for one that an interrupted agent left.
    :param missing: MAC addresses that it does not have.
    """

    uuid: str
    boot: int = 0
    nics: dict[int, Any] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)


@dataclass
class Cluster(Writer):
    """The API and all that lives behind it.

    :ivar changes: how many things happened to a resource, by uid: what its number of status writes is held against.
    :ivar kill_in: writes until the controller is killed; the last one arrives or not, as ``arrives`` says.
    """

    now: float = 1_700_000_000.0
    version: int = 0
    objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    machines: dict[str, Machine] = field(default_factory=dict)
    news: dict[str, list[tuple[str, Object]]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    writes: dict[str, int] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    events: list[tuple[str, Event]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    kill_in: int | None = None
    arrives: bool = True
    conflicts: int = 0

    # the API

    def put(self, kind: str, obj: Object) -> Object:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[kind][obj["metadata"]["uid"]] = obj
        self.news[kind].append(("PUT", copy.deepcopy(obj)))
        return copy.deepcopy(obj)

    def remove(self, kind: str, uid: str) -> None:
        obj = self.objects[kind].pop(uid, None)
        if obj is not None:
            self.news[kind].append(("DROP", copy.deepcopy(obj)))

    def named(self, kind: str, name: str) -> Object | None:
        found = (obj for obj in self.objects[kind].values() if obj["metadata"]["name"] == name)
        return next(found, None)

    def _write(self) -> bool:
        """Count a write of the controller; return whether it arrives before the controller is killed."""
        if self.kill_in is None:
            return True
        self.kill_in -= 1
        if self.kill_in > 0:
            return True
        if not self.arrives:
            self.kill_in = None
            raise Killed
        return True

    def _wrote(self) -> None:
        if self.kill_in == 0:
            self.kill_in = None
            raise Killed

    # Writer

    def get_config(self, namespace: str, name: str) -> Mapping[str, Any]:
        found = self.named("config", name)
        if found is None:
            raise Conflict(f"{name} is gone")
        return copy.deepcopy(found)

    def patch_config(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._write()
        obj = self._of_version(name, body)
        obj["metadata"]["finalizers"] = list(body["metadata"]["finalizers"])
        done = self.put("config", obj)
        if not obj["metadata"]["finalizers"] and "deletionTimestamp" in obj["metadata"]:
            self._gone(obj)
        self._wrote()
        return done

    def patch_status(self, namespace: str, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._write()
        obj = self._of_version(name, body)
        before = copy.deepcopy(obj.get("status", {}))
        obj["status"] = _merge(before, body["status"])
        uid = obj["metadata"]["uid"]
        self.writes[uid] = self.writes.get(uid, 0) + 1
        self._check_truth(obj)
        done = self.put("config", obj)
        self._wrote()
        return done

    def create_job(self, namespace: str, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        self._write()
        name = manifest["metadata"]["name"]
        if self.named("job", name) is not None:
            return None
        node = manifest["spec"]["template"]["spec"]["nodeName"]
        for uid, job in self.objects["job"].items():
            same = job["spec"]["template"]["spec"]["nodeName"] == node
            assert not same or self.ended(uid), f"{name} beside {job['metadata']['name']}"
        job = copy.deepcopy(dict(manifest))
        job["metadata"].update(uid=f"job-{len(self.created)}", creationTimestamp=timestamp(self.now))
        job["status"] = {}
        self.created.append(name)
        done = self.put("job", job)
        self._new_pod(job)
        self._wrote()
        return done

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        self._write()
        job = self.objects["job"].get(uid)
        if job is not None:
            self.delete(job)
        self._wrote()

    def create_event(self, config: Config, event: Event) -> None:
        self.events.append((config.uid, event))

    def _of_version(self, name: str, body: Mapping[str, Any]) -> Object:
        obj = self.named("config", name)
        if obj is None or obj["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            self.conflicts += 1
            raise Conflict(f"{name} is not what it was")
        return obj

    def _check_truth(self, obj: Object) -> None:
        """A status must say no more than an agent did."""
        status, generation = obj["status"], obj["metadata"]["generation"]
        assert len(json.dumps(obj)) < 12_000
        if status["state"] in ("Configured", "PartiallyConfigured"):
            last = status["lastJob"]
            assert status["observedGeneration"] == last["generation"] == generation
            assert self.told[last["uid"]] == status["state"]
        ready = next(each for each in status["conditions"] if each["type"] == "Ready")
        assert (ready["status"] == "True") == (status["state"] == "Configured")
        if status["state"] in ("InProgress", "Waiting"):
            assert ready["observedGeneration"] == generation

    # users

    def create_config(self, name: str, node: str, interfaces: list[Object], uuid: str) -> str:
        uid = f"uid-{name}-{self.version}"
        self.allowed[uid] = 3
        spec = {"nodeName": node, "instanceId": uuid, "interfaces": copy.deepcopy(interfaces)}
        metadata = {
            "name": name,
            "namespace": "multinic",
            "uid": uid,
            "generation": 1,
            "creationTimestamp": timestamp(self.now),
        }
        self.put("config", {"metadata": metadata, "spec": spec})
        return uid

    def change_config(self, uid: str, **spec: Any) -> None:
        obj = self.objects["config"][uid]
        if obj["spec"] != {**obj["spec"], **spec}:
            obj["spec"].update(copy.deepcopy(spec))
            obj["metadata"]["generation"] += 1
            self.allowed[uid] += 3
            self.put("config", obj)

    def delete_config(self, uid: str) -> None:
        obj = self.objects["config"][uid]
        if "deletionTimestamp" in obj["metadata"]:
            return
        self._others_too(obj)
        if not obj["metadata"].get("finalizers"):
            self._gone(obj)
            return
        obj["metadata"]["deletionTimestamp"] = timestamp(self.now)
        obj["metadata"]["generation"] += 1
        self.allowed[uid] += 3
        self.put("config", obj)

    def _gone(self, obj: Object) -> None:
        self._others_too(obj)
        self.remove("config", obj["metadata"]["uid"])
        for job in list(self.objects["job"].values()):
            if job["metadata"]["labels"][CONFIG_LABEL] == obj["metadata"]["uid"]:
                self.delete(job)

    def _others_too(self, obj: Object) -> None:
        """What happens to a resource happens to its rivals."""
        for uid, other in self.objects["config"].items():
            if other["spec"]["nodeName"] == obj["spec"]["nodeName"]:
                self.allowed[uid] += 3

    # nodes

    def add_node(self, name: str, machine: Machine) -> None:
        self.machines[name] = machine
        self._put_node(name, True)

    def _put_node(self, name: str, ready: bool) -> None:
        machine = self.machines[name]
        info = {"systemUUID": machine.uuid.upper(), "bootID": f"boot-{machine.boot}", "osImage": "Ubuntu 24.04.1 LTS"}
        conditions = [{"type": "Ready", "status": "True" if ready else "Unknown"}]
        metadata = {"name": name, "uid": f"node-{name}"}
        self.put("node", {"metadata": metadata, "status": {"conditions": conditions, "nodeInfo": info}})
        self._node_changed(name)

    def _node_changed(self, name: str) -> None:
        for uid, obj in self.objects["config"].items():
            if obj["spec"]["nodeName"] == name:
                self.allowed[uid] += 3

    def set_ready(self, name: str, ready: bool) -> None:
        if self.ready(name) != ready and name in self.machines:
            self._put_node(name, ready)

    def ready(self, name: str) -> bool:
        node = self.objects["node"].get(f"node-{name}")
        return node is not None and node["status"]["conditions"][0]["status"] == "True"

    def reboot(self, name: str) -> None:
        """Its pods end without a word, its NICs lose what they had."""
        machine = self.machines[name]
        machine.boot += 1
        machine.nics = {}
        for pod in list(self.objects["pod"].values()):
            if pod["spec"]["nodeName"] == name and not _terminated(pod):
                self._terminate(pod, "Failed", "", 255)
        self._put_node(name, True)

    def delete_node(self, name: str) -> None:
        """The node is gone, and so are its pods."""
        del self.machines[name]
        self.remove("node", f"node-{name}")
        self._node_changed(name)
        for uid, pod in list(self.objects["pod"].items()):
            if pod["spec"]["nodeName"] == name:
                self.remove("pod", uid)

    # the Job controller, kubelets and agents

    def delete(self, obj: Object) -> None:
        """Begin to delete a Job, in the foreground."""
        if "deletionTimestamp" not in obj["metadata"]:
            obj["metadata"]["deletionTimestamp"] = timestamp(self.now)
            self.put("job", obj)

    def ended(self, job_uid: str) -> bool:
        """Return whether nothing of a Job runs any more."""
        return all(_terminated(pod) for pod in self.pods_of(job_uid)) and (
            bool(self.objects["job"][job_uid]["status"]) or bool(self.pods_of(job_uid))
        )

    def pods_of(self, job_uid: str) -> list[Object]:
        pods = self.objects["pod"].values()
        return [pod for pod in pods if pod["metadata"]["ownerReferences"][0]["uid"] == job_uid]

    def _new_pod(self, job: Object) -> None:
        template = job["spec"]["template"]
        metadata = {
            "name": f"{job['metadata']['name']}-x",
            "uid": f"pod-of-{job['metadata']['uid']}",
            "creationTimestamp": timestamp(self.now),
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{"kind": "Job", "uid": job["metadata"]["uid"]}],
        }
        self.put("pod", {"metadata": metadata, "spec": copy.deepcopy(template["spec"]), "status": {"phase": "Pending"}})

    def step(self) -> None:
        """Let the Job controller and the kubelets do what they do by themselves."""
        for uid, job in list(self.objects["job"].items()):
            node = job["spec"]["template"]["spec"]["nodeName"]
            pods = self.pods_of(uid)
            if "deletionTimestamp" in job["metadata"]:
                if node not in self.machines or self.ready(node) or all(_terminated(pod) for pod in pods):
                    self._interrupt(node, pods)
                    for pod in pods:
                        self.remove("pod", pod["metadata"]["uid"])
                    self.remove("job", uid)
            elif not job["status"]:
                self._conclude(job, pods)

    def _conclude(self, job: Object, pods: list[Object]) -> None:
        good = any(pod["status"]["phase"] == "Succeeded" for pod in pods)
        if good or not pods or all(pod["status"]["phase"] == "Failed" for pod in pods):
            condition = {"type": "Complete" if good else "Failed", "status": "True"}
            condition["reason"] = "" if good else "BackoffLimitExceeded"
            condition["lastTransitionTime"] = timestamp(self.now)
            job["status"] = {"conditions": [condition]}
            self.allowed_for(job, 1)
            self.put("job", job)

    def allowed_for(self, job: Object, number: int) -> None:
        uid = job["metadata"]["labels"][CONFIG_LABEL]
        if uid in self.allowed:
            self.allowed[uid] += number

    def _interrupt(self, node: str, pods: list[Object]) -> None:
        if node in self.machines and any(pod["status"]["phase"] == "Running" for pod in pods):
            self.machines[node].nics = {}

    def start_pods(self) -> None:
        for pod in list(self.objects["pod"].values()):
            if pod["status"]["phase"] == "Pending" and self.ready(pod["spec"]["nodeName"]):
                pod["status"] = {"phase": "Running", "containerStatuses": [{"name": "agent", "state": {"running": {}}}]}
                self.put("pod", pod)

    def running(self) -> list[Object]:
        pods = self.objects["pod"].values()
        return [pod for pod in pods if pod["status"]["phase"] == "Running" and self.ready(pod["spec"]["nodeName"])]

    def fail_to_pull(self) -> None:
        for pod in list(self.objects["pod"].values()):
            if pod["status"]["phase"] == "Pending" and self.ready(pod["spec"]["nodeName"]):
                waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
                pod["status"] = {
                    "phase": "Pending",
                    "containerStatuses": [{"name": "agent", "state": {"waiting": waiting}}],
                }
                self.put("pod", pod)

    def crash(self, pod: Object, message: str = "") -> None:
        """The agent dies in the middle of its change; ``message`` is what it had said."""
        self.machines[pod["spec"]["nodeName"]].nics = {}
        self._terminate(pod, "Failed", message, 137)

    def expire(self) -> None:
        """The deadline of every Job that has not ended is over, and the kubelet of its node is there."""
        for uid, job in list(self.objects["job"].items()):
            node = job["spec"]["template"]["spec"]["nodeName"]
            pods = self.pods_of(uid)
            if not job["status"] and self.ready(node) and not any(_terminated(pod) for pod in pods):
                self._interrupt(node, pods)
                for pod in pods:
                    self.remove("pod", pod["metadata"]["uid"])
                condition = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}
                job["status"] = {"conditions": [{**condition, "lastTransitionTime": timestamp(self.now)}]}
                self.allowed_for(job, 1)
                self.put("job", job)

    def finish(self, pod: Object) -> None:
        """The agent does its work and says so."""
        machine = self.machines[pod["spec"]["nodeName"]]
        env = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        spec, task = json.loads(env["AGENT_SPEC"]), Task(env["AGENT_ACTION"])
        machine.nics, results = {}, []
        for entry in spec["interfaces"]:
            good = entry["macAddress"] not in machine.missing
            reason = None if good else f"this node has no NIC {entry['macAddress']}"
            results.append({"id": entry["id"], "state": "configured" if good else "failed", "reason": reason})
            if good:
                machine.nics[entry["id"]] = entry
        bad = [each for each in results if each["state"] != "configured"]
        verdict = "Configured" if not bad else "Failed" if len(bad) == len(results) else "PartiallyConfigured"
        self.told[pod["metadata"]["ownerReferences"][0]["uid"]] = verdict
        summary = from_result(task, spec["generation"], {"interfaces": results}, None)
        self._terminate(pod, "Failed" if bad else "Succeeded", write(summary), 2 if bad else 0)

    def _terminate(self, pod: Object, phase: str, message: str, code: int) -> None:
        terminated = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "message": message}
        pod["status"] = {"phase": phase, "containerStatuses": [{"name": "agent", "state": {"terminated": terminated}}]}
        self.put("pod", pod)

    # news

    def listed(self) -> Index:
        """Return an index of all that is there, as a controller has it that has just begun."""
        index = Index()
        for kind in KINDS:
            self.news[kind].clear()
            for obj in self.objects[kind].values():
                _tell(index, kind, "PUT", copy.deepcopy(obj))
        return index

    def deliver(self, index: Index, kind: str, count: int) -> None:
        """Tell an index the oldest news of a kind."""
        for _number in range(min(count, len(self.news[kind]))):
            what, obj = self.news[kind].pop(0)
            _tell(index, kind, what, obj)


def _tell(index: Index, kind: str, what: str, obj: Object) -> None:
    metadata = obj["metadata"]
    if what == "PUT":
        {"config": index.put_config, "node": index.put_node, "job": index.put_job, "pod": index.put_pod}[kind](obj)
    elif kind == "node":
        index.drop_node(metadata["name"])
    else:
        {"config": index.drop_config, "job": index.drop_job, "pod": index.drop_pod}[kind](metadata["uid"])


def _terminated(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def _merge(old: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
