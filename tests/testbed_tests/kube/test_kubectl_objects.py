# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubectl get, apply, patch, wait, logs, delete and scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from testbed.kube import Kube
from testbed.kube.kubectl import Kubectl

WAIT = "--timeout=60s"


@pytest.fixture
def kubectl(websocket_front: Kube, kubectl_for: Callable[[Kube], Kubectl]) -> Kubectl:
    """A kubectl for the front of the test."""
    return kubectl_for(websocket_front)


def pod(name: str, *command: str) -> dict[str, Any]:
    container = {"name": "main", "image": "testbed", **({"command": list(command)} if command else {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod("")["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def apply(kubectl: Kubectl, obj: dict[str, Any]) -> str:
    return kubectl("apply", "--validate=false", "-f", "-", input=json.dumps(obj))


def names(kubectl: Kubectl, *arguments: str) -> list[str]:
    return kubectl("get", *arguments, "-o", "name").split()


def test_a_pod_is_applied_awaited_read_patched_and_deleted(kubectl: Kubectl) -> None:
    assert apply(kubectl, pod("life")) == "pod/life created\n"
    kubectl("wait", "--for=condition=Ready", "pod/life", WAIT)
    assert kubectl("get", "pod", "life", "-o", "jsonpath={.status.phase}") == "Running"
    kubectl("patch", "pod", "life", "--type=merge", "-p", '{"metadata": {"labels": {"a": "1"}}}')
    kubectl("patch", "pod", "life", "--type=json", "-p", '[{"op": "add", "path": "/metadata/labels/b", "value": "2"}]')
    assert names(kubectl, "pod", "-l", "a=1,b in (2,3)") == ["pod/life"]
    assert names(kubectl, "pod", "-l", "a=1,b!=2") == []
    assert apply(kubectl, pod("life")) == "pod/life unchanged\n"
    kubectl("delete", "pod", "life")
    assert names(kubectl, "pod", "--field-selector", "metadata.name=life") == []


def test_logs_hold_stdout_and_stderr_and_can_be_followed(kubectl: Kubectl) -> None:
    apply(kubectl, pod("talker", "sh", "-c", "echo one; echo two >&2"))
    apply(kubectl, pod("counter", "sh", "-c", "echo 1; echo 2; echo 3"))
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/talker", "pod/counter", WAIT)
    assert sorted(kubectl("logs", "talker").split()) == ["one", "two"]
    assert kubectl("logs", "counter", "--tail=1") == "3\n"
    assert kubectl("logs", "-f", "counter") == "1\n2\n3\n"
    kubectl("delete", "pod", "talker", "counter")


def test_following_logs_sees_what_is_written_later(kubectl: Kubectl) -> None:
    apply(
        kubectl, pod("later", "sh", "-c", 'cd "${POD_ROOT:-/}"; mkfifo gate; echo early; read word < gate; echo $word')
    )
    kubectl("wait", "--for=condition=Ready", "pod/later", WAIT)
    with kubectl.start("logs", "-f", "later") as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"early\n"
        kubectl("exec", "later", "--", "sh", "-c", 'echo late > "${POD_ROOT:-/}/gate"')
        assert following.stdout.read() == b"late\n"
    kubectl("delete", "pod", "later")


def test_a_deployment_replaces_a_deleted_pod_and_follows_its_template(kubectl: Kubectl) -> None:
    apply(kubectl, workload("Deployment", "web", replicas=2))
    kubectl("rollout", "status", "deployment/web", WAIT)
    first = names(kubectl, "pod", "-l", "app=web")
    assert len(first) == 2
    assert kubectl("exec", "deployment/web", "--", "echo", "hello") == "hello\n"
    kubectl("delete", first[0])
    kubectl("rollout", "status", "deployment/web", WAIT)
    second = names(kubectl, "pod", "-l", "app=web")
    assert len(second) == 2
    assert first[0] not in second
    kubectl("set", "env", "deployment/web", "COLOUR=blue")
    kubectl("rollout", "status", "deployment/web", WAIT)
    assert kubectl("exec", "deployment/web", "--", "sh", "-c", "echo $COLOUR") == "blue\n"
    kubectl("delete", "deployment", "web")
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", WAIT)
    assert names(kubectl, "replicaset", "-l", "app=web") == []


def test_replica_sets_count_the_revisions_of_their_deployment(kubectl: Kubectl) -> None:
    apply(kubectl, workload("Deployment", "web"))
    kubectl("rollout", "status", "deployment/web", WAIT)
    kubectl("set", "env", "deployment/web", "COLOUR=blue")
    kubectl("rollout", "status", "deployment/web", WAIT)
    listed = json.loads(kubectl("get", "replicasets,pods", "-l", "app=web", "-o", "json"))["items"]
    sets = {obj["metadata"]["uid"]: obj for obj in listed if obj["kind"] == "ReplicaSet"}
    revisions = {uid: obj["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for uid, obj in sets.items()}
    assert sorted(revisions.values()) == ["1", "2"]
    owners = [
        obj["metadata"]["ownerReferences"][0]["uid"]
        for obj in listed
        if obj["kind"] == "Pod" and "deletionTimestamp" not in obj["metadata"]
    ]
    assert [revisions[uid] for uid in owners] == ["2"]
    kubectl("delete", "deployment", "web")
    kubectl("wait", "--for=delete", "pod", "-l", "app=web", WAIT)


def test_a_service_holds_its_selector(kubectl: Kubectl) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    apply(kubectl, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front"}, "spec": spec})
    assert json.loads(kubectl("get", "service", "front", "-o", "json"))["spec"]["selector"] == {"app": "web"}
    kubectl("delete", "service", "front")


def test_a_pod_with_a_readiness_gate_is_ready_once_somebody_says_so(kubectl: Kubectl) -> None:
    gated = pod("gated")
    gated["spec"]["readinessGates"] = [{"conditionType": "example.org/open"}]
    apply(kubectl, gated)
    kubectl("wait", "--for=condition=ContainersReady=False", "pod/gated", WAIT)
    kubectl("wait", "--for=jsonpath={.status.phase}=Running", "pod/gated", WAIT)
    assert kubectl.run("wait", "--for=condition=Ready", "pod/gated", "--timeout=0s").returncode == 1
    told = {"status": {"conditions": [{"type": "example.org/open", "status": "True"}]}}
    kubectl("patch", "pod", "gated", "--subresource=status", "-p", json.dumps(told))
    kubectl("wait", "--for=condition=Ready", "pod/gated", WAIT)
    kubectl("delete", "pod", "gated")


def test_a_stateful_set_numbers_its_pods_and_scales(kubectl: Kubectl) -> None:
    apply(kubectl, workload("StatefulSet", "db", replicas=2, serviceName="db"))
    kubectl("rollout", "status", "statefulset/db", WAIT)
    assert names(kubectl, "pod", "-l", "app=db") == ["pod/db-0", "pod/db-1"]
    kubectl("scale", "statefulset/db", "--replicas=1")
    kubectl("wait", "--for=delete", "pod/db-1", WAIT)
    kubectl("delete", "pod", "db-0")
    kubectl("wait", "--for=condition=Ready", "pod/db-0", WAIT)
    kubectl("delete", "statefulset", "db")
    kubectl("wait", "--for=delete", "pod", "-l", "app=db", WAIT)


def test_a_daemon_set_has_a_pod_on_every_node(kubectl: Kubectl) -> None:
    apply(kubectl, workload("DaemonSet", "agent"))
    kubectl("rollout", "status", "daemonset/agent", WAIT)
    nodes = kubectl("get", "pod", "-l", "app=agent", "-o", "jsonpath={.items[*].spec.nodeName}")
    assert nodes.split() == kubectl("get", "node", "-o", "jsonpath={.items[*].metadata.name}").split()
    kubectl("delete", "daemonset", "agent")
    kubectl("wait", "--for=delete", "pod", "-l", "app=agent", WAIT)


def test_a_namespace_takes_its_content_with_it(kubectl: Kubectl) -> None:
    apply(kubectl, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short"}})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "short"}}
    apply(kubectl, {**config, "data": {"a": "b"}})
    kubectl("delete", "namespace", "short")
    assert kubectl.run("get", "configmap", "c", "-n", "short").returncode == 1


def test_a_custom_resource_is_served_once_it_is_defined(kubectl: Kubectl) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": schema}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "cups.example.org"},
        "spec": {
            "group": "example.org",
            "names": {"plural": "cups", "kind": "Cup", "singular": "cup"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
    apply(kubectl, definition)
    kubectl("wait", "--for=condition=Established", "crd/cups.example.org", WAIT)
    cup = {"apiVersion": "example.org/v1", "kind": "Cup", "metadata": {"name": "mine"}, "spec": {"size": 1}}
    apply(kubectl, cup)
    apply(kubectl, {**cup, "spec": {"size": 2}})
    kubectl("patch", "cup", "mine", "--subresource=status", "--type=merge", "-p", '{"status": {"full": true}}')
    read = json.loads(kubectl("get", "cups.example.org", "mine", "-o", "json"))
    assert (read["metadata"]["generation"], read["spec"], read["status"]) == (2, {"size": 2}, {"full": True})
    kubectl("delete", "crd", "cups.example.org")
    assert kubectl.run("get", "cups.example.org").returncode == 1


def test_a_finalizer_holds_an_object_until_it_is_removed(kubectl: Kubectl) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": ["test/hold"]}}
    apply(kubectl, config)
    kubectl("delete", "configmap", "held", "--wait=false")
    assert kubectl("get", "configmap", "held", "-o", "jsonpath={.metadata.deletionTimestamp}") != ""
    kubectl("patch", "configmap", "held", "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    assert names(kubectl, "configmap") == []


def test_a_stale_resource_version_is_a_conflict(kubectl: Kubectl) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "busy"}, "data": {"a": "1"}}
    apply(kubectl, config)
    read = kubectl("get", "configmap", "busy", "-o", "json")
    kubectl("patch", "configmap", "busy", "--type=merge", "-p", '{"data": {"a": "2"}}')
    done = kubectl.run("replace", "--validate=false", "-f", "-", input=read)
    assert done.returncode == 1
    assert b"the object has been modified" in done.stderr
    kubectl("delete", "configmap", "busy")


def test_a_pod_that_cannot_start_says_why(kubectl: Kubectl) -> None:
    broken = pod("broken", "no-such-command")
    apply(kubectl, broken)
    kubectl(
        "wait",
        "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=CreateContainerError",
        "pod/broken",
        WAIT,
    )
    assert "no-such-command" in kubectl("get", "pod", "broken", "-o", "jsonpath={.status.message}")
    kubectl("delete", "pod", "broken")
