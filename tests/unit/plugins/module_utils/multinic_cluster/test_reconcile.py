# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single stories on the simulated cluster: what is written, when it is tried again, and what holds the others back."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import act
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import (
    CreateJob,
    Requeue,
    WriteStatus,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._index import Index
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Limits, limit
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._reconcile import reconcile
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent, Settings

from unit.simulated_cluster import KINDS, Cluster, Killed, Machine

WANTED = [{"id": number, "macAddress": f"fa:16:3e:00:00:0{number}"} for number in (1, 2)]


class Story:
    """A cluster and its controller, which hears everything at once."""

    def __init__(self, nodes: int = 1, in_flight: str = "100", failing: str = "100%") -> None:
        self.cluster = Cluster()
        self.settings = Settings(
            Agent("agent:1"), Limits(limit(in_flight, "it"), limit(failing, "it")), resync=3600, summary_grace=15
        )
        self.index: Index = self.cluster.listed()
        self.uids = []
        for number in range(nodes):
            self.cluster.add_node(f"node-{number}", Machine(f"uuid-{number}"))
            self.uids.append(self.cluster.create_config(f"c-{number}", f"node-{number}", WANTED, f"uuid-{number}"))

    def reconcile(self) -> list[Any]:
        """Reconcile every resource once; return the actions but for requeues."""
        for kind in KINDS:
            self.cluster.deliver(self.index, kind, 1000)
        done: list[Any] = []
        for uid in self.index.configs():
            observed = self.index.observe(uid, self.cluster.now, self.settings)
            assert observed is not None
            actions = reconcile(observed)
            act(self.cluster, self.index, observed.config, actions)
            done += [action for action in actions if not isinstance(action, Requeue)]
        return done

    def run(self, rounds: int = 6) -> None:
        """Let agents work for a while; no time passes."""
        for _number in range(rounds):
            self.reconcile()
            self.cluster.start_pods()
            for pod in self.cluster.running():
                self.cluster.finish(pod)
            self.cluster.step()

    def told(self, number: int = 0) -> tuple[str, str, str]:
        """Return state, reason of Ready and status of Progressing."""
        status = self.cluster.objects["config"][self.uids[number]]["status"]
        conditions = {each["type"]: each for each in status["conditions"]}
        return status["state"], conditions["Ready"]["reason"], conditions["Progressing"]["status"]

    @property
    def writes(self) -> int:
        """How many status writes there were."""
        return sum(self.cluster.writes.values())


def test_a_change_takes_two_writes_and_a_third_if_it_had_to_wait() -> None:
    story = Story()
    story.run()
    assert (story.told(), story.writes) == (("Configured", "Configured", "False"), 2)
    story.cluster.set_ready("node-0", False)
    story.run()
    assert story.writes == 2  # nothing is due
    story.cluster.change_config(story.uids[0], interfaces=WANTED[:1])
    story.run()
    assert story.told() == ("Waiting", "NodeNotReady", "True")
    story.cluster.set_ready("node-0", True)
    story.run()
    assert (story.told(), story.writes) == (("Configured", "Configured", "False"), 5)


def test_what_failed_is_tried_again_later_and_later_and_each_try_is_one_write() -> None:
    story = Story()
    story.cluster.machines["node-0"].missing = {"fa:16:3e:00:00:02"}
    story.run()
    assert story.told() == ("PartiallyConfigured", "InterfacesFailed", "True")
    waits = []
    for number in range(9):
        since = story.cluster.now
        while len(story.cluster.created) == number + 1:
            story.cluster.now += 1
            story.run(1)
        waits.append(story.cluster.now - since)
        story.run()
    wanted = [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]
    assert all(0.9 * wait <= took <= wait + 1 for wait, took in zip(wanted, waits, strict=True))
    assert story.writes == 2 + 9
    assert story.cluster.objects["config"][story.uids[0]]["status"]["lastJob"]["failures"] == 10


def test_an_untouched_node_is_gone_over_again_after_a_while_for_one_write() -> None:
    story = Story()
    story.run()
    story.cluster.now += 3000
    assert story.reconcile() == []
    story.cluster.machines["node-0"].nics = {}
    story.cluster.now += 700
    created = [action for action in story.reconcile() if isinstance(action, (CreateJob, WriteStatus))]
    assert [type(action) for action in created] == [CreateJob]
    assert story.told() == ("Configured", "Configured", "False")
    story.run()
    assert set(story.cluster.machines["node-0"].nics) == {1, 2}
    assert story.writes == 3


def test_no_more_nodes_are_in_flight_than_may_be() -> None:
    story = Story(nodes=5, in_flight="2")
    most = 0
    for _number in range(20):
        story.reconcile()
        alive = [uid for uid in story.cluster.objects["job"] if not story.cluster.ended(uid)]
        most = max(most, len(alive))
        story.cluster.start_pods()
        for pod in story.cluster.running()[:1]:
            story.cluster.finish(pod)
        story.cluster.step()
    assert most == 2
    assert [story.told(number)[0] for number in range(5)] == ["Configured"] * 5


def test_while_too_many_fail_none_that_is_well_is_touched_and_it_goes_on_when_they_have_healed() -> None:
    story = Story(nodes=6, in_flight="1", failing="1")
    for number in range(6):
        story.cluster.machines[f"node-{number}"].missing = {"fa:16:3e:00:00:01"}
    story.run(12)
    states = [story.told(number)[:2] for number in range(6)]
    assert states == [("PartiallyConfigured", "InterfacesFailed")] * 2 + [("Waiting", "TooManyFailures")] * 4
    for machine in story.cluster.machines.values():
        machine.missing = set()
    story.cluster.now += 31
    story.run(30)
    assert [story.told(number)[0] for number in range(6)] == ["Configured"] * 6


@pytest.mark.parametrize(
    "message", ["", "{", '{"v":1,"t":"configure","g":9,"i":[]}', '{"v":1,"t":"cleanup","g":1,"i":[]}']
)
def test_a_job_that_succeeded_without_a_summary_of_its_own_has_failed(message: str) -> None:
    story = Story()
    story.reconcile()
    story.cluster.start_pods()
    (pod,) = story.cluster.running()
    story.cluster._terminate(pod, "Succeeded", message, 0)
    story.cluster.step()
    story.reconcile()
    assert story.told() == ("Failed", "SummaryMissing", "True")
    statuses = story.cluster.objects["config"][story.uids[0]]["status"]["interfaceStatuses"]
    assert {each["state"] for each in statuses} == {"Unknown"}


def test_a_job_that_ended_before_its_pod_is_heard_of_is_not_judged_yet() -> None:
    story = Story()
    story.reconcile()
    story.cluster.start_pods()
    for pod in story.cluster.running():
        story.cluster.finish(pod)
    story.cluster.step()
    for kind in ("config", "node", "job"):
        story.cluster.deliver(story.index, kind, 1000)
    pods, story.cluster.news["pod"] = story.cluster.news["pod"], []
    assert story.reconcile() == []
    story.cluster.news["pod"] = pods
    story.run()
    assert story.told() == ("Configured", "Configured", "False")


def test_a_pod_that_does_not_start_is_told_once() -> None:
    story = Story()
    story.reconcile()
    story.cluster.fail_to_pull()
    for _number in range(3):
        story.reconcile()
        for pod in story.cluster.objects["pod"].values():
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] += "!"
            story.cluster.put("pod", pod)
    assert (story.told(), story.writes) == (("InProgress", "ImagePullFailed", "True"), 2)
    story.run()
    assert (story.told(), story.writes) == (("Configured", "Configured", "False"), 3)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("write", range(1, 6))
def test_a_controller_that_is_killed_at_any_write_goes_on_where_it_was(write: int, arrives: bool) -> None:
    """Finalizer, status, Job, status, removal of the Job: five writes."""
    story = Story()
    story.cluster.kill_in, story.cluster.arrives = write, arrives
    with pytest.raises(Killed):
        story.run()
    story.index = story.cluster.listed()
    story.run()
    assert story.told() == ("Configured", "Configured", "False")
    assert (len(story.cluster.created), story.writes) == (1, 2)
    assert not story.cluster.objects["job"]


def test_old_news_of_a_resource_begins_no_run_that_has_ended() -> None:
    story = Story()
    story.run()
    story.cluster.now += 3700
    config = story.index.observe(story.uids[0], story.cluster.now, story.settings)
    assert config is not None
    actions = reconcile(config)
    story.cluster.change_config(story.uids[0], interfaces=[])
    with pytest.raises(Conflict):
        act(story.cluster, story.index, config.config, actions)
    assert len(story.cluster.created) == 1


def test_a_job_that_has_not_started_does_not_on_another_machine() -> None:
    story = Story()
    story.cluster.set_ready("node-0", True)
    story.reconcile()
    story.cluster.machines["node-0"].uuid = "another"
    story.cluster._put_node("node-0", True)
    story.reconcile()
    story.cluster.step()
    assert not story.cluster.objects["pod"]
    story.reconcile()
    assert story.told() == ("Failed", "InstanceMismatch", "False")
    # the status of a node may be wrong for a while
    story.cluster.machines["node-0"].uuid = "uuid-0"
    story.cluster._put_node("node-0", True)
    story.run()
    assert story.told() == ("Configured", "Configured", "False")
    story.cluster.machines["node-0"].uuid = "another"
    story.cluster._put_node("node-0", True)
    story.reconcile()
    assert story.told() == ("Failed", "InstanceMismatch", "False")
    assert "interfaceStatuses" not in story.cluster.objects["config"][story.uids[0]]["status"]
    story.cluster.machines["node-0"].uuid = "uuid-0"
    story.cluster._put_node("node-0", True)
    story.run()
    assert story.told() == ("Configured", "Configured", "False")


def test_a_job_of_a_resource_that_is_gone_is_waited_for() -> None:
    story = Story()
    story.reconcile()
    story.cluster.start_pods()
    gone = story.cluster.objects["config"][story.uids[0]]
    gone["metadata"]["finalizers"] = []
    story.cluster.delete_config(story.uids[0])
    story.uids = [story.cluster.create_config("new", "node-0", WANTED, "uuid-0")]
    for kind in KINDS:
        story.cluster.deliver(story.index, kind, 1000)
    assert story.reconcile() == []
    story.cluster.step()
    story.run()
    assert story.told() == ("Configured", "Configured", "False")


def test_the_younger_of_two_does_not_clean_what_the_older_one_has_configured() -> None:
    story = Story()
    story.run()
    # made in the same second, seen later, and the older one by its name
    other = story.cluster.create_config("c", "node-0", WANTED[:1], "uuid-0")
    story.cluster.objects["config"][other]["metadata"]["uid"] = "a"
    story.cluster.objects["config"]["a"] = story.cluster.objects["config"].pop(other)
    story.cluster.news["config"][-1][1]["metadata"]["uid"] = "a"
    story.cluster.allowed["a"] = 3
    story.run()
    assert story.told() == ("Failed", "DuplicateNode", "False")
    assert set(story.cluster.machines["node-0"].nics) == {1}
    story.cluster.delete_config(story.uids[0])
    story.run()
    assert set(story.cluster.machines["node-0"].nics) == {1}
    assert list(story.cluster.objects["config"]) == ["a"]
    story.cluster.delete_config("a")
    story.run()
    assert not story.cluster.objects["config"]
    assert not story.cluster.machines["node-0"].nics


def test_the_last_word_of_a_pod_that_is_gone_is_remembered() -> None:
    story = Story()
    story.reconcile()
    story.cluster.start_pods()
    for pod in story.cluster.running():
        story.cluster.finish(pod)
    story.cluster.step()
    for uid in list(story.cluster.objects["pod"]):
        story.cluster.remove("pod", uid)
    story.run()
    assert story.told() == ("Configured", "Configured", "False")
    assert len(story.cluster.created) == 1


def test_times_of_conditions_change_with_their_status_only() -> None:
    story = Story()
    story.run()

    def times() -> dict[str, str]:
        conditions = story.cluster.objects["config"][story.uids[0]]["status"]["conditions"]
        return {each["type"]: each["lastTransitionTime"] for each in conditions}

    before = times()
    story.cluster.now += 3700
    story.run()
    assert (times(), story.writes) == (before, 3)
    story.cluster.machines["node-0"].missing = {"fa:16:3e:00:00:01"}
    story.cluster.now += 3700
    story.run()
    assert all(times()[kind] > before[kind] for kind in before)
