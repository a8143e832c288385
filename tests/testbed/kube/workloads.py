# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns workloads into pods: Deployments by way of ReplicaSets, StatefulSets and DaemonSets; ends namespaces.

One pass looks at everything and changes what is not as wanted; there are few enough objects for that. Pods
that have ended count as there: they are replaced only when they are deleted, so nothing starts over and over.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from testbed.kube.errors import ApiError
from testbed.kube.objects import Objects, name_suffix, owner_reference, ref_of
from testbed.kube.resources import Resource
from testbed.kube.store import Event, Obj, Ref

_WAIT_SECONDS = 1.0
_TEMPLATE_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"
_REVISION_HASH = "controller-revision-hash"

_OWNERS = frozenset({"ReplicaSet", "StatefulSet", "DaemonSet"})

_LOG = logging.getLogger(__name__)


def template_hash(template: Obj) -> str:
    """Return what names this form of a pod template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def is_ready(pod: Obj) -> bool:
    """Return whether a pod has the condition Ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


class Workloads:
    """One thread that brings the pods of every workload to the wanted number whenever something changes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._passes: dict[Resource, Callable[[Obj], None]] = {
            self._kind("Deployment"): self._deployment,
            self._kind("ReplicaSet"): self._replica_set,
            self._kind("StatefulSet"): self._stateful_set,
            self._kind("DaemonSet"): self._daemon_set,
            self._kind("Namespace"): self._namespace,
        }
        self._thread = threading.Thread(target=self._run, name="workloads")
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread; call it after the store was closed."""
        self._thread.join()

    def _kind(self, kind: str) -> Resource:
        return self._objects.registry.of_kind(kind)

    def _run(self) -> None:
        store = self._objects.store
        while not store.closed:
            revision = store.revision
            for resource, reconcile in self._passes.items():
                for obj in store.items(resource.group, resource.plural)[0]:
                    self._try(reconcile, obj)
            self._await_change(revision)

    def _await_change(self, revision: int) -> None:
        """Wait for something that a pass would act upon."""
        store = self._objects.store
        until = time.monotonic() + _WAIT_SECONDS
        while not store.closed and time.monotonic() < until:
            try:
                events = store.events_after(revision, until - time.monotonic())
            except ApiError:  # more changes than the history holds; every pass looks at all
                return
            if any(self._matters(event) for event in events):
                return
            if events:
                revision = events[-1].revision

    def _matters(self, event: Event) -> bool:
        kind = (event.ref.group, event.ref.plural)
        if kind == ("", "pods"):
            owners = event.obj["metadata"].get("ownerReferences") or ()
            if any(owner.get("kind") in _OWNERS for owner in owners):
                return True
        elif kind == ("", "nodes"):
            return event.type != "MODIFIED"
        elif event.ref.group == "apps" or kind == ("", "namespaces"):
            return True
        namespace = self._objects.store.read(Ref("", "namespaces", "", event.ref.namespace))
        return namespace is not None and "deletionTimestamp" in namespace["metadata"]

    def _try(self, reconcile: Callable[[Obj], None], obj: Obj) -> None:
        try:
            reconcile(obj)
        except ApiError as exc:
            # Somebody else was faster; their change starts the next pass.
            _LOG.debug("%s %s: %s", obj["kind"], obj["metadata"]["name"], exc)
        except Exception:
            _LOG.exception("%s %s", obj["kind"], obj["metadata"]["name"])

    # -- what all have in common

    def _owned(self, kind: str, owner: Obj) -> list[Obj]:
        """Return the objects that an owner controls and that are not being deleted."""
        resource, uid = self._kind(kind), owner["metadata"]["uid"]
        found, _revision = self._objects.store.items(resource.group, resource.plural, owner["metadata"]["namespace"])
        return [
            obj
            for obj in found
            if "deletionTimestamp" not in obj["metadata"]
            and any(reference["uid"] == uid for reference in obj["metadata"].get("ownerReferences") or ())
        ]

    def _create_pod(self, owner: Obj, labels: dict[str, str], name: str = "", **spec: Any) -> None:
        template = copy.deepcopy(owner["spec"]["template"])
        metadata = template.get("metadata") or {}
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        metadata["ownerReferences"] = [owner_reference(owner)]
        if name:
            metadata["name"] = name
        else:
            metadata["name"] = f"{owner['metadata']['name']}-{name_suffix()}"
        pod = {"metadata": metadata, "spec": {**template["spec"], **spec}}
        self._objects.create(self._kind("Pod"), owner["metadata"]["namespace"], pod)

    def _delete(self, kind: str, objs: Iterable[Obj]) -> None:
        for obj in objs:
            metadata = obj["metadata"]
            with contextlib.suppress(ApiError):
                self._objects.delete(self._kind(kind), metadata["namespace"], metadata["name"], uid=metadata["uid"])

    def _write_status(self, owner: Obj, status: Obj) -> None:
        metadata = owner["metadata"]
        status["observedGeneration"] = metadata["generation"]

        def change(obj: Obj) -> None:
            obj["status"] = status

        self._objects.change(self._kind(owner["kind"]), metadata["namespace"], metadata["name"], change, "status")

    # -- each kind

    def _deployment(self, deployment: Obj) -> None:
        if "deletionTimestamp" in deployment["metadata"]:
            return
        spec, metadata = deployment["spec"], deployment["metadata"]
        digest = template_hash(spec["template"])
        name = f"{metadata['name']}-{digest}"
        owned = self._owned("ReplicaSet", deployment)
        current = next((rs for rs in owned if rs["metadata"]["name"] == name), None)
        if current is None:
            newest = max((int(rs["metadata"].get("annotations", {}).get(_REVISION, 0)) for rs in owned), default=0)
            self._create_replica_set(deployment, name, digest, newest + 1)
        for replica_set in owned:
            self._set_replicas(replica_set, spec["replicas"] if replica_set is current else 0)
        counts = (current or {}).get("status", {})
        ready = counts.get("readyReplicas", 0)
        status = {
            "replicas": sum(rs.get("status", {}).get("replicas", 0) for rs in owned),
            "updatedReplicas": counts.get("replicas", 0),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, spec["replicas"] - ready),
            "conditions": [
                {"type": "Available", "status": str(ready >= spec["replicas"]), "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        }
        self._write_status(deployment, status)

    def _create_replica_set(self, deployment: Obj, name: str, digest: str, revision: int) -> None:
        spec = copy.deepcopy(deployment["spec"])
        template = spec["template"]
        labels = {**(template["metadata"].get("labels") or {}), _TEMPLATE_HASH: digest}
        template["metadata"]["labels"] = labels
        selector = {"matchLabels": {**(spec["selector"].get("matchLabels") or {}), _TEMPLATE_HASH: digest}}
        replica_set = {
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": {_REVISION: str(revision)},
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {"replicas": spec["replicas"], "selector": selector, "template": template},
        }
        self._objects.create(self._kind("ReplicaSet"), deployment["metadata"]["namespace"], replica_set)

    def _set_replicas(self, replica_set: Obj, replicas: int) -> None:
        metadata = replica_set["metadata"]
        self._objects.change(
            self._kind("ReplicaSet"),
            metadata["namespace"],
            metadata["name"],
            lambda obj: obj["spec"].update(replicas=replicas),
        )

    def _replica_set(self, replica_set: Obj) -> None:
        if "deletionTimestamp" in replica_set["metadata"]:
            return
        pods, wanted = self._owned("Pod", replica_set), replica_set["spec"]["replicas"]
        for _pod in range(wanted - len(pods)):
            self._create_pod(replica_set, {})
        self._delete("Pod", pods[wanted:])
        ready = sum(map(is_ready, pods))
        counts = {"replicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        self._write_status(replica_set, {**counts, "fullyLabeledReplicas": len(pods)})

    def _stateful_set(self, stateful_set: Obj) -> None:
        if "deletionTimestamp" in stateful_set["metadata"]:
            return
        name, wanted = stateful_set["metadata"]["name"], stateful_set["spec"]["replicas"]
        digest = template_hash(stateful_set["spec"]["template"])
        pods = {pod["metadata"]["name"]: pod for pod in self._owned("Pod", stateful_set)}
        names = [f"{name}-{index}" for index in range(wanted)]
        labels = {_REVISION_HASH: f"{name}-{digest}"}
        for index, pod_name in enumerate(names):
            if pod_name not in pods:
                labels_of_pod = {
                    **labels,
                    "statefulset.kubernetes.io/pod-name": pod_name,
                    "apps.kubernetes.io/pod-index": str(index),
                }
                with contextlib.suppress(ApiError):  # the one before it is still being ended
                    self._create_pod(stateful_set, labels_of_pod, pod_name, hostname=pod_name)
        updated = [pod for pod in pods.values() if labels.items() <= pod["metadata"]["labels"].items()]
        outdated = [pod for pod in pods.values() if pod not in updated]
        self._delete("Pod", [*outdated, *(pod for key, pod in pods.items() if key not in names)])
        ready = sum(map(is_ready, pods.values()))
        status = {
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": len(updated),
            "updatedReplicas": len(updated),
            "currentRevision": labels[_REVISION_HASH],
            "updateRevision": labels[_REVISION_HASH],
        }
        self._write_status(stateful_set, status)

    def _daemon_set(self, daemon_set: Obj) -> None:
        if "deletionTimestamp" in daemon_set["metadata"]:
            return
        selector = daemon_set["spec"]["template"]["spec"].get("nodeSelector") or {}
        nodes = {
            node["metadata"]["name"]
            for node in self._objects.store.items("", "nodes")[0]
            if selector.items() <= (node["metadata"].get("labels") or {}).items()
        }
        labels = {_REVISION_HASH: template_hash(daemon_set["spec"]["template"])}
        kept: dict[str, Obj] = {}
        for pod in self._owned("Pod", daemon_set):
            node = pod["spec"].get("nodeName", "")
            if node in nodes and node not in kept and labels.items() <= pod["metadata"]["labels"].items():
                kept[node] = pod
            else:
                self._delete("Pod", [pod])
        for node in sorted(nodes - kept.keys()):
            self._create_pod(daemon_set, labels, nodeName=node)
        ready = sum(map(is_ready, kept.values()))
        status = {
            "desiredNumberScheduled": len(nodes),
            "currentNumberScheduled": len(kept),
            "updatedNumberScheduled": len(kept),
            "numberReady": ready,
            "numberAvailable": ready,
            "numberMisscheduled": 0,
        }
        self._write_status(daemon_set, status)

    def _namespace(self, namespace: Obj) -> None:
        """Empty a namespace that is being deleted, then let it go."""
        metadata = namespace["metadata"]
        if "deletionTimestamp" not in metadata:
            return
        content = self._objects.store.entries(lambda ref, _: ref.namespace == metadata["name"])
        for ref, obj in content:
            if "deletionTimestamp" not in obj["metadata"]:
                resource = self._objects.registry.of_kind(obj["kind"], obj["apiVersion"])
                with contextlib.suppress(ApiError):
                    self._objects.delete(resource, ref.namespace, ref.name)
        if not content:
            self._objects.finalize(ref_of(self._kind("Namespace"), None, metadata["name"]), metadata["uid"])
