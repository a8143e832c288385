# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Job's pod runs as a real container in the network of a test node."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from testbed.kube import Kube, Outcome, StubBackend, TestNode
from testbed.kube.jobs import condition
from testbed.kube.kubectl import Kubectl
from testbed.kube.node_pods import NodeBackend
from testbed.net.node import Node
from testbed.run import Run

pytestmark = pytest.mark.node

MAC = "fa:16:3e:00:00:01"


@dataclass
class Machine:
    """A test node that is a Node of an API."""

    kube: Kube
    node: Node
    handle: TestNode


@pytest.fixture(scope="module")
def machine(testbed_run: Run) -> Iterator[Machine]:
    """A node with a NIC ``nic1``."""
    node = Node("worker-1", testbed_run.new_directory("worker-1"))
    kube = Kube(StubBackend(lambda _: Outcome()), workdir=testbed_run.new_directory("kube"))
    with contextlib.closing(node), contextlib.closing(kube):
        node.add_nic("nic1", MAC)
        yield Machine(kube, node, kube.node("worker-1", backend=NodeBackend(node)))


def job(name: str, script: str, *, image: str = "busybox", add: tuple[str, ...] = (), **spec: Any) -> dict[str, Any]:
    """Return a Job with the node's /etc at /host/etc and few capabilities."""
    security = {"capabilities": {"drop": ["ALL"], "add": list(add)}, "allowPrivilegeEscalation": False}
    container = {
        "name": "main",
        "image": image,
        "command": ["sh", "-c", script],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "securityContext": security,
        "volumeMounts": [{"name": "etc", "mountPath": "/host/etc"}],
    }
    pod = {
        "hostNetwork": True,
        "nodeName": "worker-1",
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "etc", "hostPath": {"path": "/etc", "type": "Directory"}}],
        **spec,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


def pod_of(kube: Kube, name: str) -> dict[str, Any]:
    pods = kube.front.objects.store.items("", "pods")[0]
    return next(pod for pod in pods if pod["metadata"]["labels"]["job-name"] == name)


def ended(kube: Kube, name: str) -> dict[str, Any]:
    """Return how the container of a Job has ended."""
    kube.wait("Job", name, lambda obj: bool(obj and (condition(obj, "Complete") or condition(obj, "Failed"))))
    found: dict[str, Any] = pod_of(kube, name)["status"]["containerStatuses"][0]["state"]["terminated"]
    return found


def running(kube: Kube, name: str) -> str:
    kube.wait("Job", name, lambda obj: bool(obj and obj["status"].get("ready")))
    pod: str = pod_of(kube, name)["metadata"]["name"]
    return pod


def test_it_sees_the_nodes_network_and_files_and_may_change_them(
    machine: Machine, kubectl_for: Callable[[Kube], Kubectl]
) -> None:
    script = """
    ip link set nic1 up && ip address add 192.0.2.7/24 dev nic1 && echo configured > /host/etc/marker
    cat /sys/class/net/nic1/address; ls /proc | grep -c '^[0-9]'; echo "$NODE $(hostname)"
    echo summary > /dev/termination-log
    """
    kubectl = kubectl_for(machine.kube)
    kubectl("apply", "-f", "-", input=json.dumps(job("change", script, add=("NET_ADMIN",))))
    kubectl("wait", "--for=condition=Complete", "job/change", "--timeout=60s")
    assert ended(machine.kube, "change")["message"] == "summary\n"
    assert (machine.node.root / "etc/marker").read_text() == "configured\n"
    [nic] = [link for link in machine.node.links() if link["ifname"] == "nic1"]
    assert [address["local"] for address in nic["addr_info"] if address["family"] == "inet"] == ["192.0.2.7"]
    mac, processes, names = kubectl("logs", "job/change").splitlines()
    assert (mac, names) == (MAC, "worker-1 worker-1")
    assert int(processes) < 6  # only its own


def test_it_may_do_no_more_than_its_capabilities(machine: Machine) -> None:
    machine.kube.create(job("weak", "ip link set nic1 down 2> /dev/termination-log; exit 5"))
    outcome = ended(machine.kube, "weak")
    assert outcome["exitCode"] == 5
    assert "not permitted" in outcome["message"]


def test_this_machines_programs_can_be_its_image(machine: Machine) -> None:
    script = "python3 -c 'import sys; print(sys.version_info[0])' > /dev/termination-log; touch /strange"
    machine.kube.create(job("machine", script, image="machine", add=("DAC_OVERRIDE",)))
    assert ended(machine.kube, "machine")["message"] == "3\n"
    assert not (machine.node.root / "strange").exists()


def test_a_volume_that_is_not_there_keeps_the_pod_from_starting(machine: Machine) -> None:
    wanted = job("missing", "true")
    wanted["spec"]["template"]["spec"]["volumes"][0]["hostPath"]["path"] = "/etc/none"
    machine.kube.create(wanted)
    machine.kube.wait("Job", "missing", lambda obj: bool(obj and obj["status"].get("active")))
    name = pod_of(machine.kube, "missing")["metadata"]["name"]
    found = machine.kube.wait("Pod", name, lambda obj: bool(obj and obj["status"].get("message")))
    assert found is not None
    assert found["status"]["phase"] == "Pending"
    assert "/etc/none is not a Directory" in found["status"]["message"]
    machine.kube.delete("Job", "missing")


def test_it_can_be_killed_entered_and_deleted(machine: Machine, kubectl_for: Callable[[Kube], Kubectl]) -> None:
    kubectl = kubectl_for(machine.kube)
    machine.kube.create(job("killed", "sleep 1000"))
    pod = running(machine.kube, "killed")
    assert MAC in kubectl("exec", pod, "--", "cat", "/sys/class/net/nic1/address")
    machine.kube.kill(pod)
    assert ended(machine.kube, "killed")["exitCode"] == 137
    kubectl("delete", "job", "killed")
    machine.kube.wait("Pod", pod, lambda obj: obj is None)


def test_a_node_can_be_lost_while_its_job_runs(machine: Machine) -> None:
    machine.kube.create(job("lost", "sleep 1000"))
    pod = running(machine.kube, "lost")
    machine.handle.lose()
    backend = machine.kube.front.backend.of(machine.kube.get("Pod", pod)["metadata"]["uid"])
    assert [c.running for c in backend.state(machine.kube.get("Pod", pod)["metadata"]["uid"]).containers] == [False]
    assert machine.kube.get("Pod", pod)["status"]["phase"] == "Running"
    machine.handle.come_back()
    assert ended(machine.kube, "lost")["exitCode"] == 137
