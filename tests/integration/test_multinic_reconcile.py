# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.multinic_reconcile`` against the API of the test bed: its Jobs, Nodes, schema and kubectl.

The agents are stubs: a function says what each pod would have done. What is shown here is the controlling, not NICs.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._api import Api, connect
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import (
    ApiError,
    Conflict,
    SettingsError,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Limits, limit
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._once import Pass, reconcile_all
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._rate import TokenBucket
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent, Settings
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import from_result, write

from integration.support import Inventories, assert_no_traceback, play
from testbed.inventory import REPOSITORY
from testbed.kube import Kube
from testbed.kube.calls import CallFault, Reset
from testbed.kube.kubectl import Kubectl
from testbed.kube.stub_backend import Outcome, StubBackend
from testbed.run import Run

CRD = REPOSITORY / "roles/multinic_cluster/files/multinicnodeconfigs.multinic.io.yml"
NAMESPACE = "multinic"
KIND = "MultiNicNodeConfig"
UP = Outcome(exit_code=None)
Obj = dict[str, Any]


def uuid(node: str) -> str:
    """Return the systemUUID of a node."""
    return f"3d2b6c1e-0000-4000-8000-{int(node[-1]):012d}"


class Scene:
    """A cluster of three nodes.

    :ivar agents: what the agent of a node does, if not what it is asked to, by name of the node.
    :ivar ran: the tasks that agents were started for.
    """

    def __init__(self, folder: Path) -> None:
        self.agents: dict[str, Callable[[Obj], Outcome]] = {}
        self.ran: list[str] = []
        self.kube = Kube(StubBackend(self._agent), workdir=folder)
        self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.kube.create(yaml.safe_load(CRD.read_text()))
        names = ("node-1", "node-2", "node-3")
        self.nodes = {
            name: self.kube.node(name, systemUUID=uuid(name).upper(), osImage="Ubuntu 24.04.2 LTS") for name in names
        }
        self.kubeconfig = self.kube.write_kubeconfig(folder / "kubeconfig")
        self._kubectl = Kubectl(self.kubeconfig, folder / "cache")
        bucket = TokenBucket(1000, 1000)
        self.api = Api(connect(str(self.kubeconfig)), bucket, bucket, time.time, NAMESPACE)
        self.settings = Settings(Agent("agent:1"), Limits(limit(10, ""), limit("100%", "")), summary_grace=0)
        self.skipped = 0.0

    def _agent(self, pod: Obj) -> Outcome:
        env = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        task, spec = env["AGENT_ACTION"], json.loads(env["AGENT_SPEC"])
        node = pod["spec"]["nodeName"]
        self.ran.append(f"{task} {node}")
        if node in self.agents:
            return self.agents[node](spec)
        return report(Task(task), spec)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return self._kubectl("-n", NAMESPACE, *arguments)

    def config(self, node: str, name: str = "", **spec: Any) -> None:
        """Create a resource for a node."""
        number = int(node[-1])
        interfaces = [
            {"id": each, "macAddress": f"fa:16:3e:00:0{number}:0{each}", "address": f"10.0.{each}.{number}"}
            | {"cidr": f"10.0.{each}.0/24"}
            for each in (1, 2)
        ]
        wanted = {"nodeName": node, "instanceId": uuid(node), "interfaces": interfaces, **spec}
        metadata = {"name": name or node, "namespace": NAMESPACE}
        self.kube.create({"apiVersion": "multinic.io/v1alpha1", "kind": KIND, "metadata": metadata, "spec": wanted})

    def once(self) -> Pass:
        """Make one pass."""
        return reconcile_all(self.api, self.settings, lambda: time.time() + self.skipped, check=False)

    def settle(self, passes: int = 12) -> list[str]:
        """Make passes until nothing is left to do and return what was done; Jobs are awaited between them."""
        done: list[str] = []
        for _number in range(passes):
            found = self.once()
            assert found.errors == ()
            done += [f"{config.partition('/')[2]}: {action}" for config, action in found.done]
            if not found.busy:
                return done
            self.await_jobs()
        raise AssertionError(f"not at rest after {passes} passes: {done}")

    def await_jobs(self) -> None:
        """Wait until every Job has ended whose agent does not stay up."""
        for job in self.jobs():
            if job["spec"]["template"]["spec"]["nodeName"] not in self.agents or "deletionTimestamp" in job["metadata"]:
                self.kube.wait("Job", job["metadata"]["name"], _ended, NAMESPACE)

    def jobs(self) -> list[Obj]:
        """Return the Jobs that there are."""
        return self.kube.front.objects.store.items("batch", "jobs")[0]

    def get(self, name: str) -> Obj:
        """Return a resource."""
        return self.kube.get(KIND, name, NAMESPACE)

    def ready(self, name: str) -> tuple[str, str, str, str]:
        """Return state, and status, reason and message of Ready."""
        status = self.get(name)["status"]
        (ready,) = (each for each in status["conditions"] if each["type"] == "Ready")
        return status["state"], ready["status"], ready["reason"], ready["message"]

    def change(self, name: str, **spec: Any) -> None:
        """Change the spec of a resource."""
        resource = self.kube.front.objects.registry.of_kind(KIND)
        self.kube.front.objects.change(resource, NAMESPACE, name, lambda obj: obj["spec"].update(spec))


def report(task: Task, spec: Obj, failing: str = "", **whole: Any) -> Outcome:
    """Return how an agent ends that has configured all but the NIC of one MAC address."""
    interfaces = [
        {"id": each["id"], "name": f"multinic{each['id']}", "state": "failed", "reason": f"no NIC has {failing}"}
        if each["macAddress"] == failing
        else {"id": each["id"], "name": f"multinic{each['id']}", "state": "configured", "reason": None}
        for each in spec["interfaces"]
    ]
    summary = write(from_result(task, spec["generation"], {"interfaces": interfaces}, whole.get("failure")))
    return Outcome(2 if failing or whole else 0, summary)


def _runs(pod: Obj | None) -> bool:
    return pod is not None and pod["status"]["phase"] == "Running"


def _ended(job: Obj | None) -> bool:
    kinds = ("Complete", "Failed")
    return job is None or any(each["type"] in kinds for each in job.get("status", {}).get("conditions", ()))


@pytest.fixture
def scene(testbed_run: Run) -> Iterator[Scene]:
    """A cluster with an agent that does as it is told."""
    made = Scene(testbed_run.new_directory("reconcile"))
    with contextlib.closing(made.kube):
        yield made


def test_nodes_are_configured_once_and_then_left_alone(scene: Scene) -> None:
    for name in scene.nodes:
        scene.config(name)
    done = scene.settle()
    assert sorted(scene.ran) == [f"configure node-{number}" for number in (1, 2, 3)]
    assert len([line for line in done if "write status" in line]) == 6
    for name in scene.nodes:
        assert scene.ready(name) == ("Configured", "True", "Configured", "2 interfaces configured")
        status = scene.get(name)["status"]
        assert status["observedGeneration"] == 1
        assert [each["name"] for each in status["interfaceStatuses"]] == ["multinic1", "multinic2"]
    header, first, *_others = (line.split() for line in scene.kubectl("get", "mnnc").splitlines())
    assert header == ["NAME", "NODE", "STATE", "READY", "AGE"]
    assert first[:4] == ["node-1", "node-1", "Configured", "True"]
    assert scene.settle() == []
    assert scene.jobs() == []


def test_a_change_runs_again_and_says_so_only_at_its_end(scene: Scene) -> None:
    scene.config("node-1")
    scene.settle()
    scene.agents["node-1"] = lambda _spec: UP
    scene.change("node-1", interfaces=[])
    scene.once()
    status = scene.get("node-1")["status"]
    assert (status["state"], status["observedGeneration"]) == ("InProgress", 1)
    assert scene.once().done == ()
    (job,) = scene.jobs()
    del scene.agents["node-1"]
    # the second change comes while the first one is carried out: that one ends first
    scene.change("node-1", interfaces=[{"id": 7, "macAddress": "fa:16:3e:00:01:07"}])
    assert scene.once().done == ()
    scene.kube.kill(_pod_of(scene, job), NAMESPACE)
    scene.kube.wait("Job", job["metadata"]["name"], _ended, NAMESPACE)
    scene.settle()
    status = scene.get("node-1")["status"]
    assert (status["state"], status["observedGeneration"]) == ("Configured", 3)
    assert [each["id"] for each in status["interfaceStatuses"]] == [7]
    assert scene.ran == ["configure node-1"] * 3


def _pod_of(scene: Scene, job: Obj) -> str:
    scene.kube.wait("Job", job["metadata"]["name"], lambda seen: bool(seen and seen["status"].get("active")), NAMESPACE)
    pods = scene.kube.front.objects.store.items("", "pods")[0]
    (pod,) = (each for each in pods if each["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"])
    name: str = pod["metadata"]["name"]
    return name


def test_each_node_fails_for_itself_and_says_why(scene: Scene) -> None:
    scene.agents["node-1"] = lambda spec: report(Task.CONFIGURE, spec, failing="fa:16:3e:00:01:02")
    scene.config("node-1")
    scene.config("node-2", instanceId=uuid("node-9"))
    scene.config("node-3")
    scene.config("node-3", name="node-3-again")
    scene.once()
    for job in scene.jobs():
        scene.kube.wait("Job", job["metadata"]["name"], _ended, NAMESPACE)
    scene.settle()
    state, ready, reason, message = scene.ready("node-1")
    assert (state, ready, reason) == ("PartiallyConfigured", "False", "InterfacesFailed")
    assert message == "1 of 2 interfaces not configured: id 2: no NIC has fa:16:3e:00:01:02"
    told = {
        each["id"]: (each["state"], each.get("message")) for each in scene.get("node-1")["status"]["interfaceStatuses"]
    }
    assert told == {1: ("Configured", None), 2: ("Failed", "no NIC has fa:16:3e:00:01:02")}
    state, ready, reason, message = scene.ready("node-2")
    assert (state, ready, reason) == ("Failed", "False", "InstanceMismatch")
    assert message.startswith(f"the systemUUID of node node-2 is {uuid('node-2').upper()}, not the instanceId")
    assert scene.ready("node-3-again")[2:] == (
        "DuplicateNode",
        "multinic/node-3 is older and is for node node-3 too; delete one of them",
    )
    assert scene.ready("node-3")[0] == "Configured"
    assert sorted(scene.ran) == ["configure node-1", "configure node-3"]
    # what may heal is tried again in time, what cannot is not
    del scene.agents["node-1"]
    scene.skipped = 31
    scene.settle()
    assert scene.ready("node-1")[0] == "Configured"
    assert sorted(scene.ran) == ["configure node-1", "configure node-1", "configure node-3"]


def test_a_node_that_is_not_ready_is_waited_for_and_one_that_rebooted_is_done_again(scene: Scene) -> None:
    scene.nodes["node-1"].set_ready(False)
    scene.config("node-1")
    scene.config("node-2")
    scene.settle()
    assert scene.ready("node-1") == ("Waiting", "False", "NodeNotReady", "node node-1 is not ready")
    assert scene.ran == ["configure node-2"]
    scene.nodes["node-1"].set_ready(True)
    scene.settle()
    assert scene.ready("node-1")[0] == "Configured"
    scene.nodes["node-1"].reboot()
    scene.settle()
    assert scene.ran == ["configure node-2", "configure node-1", "configure node-1"]
    assert (
        scene.get("node-1")["status"]["lastJob"]["bootID"]
        == scene.nodes["node-1"].object["status"]["nodeInfo"]["bootID"]
    )


def test_a_node_that_is_lost_during_its_job_is_done_when_it_is_back(scene: Scene) -> None:
    scene.agents["node-1"] = lambda _spec: UP
    scene.config("node-1")
    scene.once()
    (job,) = scene.jobs()
    scene.kube.wait(
        "Pod", _pod_of(scene, job), lambda pod: bool(pod and pod["status"]["phase"] == "Running"), NAMESPACE
    )
    scene.nodes["node-1"].lose()
    scene.once()
    assert scene.ready("node-1")[:3] == ("Waiting", "False", "NodeLost")
    assert scene.once().done == ()
    scene.nodes["node-1"].come_back()
    scene.kube.wait("Job", job["metadata"]["name"], _ended, NAMESPACE)
    del scene.agents["node-1"]
    scene.once()
    assert scene.ready("node-1")[0] == "Failed"
    scene.skipped = 31
    scene.settle()
    assert scene.ready("node-1")[0] == "Configured"


def test_deleting_a_resource_cleans_its_node_first(scene: Scene) -> None:
    scene.config("node-1")
    scene.config("node-2")
    scene.settle()
    scene.kube.delete(KIND, "node-1", NAMESPACE)
    assert scene.get("node-1")["metadata"]["finalizers"] == ["multinic.io/clean-up"]
    scene.nodes["node-2"].delete()
    scene.kube.delete(KIND, "node-2", NAMESPACE)
    scene.settle()
    assert scene.ran.count("cleanup node-1") == 1
    assert "cleanup node-2" not in scene.ran
    assert scene.kubectl("get", "mnnc", "-o", "name") == ""


def test_a_clean_up_that_fails_keeps_the_resource_and_is_tried_again(scene: Scene) -> None:
    scene.config("node-1")
    scene.settle()
    scene.agents["node-1"] = lambda spec: report(Task.CLEANUP, spec, failure="multinic0 is busy")
    scene.kube.delete(KIND, "node-1", NAMESPACE)
    scene.once()
    (job,) = scene.jobs()
    scene.kube.wait("Job", job["metadata"]["name"], _ended, NAMESPACE)
    scene.once()
    state, _ready, reason, message = scene.ready("node-1")
    assert (state, reason, message) == ("Deleting", "RunFailed", "node node-1 could not be cleaned: multinic0 is busy")
    assert scene.once().done == ()
    del scene.agents["node-1"]
    scene.skipped = 31
    scene.settle()
    assert scene.kubectl("get", "mnnc", "-o", "name") == ""


@pytest.mark.parametrize("resource", ["jobs", "multinicnodeconfigs/status", "multinicnodeconfigs"])
@pytest.mark.parametrize("reset", list(Reset))
def test_a_call_that_breaks_off_is_neither_lost_nor_done_twice(scene: Scene, resource: str, reset: Reset) -> None:
    scene.config("node-1")
    scene.config("node-2")
    verb = "create" if resource == "jobs" else "patch"
    fault = scene.kube.calls.add(CallFault(verb=verb, resource=resource, reset=reset))
    (error,) = scene.once().errors
    assert error.startswith("the API did not ")
    assert fault.struck == 1
    scene.await_jobs()
    scene.settle()
    assert sorted(scene.ran) == ["configure node-1", "configure node-2"]
    assert scene.ready("node-1")[0] == scene.ready("node-2")[0] == "Configured"


def test_who_changes_a_resource_meanwhile_is_not_overwritten(scene: Scene) -> None:
    scene.config("node-1")
    old = scene.api.get_config(NAMESPACE, "node-1")
    scene.change("node-1", interfaces=[])
    version = {"resourceVersion": old["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict, match="write the status of multinic/node-1"):
        scene.api.patch_status(NAMESPACE, "node-1", {"metadata": version, "status": {"state": "Failed"}})
    assert "status" not in scene.get("node-1")


def test_an_api_that_is_away_or_refuses_is_told_apart(scene: Scene) -> None:
    scene.kube.calls.add(CallFault(verb="list", resource="nodes", code=403))
    with pytest.raises(ApiError, match="the API did not list the nodes") as refused:
        scene.once()
    assert not refused.value.temporary
    with scene.kube.down(), pytest.raises(ApiError) as away:
        scene.once()
    assert away.value.temporary
    with pytest.raises(SettingsError, match="give `kubeconfig` and `context`"):
        connect(str(scene.kubeconfig), "nowhere")


def test_the_module_says_what_it_would_do_and_then_does_it(scene: Scene, inventory: Inventories) -> None:
    scene.config("node-1")
    task = {"image": "agent:1", "kubeconfig": str(scene.kubeconfig), "namespace": NAMESPACE}
    wrong = {"name": "wrong", "ignore_errors": True}
    module = "manifold.core.multinic_reconcile"
    result = inventory().run_playbook(
        [
            play(
                {"name": "check", module: task, "check_mode": True},
                {"name": "do", module: {**task, "wait": 60}},
                {"name": "again", module: task},
                {**wrong, "name": "deadline", module: {**task, "deadline": 50}},
            )
        ]
    )
    assert_no_traceback(result)
    planned = result.check().task("check").result
    assert planned["actions"][0]["action"] == "add the finalizer"
    assert planned["changed"]
    assert planned["configs"][0]["state"] is None
    assert scene.ran == ["configure node-1"]
    (found,) = result.task("do").result["configs"]
    assert (found["name"], found["node"], found["state"], found["ready"]) == ("node-1", "node-1", "Configured", True)
    assert result.task("again").result["actions"] == []
    assert not result.task("again").changed
    assert "deadline (50 s) must be more than rollback_timeout (60 s)" in result.task("deadline").result["msg"]
