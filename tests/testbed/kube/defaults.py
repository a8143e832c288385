# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The defaults that an API server fills in, as far as clients and the test bed look at them."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable
from typing import Any

from testbed.kube.resources import Resource

NODE_NAME = "testbed"

Obj = dict[str, Any]


def _pod_spec(spec: Obj) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    for container in spec.setdefault("containers", []):
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")


def _pod(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)
    # There is no scheduler: a pod that names no node runs on the one that always exists.
    spec.setdefault("nodeName", NODE_NAME)
    obj["status"] = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}


def _workload(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    if obj["kind"] != "DaemonSet":
        spec.setdefault("replicas", 1)
    if obj["kind"] != "ReplicaSet":
        # Only `kubectl rollout` looks at it; the workload controller changes all pods at once.
        spec.setdefault("strategy" if obj["kind"] == "Deployment" else "updateStrategy", {"type": "RollingUpdate"})
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))
    spec.setdefault("selector", {"matchLabels": template["metadata"].get("labels", {})})
    obj["status"] = {}


def _namespace(obj: Obj) -> None:
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj["status"] = {"phase": "Active"}


def _node(obj: Obj) -> None:
    name = obj["metadata"]["name"]
    obj.setdefault("spec", {})
    obj["metadata"].setdefault("labels", {}).setdefault("kubernetes.io/hostname", name)
    status = obj.setdefault("status", {})
    status.setdefault("conditions", [{"type": "Ready", "status": "True", "reason": "KubeletReady"}])
    status.setdefault(
        "addresses", [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}]
    )
    status["nodeInfo"] = {
        "machineID": uuid.uuid4().hex,
        "systemUUID": str(uuid.uuid4()),
        "bootID": str(uuid.uuid4()),
        "kernelVersion": platform.release(),
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "containerRuntimeVersion": "testbed://1",
        "kubeletVersion": "v1.37.0-testbed",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
        **status.get("nodeInfo", {}),
    }


def _job(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    labels = {
        "batch.kubernetes.io/controller-uid": obj["metadata"]["uid"],
        "batch.kubernetes.io/job-name": obj["metadata"]["name"],
        "controller-uid": obj["metadata"]["uid"],
        "job-name": obj["metadata"]["name"],
    }
    template = spec.setdefault("template", {})
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    pod = template.setdefault("spec", {})
    pod.setdefault("restartPolicy", "Always")  # which a Job refuses
    _pod_spec(pod)
    for name, value in (("parallelism", 1), ("completions", 1), ("backoffLimit", 6), ("suspend", False)):
        spec.setdefault(name, value)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": obj["metadata"]["uid"]}}
    obj["status"] = {}


def _secret(obj: Obj) -> None:
    obj.setdefault("type", "Opaque")


def _service(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    # There is no service network; a headless service is the only honest kind.
    spec.setdefault("clusterIP", "None")
    obj["status"] = {"loadBalancer": {}}


def _crd(obj: Obj) -> None:
    established = [
        {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts"},
        {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"},
    ]
    versions = obj.get("spec", {}).get("versions", [])
    obj["status"] = {
        "acceptedNames": obj["spec"]["names"],
        "conditions": established,
        "storedVersions": [version["name"] for version in versions if version.get("storage")],
    }


_DEFAULTS: dict[tuple[str, str], Callable[[Obj], None]] = {
    ("", "pods"): _pod,
    ("", "namespaces"): _namespace,
    ("", "nodes"): _node,
    ("", "secrets"): _secret,
    ("", "services"): _service,
    ("batch", "jobs"): _job,
    ("apps", "deployments"): _workload,
    ("apps", "replicasets"): _workload,
    ("apps", "statefulsets"): _workload,
    ("apps", "daemonsets"): _workload,
    ("apiextensions.k8s.io", "customresourcedefinitions"): _crd,
}


def apply_defaults(resource: Resource, obj: Obj) -> None:
    """Fill in, in place, the defaults of a new object; its status is the server's from the start."""
    if fill := _DEFAULTS.get((resource.group, resource.plural)):
        fill(obj)
