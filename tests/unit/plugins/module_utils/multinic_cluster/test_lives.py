# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole lives of resources on a simulated cluster, with whatever may happen, and a controller killed at any write."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import act
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import Requeue
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Limits, limit
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._reconcile import reconcile
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent, Settings
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from unit.custom_resource import SCHEMA
from unit.simulated_cluster import KINDS, Cluster, Killed, Machine

_NODES = ("node-1", "node-2")
_UUIDS = {"node-1": "3d2b6c1e-0000-4000-8000-000000000001", "node-2": "3d2b6c1e-0000-4000-8000-000000000002"}
_SETTINGS = Settings(
    Agent("registry.example/agent"), Limits(limit("2", "max_in_flight"), limit("100%", "max_failing")), resync=3600
)


def interfaces(*numbers: int, mtu: int = 1500) -> list[dict[str, Any]]:
    """Return a valid list of interfaces."""
    return [{"id": number, "macAddress": f"fa:16:3e:00:00:{number:02x}", "mtu": mtu} for number in numbers]


_VALID = st.builds(
    lambda numbers, mtu: interfaces(*numbers, mtu=mtu), st.sets(st.integers(1, 3)), st.sampled_from([1400, 1500])
)
_INVALID = st.just([{"id": 1, "macAddress": "01:00:5e:00:00:01"}])
_NODE = st.sampled_from(_NODES)


class Life(RuleBasedStateMachine):
    """Anything that may happen to two nodes and the resources for them."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster()
        for name in _NODES:
            self.cluster.add_node(name, Machine(_UUIDS[name]))
        self.index = self.cluster.listed()
        self.number = 0

    @initialize(wanted=st.lists(_VALID, min_size=2, max_size=2))
    def begin(self, wanted: list[list[dict[str, Any]]]) -> None:
        for node, each in zip(_NODES, wanted, strict=True):
            self.create(node, each, 1)
        self.hear_all()
        self.reconcile_all()

    @rule(times=st.integers(1, 3), wait=st.sampled_from([1, 20, 60]))
    def go_on(self, times: int, wait: float) -> None:
        """Let everything do its work, with nothing in its way."""
        for _number in range(times):
            self.hear_all()
            self.reconcile_all()
            self.finish()
            self.cluster.start_pods()
            self.cluster.step()
            self.cluster.now += wait

    # the controller

    @rule(pick=st.randoms(use_true_random=False))
    def reconcile_one(self, pick: Any) -> None:
        uids = self.index.configs()
        if uids:
            self._reconcile(pick.choice(uids))

    @rule()
    def reconcile_all(self) -> None:
        for uid in self.index.configs():
            self._reconcile(uid)

    @rule(writes=st.integers(1, 4), arrives=st.booleans())
    def kill_at_a_write(self, writes: int, arrives: bool) -> None:
        self.cluster.kill_in, self.cluster.arrives = writes, arrives
        try:
            for uid in self.index.configs():
                self._reconcile(uid)
        except Killed:
            self.index = self.cluster.listed()
        self.cluster.kill_in = None

    @rule()
    def restart(self) -> None:
        self.index = self.cluster.listed()

    @rule(kind=st.sampled_from(KINDS), count=st.integers(1, 9))
    def hear(self, kind: str, count: int) -> None:
        self.cluster.deliver(self.index, kind, count)

    @rule()
    def hear_all(self) -> None:
        for kind in KINDS:
            self.cluster.deliver(self.index, kind, 1000)

    def _reconcile(self, uid: str) -> bool:
        """Return whether anything was done."""
        observed = self.index.observe(uid, self.cluster.now, _SETTINGS)
        if observed is None:
            return False
        actions = reconcile(observed)
        assert actions == reconcile(observed)
        with contextlib.suppress(Conflict):
            act(self.cluster, self.index, observed.config, actions)
        return any(not isinstance(action, Requeue) for action in actions)

    # users

    @rule(node=_NODE, wanted=st.one_of(_VALID, _VALID, _INVALID), right=st.integers(0, 4))
    def create(self, node: str, wanted: list[dict[str, Any]], right: int) -> None:
        if len(self.cluster.objects["config"]) < 4:
            self.number += 1
            uuid = _UUIDS[node] if right else _UUIDS["node-2" if node == "node-1" else "node-1"]
            uid = self.cluster.create_config(f"config-{self.number}", node, wanted, uuid)
            self.cluster._others_too(self.cluster.objects["config"][uid])

    @precondition(lambda self: self.cluster.objects["config"])
    @rule(data=st.data(), wanted=st.one_of(_VALID, _VALID, _VALID, _INVALID))
    def change(self, data: st.DataObject, wanted: list[dict[str, Any]]) -> None:
        uid = data.draw(st.sampled_from(sorted(self.cluster.objects["config"])))
        if "deletionTimestamp" not in self.cluster.objects["config"][uid]["metadata"]:
            self.cluster.change_config(uid, interfaces=wanted)

    @precondition(lambda self: self.cluster.objects["config"])
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.cluster.delete_config(data.draw(st.sampled_from(sorted(self.cluster.objects["config"]))))

    @precondition(lambda self: self.cluster.objects["job"])
    @rule(data=st.data())
    def delete_a_job(self, data: st.DataObject) -> None:
        job = self.cluster.objects["job"][data.draw(st.sampled_from(sorted(self.cluster.objects["job"])))]
        self.cluster.allowed_for(job, 2)
        self.cluster.delete(job)

    # nodes, Jobs, time

    @rule(node=_NODE, ready=st.booleans())
    def turn(self, node: str, ready: bool) -> None:
        self.cluster.set_ready(node, ready)

    @rule(node=_NODE)
    def reboot(self, node: str) -> None:
        if node in self.cluster.machines:
            self.cluster.reboot(node)

    @rule(node=_NODE, uuid=st.sampled_from(["same", "3d2b6c1e-0000-4000-8000-00000000000f"]))
    def replace(self, node: str, uuid: str) -> None:
        if node in self.cluster.machines:
            self.cluster.delete_node(node)
        else:
            self.cluster.add_node(node, Machine(_UUIDS[node] if uuid == "same" else uuid, boot=self.cluster.version))

    @rule(node=_NODE, number=st.integers(1, 3))
    def lose_a_nic(self, node: str, number: int) -> None:
        if node in self.cluster.machines:
            self.cluster.machines[node].missing = {f"fa:16:3e:00:00:{number:02x}"}

    @rule()
    def step(self) -> None:
        self.cluster.step()

    @rule()
    def start_pods(self) -> None:
        self.cluster.start_pods()

    @rule()
    def fail_to_pull(self) -> None:
        self.cluster.fail_to_pull()

    @rule()
    def expire(self) -> None:
        self.cluster.expire()

    @rule()
    def finish(self) -> None:
        for pod in self.cluster.running():
            self.cluster.finish(pod)

    @rule(message=st.sampled_from(["", "{", '{"v":1,"t":"configure","g":1,"i":[[1,"c"', "null", "[]"]))
    def crash(self, message: str) -> None:
        for pod in self.cluster.running()[:1]:
            self.cluster.crash(pod, message)

    @rule(seconds=st.sampled_from([1, 20, 60, 4000]))
    def wait(self, seconds: float) -> None:
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        # a run that is tried again, or done again, may write once; so may what is blocked
        self.cluster.now += seconds

    @invariant()
    def writes_are_bounded(self) -> None:
        for uid, count in self.cluster.writes.items():
            assert count <= self.cluster.allowed[uid], (uid, count, self.cluster.allowed[uid])

    def teardown(self) -> None:
        """In the end, when all that can heal has healed, nothing is left to do and the status is the truth."""
        for name in _NODES:
            if name not in self.cluster.machines:
                self.cluster.add_node(name, Machine(_UUIDS[name], boot=self.cluster.version))
            self.cluster.machines[name].missing = set()
            self.cluster.set_ready(name, True)
        self._rest()
        self._check_end()
        for uid in list(self.cluster.objects["config"]):
            self.cluster.delete_config(uid)
        self._rest()
        assert not self.cluster.objects["config"]
        assert not self.cluster.objects["job"]
        for machine in self.cluster.machines.values():
            assert not machine.nics

    def _rest(self) -> None:
        """Let time pass until nothing is done any more: what failed is tried again, nothing that is well is due."""
        for _round in range(80):
            self.cluster.now += 30
            if not self._settle():
                return
        raise AssertionError("it never comes to rest")

    def _settle(self) -> bool:
        """Let everything go on; return whether anything did, or waits for its time."""
        before = self.cluster.version
        self.hear_all()
        done = [self._reconcile(uid) for uid in self.index.configs()]
        self.cluster.start_pods()
        self.finish()
        self.cluster.step()
        self.hear_all()
        self.writes_are_bounded()
        retrying = [obj for obj in self.cluster.objects["config"].values() if _progressing(obj)]
        if retrying and not any(done):
            self.cluster.now += 600
        return any(done) or bool(retrying) or self.cluster.version != before

    def _check_end(self) -> None:
        owners: dict[str, dict[str, Any]] = {}
        for uid in self.index.configs():
            obj = self.cluster.objects["config"][uid]
            owners.setdefault(obj["spec"]["nodeName"], obj)
            self._check_status(obj, owners[obj["spec"]["nodeName"]] is obj)
        for name, machine in self.cluster.machines.items():
            if name not in owners and machine.nics:
                raise AssertionError(f"{name} was not cleaned: {machine.nics}")
        assert all(job["status"] for job in self.cluster.objects["job"].values())

    def _check_status(self, obj: dict[str, Any], oldest: bool) -> None:
        spec, status = obj["spec"], obj["status"]
        machine = self.cluster.machines[spec["nodeName"]]
        ready = next(each for each in status["conditions"] if each["type"] == "Ready")
        assert status["observedGeneration"] == obj["metadata"]["generation"]
        assert set(status) <= set(SCHEMA["properties"]["status"]["properties"])
        if not oldest:
            assert (status["state"], ready["reason"]) == ("Failed", "DuplicateNode")
        elif spec["interfaces"] and spec["interfaces"][0]["macAddress"].startswith("01:"):
            assert (status["state"], ready["reason"]) == ("Failed", "InvalidSpec")
        elif machine.uuid != spec["instanceId"]:
            assert (status["state"], ready["reason"]) == ("Failed", "InstanceMismatch")
        else:
            assert (status["state"], ready["status"]) == ("Configured", "True"), status
            assert status["lastJob"]["bootID"] == f"boot-{machine.boot}"
            assert machine.nics == {entry["id"]: entry for entry in spec["interfaces"]}
            assert [each["id"] for each in status.get("interfaceStatuses", [])] == sorted(machine.nics)


def _progressing(obj: dict[str, Any]) -> bool:
    """Return whether a resource is not yet what it will be."""
    conditions = obj.get("status", {}).get("conditions", [])
    done = any(each["type"] == "Progressing" and each["status"] == "False" for each in conditions)
    return not done or "deletionTimestamp" in obj["metadata"]


TestLife = Life.TestCase
TestLife.settings = profile(max_examples=60, stateful_step_count=50)
