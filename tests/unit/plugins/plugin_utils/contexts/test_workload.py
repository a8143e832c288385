# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._workload import (
    NoPod,
    PodKind,
    Target,
    choice_of,
    choose,
    parse_target,
    pod_selector,
    state_of,
    unknown,
)

WEB = Target(PodKind.DEPLOYMENT, "web")
DB = Target(PodKind.STATEFULSET, "db")
DEPLOYMENT: dict[str, Any] = {"metadata": {"name": "web", "uid": "d"}, "spec": {"replicas": 2}}
READY = {"type": "Ready", "status": "True"}


def owned_by(uid: str | None) -> list[dict[str, Any]]:
    return [{"uid": uid, "controller": True}] if uid else []


def pod(name: str, owner: str | None = None, since: str = "1", **status: Any) -> dict[str, Any]:
    """Return a pod; it is ready unless a status is given."""
    ready = {"phase": "Running", "conditions": [{**READY, "lastTransitionTime": since}]}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "ownerReferences": owned_by(owner)},
        "spec": {"containers": [{"name": "main"}, {"name": "side"}]},
        "status": status or ready,
    }


def replica_set(uid: str, revision: str, owner: str = "d", made: str = "1") -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": revision} if revision else None
    metadata = {"name": uid, "uid": uid, "annotations": annotations, "creationTimestamp": made}
    return {"kind": "ReplicaSet", "metadata": {**metadata, "ownerReferences": owned_by(owner)}}


def terminating(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}


# -- what is named -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "target"),
    [
        ("web-0", Target(PodKind.POD, "web-0")),
        ("", Target(PodKind.POD, "host")),
        (None, Target(PodKind.POD, "host")),
        ("pod/web-0", Target(PodKind.POD, "web-0")),
        ("deployment/web", WEB),
        ("deploy/web", WEB),
        ("deployments.apps/web", WEB),
        ("StatefulSet/db", DB),
        ("ds/agent", Target(PodKind.DAEMONSET, "agent")),
        ("svc/web", Target(PodKind.SERVICE, "web")),
    ],
)
def test_a_pod_is_named_as_kubectl_names_it(given: str | None, target: Target) -> None:
    assert parse_target(given, None, "host") == target


def test_a_selector_names_a_pod_too() -> None:
    assert parse_target(None, "app=web", "host") == Target(PodKind.SELECTOR, "app=web")


@pytest.mark.parametrize("given", ["job/x", "deployment/", "a/b/c", "/x"])
def test_what_names_no_pod_is_refused_with_what_would(given: str) -> None:
    with pytest.raises(NoPod, match=f"'{given}' names no pod") as refused:
        parse_target(given, None, "host")
    assert refused.value.remedy is not None and "deployment/" in refused.value.remedy


def test_a_pod_and_a_selector_are_one_too_many() -> None:
    with pytest.raises(NoPod, match="both a pod and a selector"):
        parse_target("web", "app=web", "host")


# -- its selector --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "selector", "text"),
    [
        (PodKind.DEPLOYMENT, {"matchLabels": {"app": "web", "tier": "front"}}, "app=web,tier=front"),
        (
            PodKind.DEPLOYMENT,
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["b", "c"]},
                    {"key": "d", "operator": "NotIn", "values": ["e"]},
                    {"key": "f", "operator": "Exists"},
                    {"key": "g", "operator": "DoesNotExist"},
                ],
            },
            "app=web,a in (b,c),d notin (e),f,!g",
        ),
        (PodKind.SERVICE, {"app": "web"}, "app=web"),
    ],
)
def test_the_selector_of_a_workload_is_written_as_kubectl_takes_it(
    kind: PodKind, selector: dict[str, Any], text: str
) -> None:
    assert pod_selector(Target(kind, "web"), {"spec": {"selector": selector}}) == text


@pytest.mark.parametrize("workload", [{"spec": {}}, {"spec": {"selector": None}}, {}])
def test_a_service_without_a_selector_has_no_pods(workload: dict[str, Any]) -> None:
    with pytest.raises(NoPod, match="service/web selects no pods"):
        pod_selector(Target(PodKind.SERVICE, "web"), workload)


# -- the choice ----------------------------------------------------------------------------------------------------


def test_of_a_deployment_the_newest_revision_that_is_ready_is_taken() -> None:
    found = [
        replica_set("old", "9"),
        replica_set("new", "10"),
        replica_set("newest", "11"),
        pod("a-old", "old"),
        pod("b-new", "new"),
        pod("c-newest", "newest", phase="Pending"),
    ]
    assert choose(WEB, DEPLOYMENT, found).pod == "b-new"


def test_without_revisions_the_replica_set_made_last_is_the_newest() -> None:
    found = [replica_set("a", "", made="1"), replica_set("b", "", made="2"), pod("x", "a"), pod("y", "b")]
    assert choose(WEB, DEPLOYMENT, found).pod == "y"


def test_pods_of_others_with_the_same_labels_are_not_taken() -> None:
    found = [replica_set("rs", "1"), replica_set("foreign", "2", owner="other"), pod("a", "foreign"), pod("b")]
    with pytest.raises(NoPod, match="deployment/web has no pods"):
        choose(WEB, DEPLOYMENT, found)
    assert choose(WEB, DEPLOYMENT, [*found, pod("z", "rs")]).pod == "z"
    assert choose(DB, {"metadata": {"uid": "s"}}, [pod("a", "other"), pod("db-1", "s")]).pod == "db-1"


def test_a_pod_that_is_being_deleted_is_never_taken() -> None:
    found = [replica_set("rs", "1"), terminating(pod("a", "rs")), pod("b", "rs")]
    assert choose(WEB, DEPLOYMENT, found).pod == "b"
    with pytest.raises(NoPod, match="no pod of deployment/web is ready: a: Terminating"):
        choose(WEB, DEPLOYMENT, found[:2])


def test_of_equals_the_one_that_has_been_ready_for_longest_is_taken() -> None:
    found = [pod("a", since="2026-01-02"), pod("b", since="2026-01-01"), pod("c", since="2026-01-03")]
    assert choose(Target(PodKind.SELECTOR, "app=web"), None, found).pod == "b"
    assert choose(Target(PodKind.SERVICE, "web"), {"metadata": {"uid": "x"}}, found).pod == "b"


def test_of_a_stateful_set_the_lowest_number_is_taken() -> None:
    found = [pod("db-10", "s", "1"), pod("db-2", "s", "2"), pod("db-0", "s", "3", phase="Pending")]
    assert choose(DB, {"metadata": {"uid": "s"}}, found).pod == "db-2"


@pytest.mark.parametrize(
    ("annotation", "containers"), [(None, ("main", "side")), ("side", ("side", "main")), ("gone", ("main", "side"))]
)
def test_the_container_is_the_one_that_kubectl_takes(annotation: str | None, containers: tuple[str, ...]) -> None:
    made = pod("web")
    made["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": annotation} if annotation else None
    assert choice_of(made).containers == containers


# -- why there is none ---------------------------------------------------------------------------------------------


def waiting(reason: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "main", "ready": False, "state": {"waiting": {"reason": reason, "message": message}}, **more}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes fit"}
                ],
            },
            "Pending (Unschedulable: 0/3 nodes fit)",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [waiting("CrashLoopBackOff", "back-off 5m0s restarting\n failed container")],
            },
            "Running (container main: CrashLoopBackOff: back-off 5m0s restarting failed container)",
        ),
        (
            {"phase": "Pending", "containerStatuses": [waiting("ImagePullBackOff", "x" * 300)]},
            f"Pending (container main: ImagePullBackOff: {'x' * 160}...)",
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    {"name": "done", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
                    {"name": "first", "state": {"terminated": {"exitCode": 3, "reason": "Error"}}},
                ],
            },
            "Pending (init container first: Error, exit status 3)",
        ),
        (
            {"phase": "Running", "containerStatuses": [{"name": "main", "ready": False, "state": {"running": {}}}]},
            "Running (container main: not Ready)",
        ),
        ({"phase": "Failed", "reason": "Evicted", "message": "no room"}, "Failed (Evicted: no room)"),
        (
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "False", "reason": "ReadinessGates"}]},
            "Running (ReadinessGates)",
        ),
        ({"phase": "Pending"}, "Pending (not Ready)"),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status: dict[str, Any], text: str) -> None:
    assert state_of(pod("web", **status)) == text


def test_a_few_pods_stand_for_many() -> None:
    found = [pod(f"p{number}", phase="Pending") for number in range(7)]
    with pytest.raises(NoPod, match=r"p0: Pending \(not Ready\);.*p4: Pending \(not Ready\); and 2 more$"):
        choose(Target(PodKind.SELECTOR, "app=web"), None, found)


@pytest.mark.parametrize(
    ("target", "workload", "text"),
    [
        (Target(PodKind.SELECTOR, "app=web"), None, "no pod matches the selector 'app=web'"),
        (WEB, {**DEPLOYMENT, "spec": {"replicas": 0}}, "deployment/web has no pods: it is scaled to 0"),
        (WEB, DEPLOYMENT, "deployment/web has no pods"),
    ],
)
def test_no_pod_at_all_is_told_apart(target: Target, workload: dict[str, Any] | None, text: str) -> None:
    with pytest.raises(NoPod) as refused:
        choose(target, workload, [])
    assert refused.value.cause == text
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("names", "remedy"),
    [
        (["wb", "db"], "Did you mean 'wb'?"),
        (["zz", "web-7d4-x"], "Did you mean 'web-7d4-x'?"),
        (["cache", "db"], "There are: cache, db."),
        ([f"n{number}" for number in range(12)], f"There are: {', '.join(f'n{n}' for n in range(10))} and more."),
        ([], "Check its name, the namespace and the cluster."),
    ],
)
def test_a_name_that_does_not_exist_is_told_with_those_that_do(names: list[str], remedy: str) -> None:
    refused = unknown(WEB, names)
    assert (refused.cause, refused.remedy) == ("deployment/web does not exist", remedy)
