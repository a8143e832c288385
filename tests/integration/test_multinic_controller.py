# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller as a process against the API of the test bed, with the shipped rights; the agents are stubs."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task

from integration.agents import CONTROLLER, IMAGE, IS_BUILT, NAME, image
from integration.controllers import (
    ACCOUNT,
    CLIENT,
    KIND,
    NAMESPACE,
    RBAC,
    UP,
    Cluster,
    Controller,
    Nursery,
    interfaces,
    report,
    uuid,
)
from testbed.inventory import REPOSITORY
from testbed.kube.calls import Call, CallFault, Reset
from testbed.kube.node_pods import NodeBackend
from testbed.net.node import Node
from testbed.net.relay import relay_on
from testbed.run import Run

Make = Callable[..., Cluster]
WRITES = ("create", "patch", "delete", "update")
RULES = [
    pytest.param(manifest["kind"], number, id=f"{rule['resources'][0]}")
    for manifest in yaml.safe_load(RBAC.read_text())["items"]
    for number, rule in enumerate(manifest.get("rules") or ())
]


@pytest.fixture(scope="module")
def nursery(testbed_run: Run) -> Iterator[Nursery]:
    """What starts controllers."""
    del testbed_run  # whose mark it carries
    found = Nursery()
    yield found
    found.close()


@pytest.fixture
def cluster(testbed_run: Run, nursery: Nursery) -> Iterator[Cluster]:
    """A cluster of three nodes."""
    found = Cluster(testbed_run.new_directory("controller"), nursery)
    with contextlib.closing(found):
        yield found


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    """Wait for something that no event tells of."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def status_writes(cluster: Cluster) -> int:
    return cluster.kube.calls.count("patch", "multinicnodeconfigs/status", CLIENT)


def test_a_life_takes_the_shipped_rights_all_of_them_and_no_more(cluster: Cluster) -> None:
    controller = cluster.start()
    for number in (1, 2):
        cluster.config(number)
    for name in ("node-1", "node-2"):
        status = cluster.wait_state(name, "Configured")
        assert (status["observedGeneration"], status["runs"]) == (1, 1)
    assert status_writes(cluster) == 4

    # a change, whose first write meets a conflict: what was observed is read again
    conflict = cluster.kube.calls.add(CallFault(verb="patch", resource="multinicnodeconfigs/status", code=409))
    generation = cluster.change("node-1", interfaces=interfaces(1, 3))
    status = cluster.wait_state("node-1", "Configured", generation)
    assert [each["name"] for each in status["interfaceStatuses"]] == ["multinic0", "multinic1", "multinic2"]
    assert conflict.struck == 1
    assert status_writes(cluster) == 4 + 3

    # a part of a node's interfaces fails
    missing = interfaces(2, 2)[1]["macAddress"]
    cluster.agents["node-2"] = lambda spec: report(Task.CONFIGURE, spec, failing=missing)
    generation = cluster.change("node-2", interfaces=[*interfaces(2, 2), *interfaces(2, 3)[2:]])
    status = cluster.wait_state("node-2", "PartiallyConfigured", generation)
    assert [each["state"] for each in status["interfaceStatuses"]] == ["Configured", "Failed", "Configured"]

    # another machine: no Job; a node that is not ready: one as soon as it is
    before = list(cluster.ran)
    cluster.nodes["node-3"].set_ready(False)
    cluster.config(3, instanceId=uuid(99))
    cluster.wait_state("node-3", "Failed")
    assert cluster.ready("node-3") == ("False", "InstanceMismatch")
    cluster.change("node-3", instanceId=uuid(3))
    cluster.wait_state("node-3", "Waiting")
    assert cluster.ready("node-3") == ("False", "NodeNotReady")
    assert cluster.ran == before
    cluster.nodes["node-3"].set_ready(True)
    cluster.wait_state("node-3", "Configured")
    assert cluster.ran == [*before, "configure node-3"]

    # a reboot is heard of, and a deletion cleans up
    cluster.nodes["node-3"].reboot()
    until(lambda: cluster.kube.get(KIND, "node-3", NAMESPACE)["status"].get("runs") == 2, "a run after the reboot")
    annotations = cluster.kube.get(KIND, "node-1", NAMESPACE)["metadata"]
    assert annotations.get("annotations") is None
    assert annotations["finalizers"] == ["multinic.io/clean-up"]
    cluster.kube.delete(KIND, "node-1", NAMESPACE)
    cluster.wait_gone("node-1")
    assert cluster.ran.count("cleanup node-1") == 1
    events = cluster.kube.front.objects.store.items("", "events")[0]
    assert {(each["type"], each["reason"], each["involvedObject"]["name"]) for each in events} == {
        *(("Normal", "Configured", f"node-{number}") for number in (1, 2, 3)),
        ("Warning", "InterfacesFailed", "node-2"),
        ("Warning", "InstanceMismatch", "node-3"),
        ("Normal", "Cleaned", "node-1"),
    }

    assert controller.ask("/healthz") == controller.ask("/readyz") == (200, "ok\n")
    metrics = controller.ask("/metrics")[1]
    assert 'multinic_nodes{state="PartiallyConfigured"} 1.0' in metrics
    assert "multinic_jobs_in_flight 0.0" in metrics
    assert 'multinic_reconciles_total{outcome="conflict"} 1.0' in metrics
    assert controller.end() == 0
    assert cluster.kube.get("Lease", "multinic-controller", NAMESPACE)["spec"]["holderIdentity"] == ""
    used = {(verb, resource) for client, verb, resource in cluster.kube.calls.counts() if client == CLIENT}
    granted = {
        (verb, resource)
        for manifest in yaml.safe_load(RBAC.read_text())["items"]
        for rule in manifest.get("rules") or ()
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used == granted
    assert cluster.kube.calls.codes()[403] == 0


@pytest.mark.parametrize(("kind", "number"), RULES)
def test_without_any_one_rule_it_is_refused(cluster: Cluster, kind: str, number: int) -> None:
    resource = cluster.kube.front.objects.registry.of_kind(kind)
    namespace = NAMESPACE if kind == "Role" else None
    cluster.kube.front.objects.change(
        resource, namespace, "multinic-controller", lambda obj: obj["rules"].pop(number) and None
    )
    cluster.config(1)
    cluster.start()
    until(lambda: cluster.kube.calls.codes()[403], "a refusal")


@pytest.mark.parametrize("arrives", [False, True], ids=["before", "after"])
def test_killed_at_each_of_its_calls_it_doubles_nothing_and_loses_nothing(cluster: Cluster, arrives: bool) -> None:
    """One life, from creation to the end of the clean-up; a call that was struck is let through the next time."""
    struck: list[Call] = []
    running: list[Controller] = []

    def strikes(call: Call) -> bool:
        """Strike each write of a controller once; the Lease is renewed all the time, so that counts once for all."""
        if CLIENT not in call.client or call.verb not in WRITES or call.resource == "events":
            return False
        seen = [each for each in struck if (each.verb, each.resource) == (call.verb, call.resource)]
        if call.resource == "leases" and seen:
            return False
        if not arrives and struck and struck[-1] == call:
            return False
        struck.append(call)
        return True

    def kill() -> float:
        running[-1].kill()
        return 0.0

    cluster.kube.calls.add(
        CallFault(where=strikes, delay=kill, reset=None if arrives else Reset.BEFORE, times=None, client=CLIENT)
    )
    cluster.config(1)

    def live(done: Callable[[], bool]) -> None:
        while not done():
            if not running or running[-1].poll() is not None:
                assert len(running) < 30
                running.append(cluster.start())
            time.sleep(0.02)

    def state() -> Any:
        return cluster.kube.get(KIND, "node-1", NAMESPACE).get("status", {}).get("state")

    live(lambda: state() == "Configured")
    status = cluster.kube.get(KIND, "node-1", NAMESPACE)["status"]
    assert status["runs"] == 1
    cluster.kube.delete(KIND, "node-1", NAMESPACE)

    def gone() -> bool:
        return not cluster.kube.front.objects.store.items("multinic.io", "multinicnodeconfigs")[0]

    live(lambda: gone() and not cluster.jobs())
    assert cluster.ran == ["configure node-1", "cleanup node-1"]
    kinds = {(call.verb, call.resource) for call in struck}
    assert kinds >= {
        ("create", "leases"),
        ("patch", "multinicnodeconfigs"),
        ("patch", "multinicnodeconfigs/status"),
        ("create", "jobs"),
        ("delete", "jobs"),
    }
    assert len(running) >= 8


def test_an_api_that_restarts_and_a_watch_that_expires_lose_no_news(cluster: Cluster) -> None:
    controller = cluster.start()
    for number in (1, 2):
        cluster.config(number)
        cluster.wait_state(f"node-{number}", "Configured")
    until(lambda: cluster.kube.calls.count("watch", client=CLIENT) >= 4, "all watches")
    with cluster.kube.down():
        # while nobody can be told: one is added, one is changed, and one is gone without a trace
        cluster.config(3)
        generation = cluster.change("node-1", interfaces=interfaces(1, 1))
        resource = cluster.kube.front.objects.registry.of_kind(KIND)
        cluster.kube.front.objects.change(
            resource, NAMESPACE, "node-2", lambda obj: obj["metadata"].pop("finalizers") and None
        )
        cluster.kube.delete(KIND, "node-2", NAMESPACE)
        cluster.kube.expire_watches()
    cluster.wait_state("node-1", "Configured", generation)
    cluster.wait_state("node-3", "Configured")
    until(lambda: 'multinic_nodes{state="Configured"} 2.0' in controller.ask("/metrics")[1], "the lost one forgotten")
    # and with everything up
    cluster.kube.expire_watches()
    generation = cluster.change("node-1", interfaces=interfaces(1, 2))
    cluster.wait_state("node-1", "Configured", generation)
    assert controller.poll() is None
    assert cluster.ran.count("configure node-1") == 3


def test_only_who_holds_the_lease_acts(cluster: Cluster) -> None:
    first = cluster.start(identity="first", lease_seconds="3")
    first.wait_for("holds the Lease")
    second = cluster.start(identity="second", lease_seconds="3")
    second.wait_for("waits: the Lease is held by first")
    assert second.ask("/readyz") == (503, "the Lease is held by first\n")
    assert second.ask("/healthz")[0] == 200
    cluster.config(1)
    cluster.wait_state("node-1", "Configured")
    assert not any("create Job" in record["message"] for record in second.records())
    # an orderly end hands it over at once, a sudden one when it has run out
    assert first.end() == 0
    second.wait_for("holds the Lease")
    generation = cluster.change("node-1", interfaces=interfaces(1, 1))
    cluster.wait_state("node-1", "Configured", generation)
    second.kill()
    third = cluster.start(identity="third", lease_seconds="3")
    third.wait_for("waits: the Lease is held by second")
    third.wait_for("holds the Lease")
    # somebody takes it: who had it ends
    resource = cluster.kube.front.objects.registry.of_kind("Lease")
    cluster.kube.front.objects.change(
        resource,
        NAMESPACE,
        "multinic-controller",
        lambda obj: obj["spec"].update(holderIdentity="thief", renewTime="2026-01-01T00:00:00.000000Z"),
    )
    assert third.wait() == 1
    third.wait_for("ends, for another controller may act now: the Lease is held by thief")


def test_no_more_nodes_than_allowed_are_worked_on_at_once(cluster: Cluster) -> None:
    cluster.agents.update(dict.fromkeys(("node-1", "node-2", "node-3"), lambda _spec: UP))
    for number in (1, 2, 3):
        cluster.config(number)
    cluster.start(max_in_flight="2")
    until(lambda: len(cluster.ran) == 2, "two agents")
    time.sleep(0.3)  # a third one would have come by now
    assert len(cluster.jobs()) == 2
    store = cluster.kube.front.objects.store
    pod = store.items("", "pods")[0][0]
    cluster.agents.clear()
    # its place goes to the third one without waiting
    cluster.kube.kill(pod["metadata"]["name"], NAMESPACE)
    until(lambda: len(cluster.ran) == 3, "the third agent", 5)


def test_while_too_many_have_failed_none_that_is_well_is_changed(cluster: Cluster) -> None:
    for number in (1, 2):
        missing = interfaces(number, 1)[0]["macAddress"]
        cluster.agents[f"node-{number}"] = functools.partial(report, Task.CONFIGURE, failing=missing)
        cluster.config(number)
    cluster.start(max_failing="1")
    for name in ("node-1", "node-2"):
        cluster.wait_state(name, "PartiallyConfigured")
    cluster.config(3)
    cluster.wait_state("node-3", "Waiting")
    assert cluster.ready("node-3") == ("False", "TooManyFailures")
    assert sorted(cluster.ran) == ["configure node-1", "configure node-2"]


def _pod_of_deployment(**variables: Any) -> Any:
    """Return the specification of the pod of the Deployment that the role makes."""
    role = REPOSITORY / "roles/multinic_cluster"
    known = {**yaml.safe_load((role / "defaults/main.yml").read_text()), **variables}
    environment = jinja2.Environment(trim_blocks=True)
    environment.filters["to_json"] = json.dumps
    text = environment.from_string((role / "templates/controller.yml.j2").read_text()).render(known)
    (found,) = (each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment")
    return found["spec"]["template"]["spec"]


@pytest.mark.node
def test_the_pod_of_its_deployment_acts_by_its_own_account(cluster: Cluster, node: Callable[..., Node]) -> None:
    """On a test node, so with the node's network; the image is this machine's root with the collection in it."""
    machine = node("infra-1")
    tls = cluster.kube.front.tls(cluster.folder)
    account = machine.root / "run/account"
    account.mkdir()
    (account / "token").write_text(cluster.kube.token(ACCOUNT, NAMESPACE))
    (account / "ca.crt").write_text(tls.certificate.read_text())
    spec = _pod_of_deployment(
        multinic_cluster_image=IMAGE,
        multinic_cluster_controller_image=IMAGE,
        multinic_cluster_controller_command=list(CONTROLLER),
        multinic_cluster_namespace=NAMESPACE,
    )
    (container,) = spec["containers"]
    # what the kubelet adds
    spec |= {"hostNetwork": True, "volumes": [{"name": "account", "hostPath": {"path": "/run/account"}}]}
    mounted = "/var/run/secrets/kubernetes.io/serviceaccount"
    container["volumeMounts"] = [{"name": "account", "mountPath": mounted, "readOnly": True}]
    address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(tls.port)}
    container["env"] += [{"name": name, "value": value} for name, value in address.items()]
    if not IS_BUILT:
        # the Python of the tests may be where nobody else may look
        spec["securityContext"] = {"runAsUser": 0}
    cluster.config(1)
    with contextlib.ExitStack() as stack:
        layer = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm", prefix="manifold-image-"))
        backend = stack.enter_context(contextlib.closing(NodeBackend(machine, {NAME: image(Path(layer))})))
        stack.enter_context(contextlib.closing(relay_on(machine, tls.port)))
        pod = {"metadata": {"name": "controller-x", "namespace": NAMESPACE, "uid": "controller"}, "spec": spec}
        backend.create(pod)
        try:
            cluster.wait_state("node-1", "Configured")
        finally:
            print(backend.logs("controller", "controller").decode())
        lease = cluster.kube.get("Lease", "multinic-controller", NAMESPACE)
        assert lease["spec"]["holderIdentity"] == "controller-x"


def test_what_it_is_told_wrong_ends_it_with_a_sentence(cluster: Cluster) -> None:
    controller = cluster.start(writes_per_second="0")
    assert controller.wait() == 2
    assert controller.log.read_text() == "multinic_controller: writes_per_second is '0': it must be more than 0\n"
