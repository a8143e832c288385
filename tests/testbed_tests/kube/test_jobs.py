# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs run one pod, end as they should, and are cleaned away; nodes come and go under them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from testbed.kube import Kube
from testbed.kube.errors import ApiError
from testbed.kube.jobs import condition
from testbed.kube.kubectl import Kubectl
from testbed.kube.stub_backend import Outcome, StubBackend
from testbed.run import Run

UP = Outcome(exit_code=None)


@pytest.fixture
def kube(testbed_run: Run) -> Iterator[Kube]:
    """An API whose pods are stubs: a pod's annotation ``exit`` is its exit code, and it stays up without one."""

    def decide(pod: dict[str, Any]) -> Outcome:
        wanted = pod["metadata"].get("annotations", {}).get("exit")
        return UP if wanted is None else Outcome(int(wanted), f"ended with {wanted}")

    with contextlib.closing(Kube(StubBackend(decide), workdir=testbed_run.new_directory("kube"))) as made:
        made.node("n1", systemUUID="u-1", osImage="Debian")
        yield made


def job(name: str = "j", code: int | None = None, *, command: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    annotations = {} if code is None else {"exit": str(code)}
    container = {"name": "main", "image": "testbed", **({"command": command} if command else {})}
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container], "nodeName": "n1"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"annotations": annotations}, "spec": pod}, **spec},
    }


def has(kind: str) -> Callable[[dict[str, Any] | None], bool]:
    return lambda obj: obj is not None and condition(obj, kind) is not None


def pods(kube: Kube) -> list[dict[str, Any]]:
    return kube.front.objects.store.items("", "pods")[0]


def active(kube: Kube, name: str = "j") -> dict[str, Any]:
    kube.wait("Job", name, lambda obj: bool(obj and obj["status"].get("active")))
    return next(pod for pod in pods(kube) if pod["metadata"]["labels"]["job-name"] == name)


def reasons(obj: dict[str, Any] | None) -> list[tuple[str, str]]:
    assert obj is not None
    return [(entry["type"], entry["reason"]) for entry in obj["status"].get("conditions", ())]


def test_a_job_runs_one_pod_to_its_end(kube: Kube) -> None:
    kube.create(job(code=0))
    done = kube.wait("Job", "j", has("Complete"))
    assert reasons(done) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    assert done is not None
    assert done["status"]["succeeded"] == 1
    assert {"startTime", "completionTime"} <= done["status"].keys()
    assert "active" not in done["status"]
    [pod] = pods(kube)
    assert pod["status"]["phase"] == "Succeeded"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] == "ended with 0"
    assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"
    # A pod that is gone after its end does not start the work again.
    kube.delete("Pod", pod["metadata"]["name"], grace_seconds=0)
    kube.wait("Pod", pod["metadata"]["name"], lambda obj: obj is None)
    kube.create(job("other", code=0))
    kube.wait("Job", "other", has("Complete"))
    assert [pod["metadata"]["labels"]["job-name"] for pod in pods(kube)] == ["other"]


def test_a_job_fails_with_its_pod(kube: Kube) -> None:
    kube.create(job(code=3))
    failed = kube.wait("Job", "j", has("Failed"))
    assert reasons(failed) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    assert pods(kube)[0]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def test_pods_are_replaced_up_to_the_limit(kube: Kube) -> None:
    kube.create(job(code=1, backoffLimit=2))
    failed = kube.wait("Job", "j", has("Failed"))
    assert failed is not None
    assert failed["status"]["failed"] == len(pods(kube)) == 3


def test_a_job_fails_when_its_pod_is_deleted_or_killed(kube: Kube) -> None:
    for name in ("deleted", "killed"):
        kube.create(job(name))
    kube.delete("Pod", active(kube, "deleted")["metadata"]["name"])
    killed = active(kube, "killed")["metadata"]["name"]
    kube.wait("Pod", killed, has("Ready"))
    kube.kill(killed)
    for name in ("deleted", "killed"):
        assert reasons(kube.wait("Job", name, has("Failed")))[-1] == ("Failed", "BackoffLimitExceeded")
    assert pods(kube)[0]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_a_deadline_ends_the_pod(kube: Kube) -> None:
    kube.create(job(activeDeadlineSeconds=0.3))
    failed = kube.wait("Job", "j", has("Failed"))
    assert reasons(failed)[-1] == ("Failed", "DeadlineExceeded")
    assert pods(kube) == []


def test_a_job_is_cleaned_away_some_time_after_its_end(kube: Kube) -> None:
    kube.create(job(code=0, ttlSecondsAfterFinished=0.2))
    kube.wait("Job", "j", has("Complete"))
    kube.wait("Job", "j", lambda obj: obj is None)
    assert pods(kube) == []


def test_who_owned_by_a_job_goes_or_stays_as_asked(kube: Kube, kubectl_for: Callable[[Kube], Kubectl]) -> None:
    kubectl = kubectl_for(kube)
    for name in ("background", "foreground", "orphan"):
        kube.create(job(name))
        active(kube, name)
        kubectl("delete", "job", name, f"--cascade={name}")
        assert kubectl.run("get", "job", name).returncode == 1
        if name == "foreground":  # by then its pods are gone
            assert not [pod for pod in pods(kube) if pod["metadata"]["labels"]["job-name"] == name]
    kube.wait("Pod", "none", lambda _: {pod["metadata"]["labels"]["job-name"] for pod in pods(kube)} == {"orphan"})


def test_a_job_goes_with_its_owner(kube: Kube) -> None:
    owner = kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    made = job()
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    made["metadata"]["ownerReferences"] = [reference]
    kube.create(made)
    pod = active(kube)
    kube.delete("ConfigMap", "owner")
    kube.wait("Pod", pod["metadata"]["name"], lambda obj: obj is None)
    # Whoever comes too late for its owner is collected, too.
    kube.create(made)
    kube.wait("Job", "j", lambda obj: obj is None)


def test_a_job_says_what_it_is_refused_for(kube: Kube) -> None:
    changes: tuple[dict[str, Any], ...] = ({"restartPolicy": "Always"}, {"containers": []})
    for change in changes:
        made = job()
        made["spec"]["template"]["spec"] |= change
        with pytest.raises(ApiError) as caught:
            kube.create(made)
        assert caught.value.code == 422
    with pytest.raises(ApiError, match="63"):
        kube.create(job("x" * 64))
    kube.create(job())
    jobs = kube.front.objects.registry.of_kind("Job")
    with pytest.raises(ApiError, match="field is immutable"):
        kube.front.objects.change(jobs, "default", "j", lambda obj: obj["spec"]["template"]["spec"].update(a=1))


# -- nodes


def test_a_node_tells_about_itself(kube: Kube, kubectl_for: Callable[[Kube], Kubectl]) -> None:
    node = kube.get("Node", "n1")
    assert node["status"]["nodeInfo"]["systemUUID"] == "u-1"
    assert node["status"]["nodeInfo"]["osImage"] == "Debian"
    assert condition(node, "Ready")
    handle = kube.node("n2", ready=False, labels={"rack": "r"})
    assert not condition(kube.get("Node", "n2"), "Ready")
    assert handle.object["spec"]["taints"][0]["key"] == "node.kubernetes.io/not-ready"
    handle.set_ready(True)
    assert "taints" not in handle.object["spec"]
    kubectl = kubectl_for(kube)
    kubectl("wait", "--for=condition=Ready", "node/n2", "--timeout=60s")
    kubectl("cordon", "n2")
    assert handle.object["spec"]["unschedulable"] is True


def test_a_pod_waits_for_its_node(kube: Kube) -> None:
    made = job()
    made["spec"]["template"]["spec"]["nodeName"] = "later"
    kube.create(made)
    pod = active(kube)
    assert pod["status"]["phase"] == "Pending"
    kube.node("later")
    kube.wait("Pod", pod["metadata"]["name"], lambda obj: bool(obj and obj["status"]["phase"] == "Running"))


def test_the_job_of_a_lost_node_ends_only_when_the_pod_can_have_ended(kube: Kube) -> None:
    node = kube.node("n3")
    made = job(activeDeadlineSeconds=0.5)
    made["spec"]["template"]["spec"] |= {"nodeName": "n3", "terminationGracePeriodSeconds": 30}
    kube.create(made)
    name = active(kube)["metadata"]["name"]
    kube.wait("Pod", name, has("Ready"))
    node.lose()
    assert [c["status"] for c in node.object["status"]["conditions"]] == ["Unknown"]
    assert kube.get("Pod", name)["status"]["phase"] == "Running"  # nobody knows better
    assert not condition(kube.get("Pod", name), "Ready")
    announced = kube.wait("Job", "j", has("FailureTarget"))
    assert reasons(announced) == [("FailureTarget", "DeadlineExceeded")]
    kube.wait("Pod", name, lambda obj: bool(obj and "deletionTimestamp" in obj["metadata"]))
    node.come_back()
    kube.wait("Pod", name, lambda obj: obj is None)
    assert reasons(kube.wait("Job", "j", has("Failed")))[-1] == ("Failed", "DeadlineExceeded")


def test_the_pods_of_a_lost_node_can_be_removed_by_force(kube: Kube) -> None:
    node = kube.node("n3")
    kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": _pod_on("n3")})
    kube.wait_ready("p")
    node.lose(power=False)
    kube.delete("Pod", "p")
    kube.delete("Pod", "p", grace_seconds=0)
    kube.wait("Pod", "p", lambda obj: obj is None)


def _pod_on(node: str) -> dict[str, Any]:
    return {"nodeName": node, "terminationGracePeriodSeconds": 30, "containers": [{"name": "main", "image": "testbed"}]}


def test_a_reboot_ends_what_runs(kube: Kube) -> None:
    node = kube.node("n3")
    kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": _pod_on("n3")})
    kube.wait_ready("p")
    before = node.object["status"]["nodeInfo"]["bootID"]
    node.reboot()
    kube.wait("Pod", "p", lambda obj: bool(obj and obj["status"]["phase"] == "Failed"))
    assert node.object["status"]["nodeInfo"]["bootID"] != before
    assert condition(node.object, "Ready")


def test_the_pods_of_a_deleted_node_are_collected(kube: Kube) -> None:
    node = kube.node("n3")
    made = job()
    made["spec"]["template"]["spec"]["nodeName"] = "n3"
    kube.create(made)
    kube.wait("Pod", active(kube)["metadata"]["name"], has("Ready"))
    node.delete()
    assert reasons(kube.wait("Job", "j", has("Failed")))[-1] == ("Failed", "BackoffLimitExceeded")
    kube.wait("Node", "n3", lambda _: pods(kube) == [])


# -- real pods


def test_the_termination_message_is_what_the_container_left(websocket_front: Kube) -> None:
    kube, file = websocket_front, '"${POD_ROOT:-}/dev/termination-log"'
    script = f"head -c 5000 /dev/zero | tr '\\0' a > {file}; echo end >> {file}; exit 4"
    made = job("message", command=["sh", "-c", script])
    made["spec"]["template"]["spec"]["nodeName"] = "testbed"
    kube.create(made)
    kube.wait("Job", "message", has("Failed"))
    [pod] = [pod for pod in pods(kube) if pod["metadata"]["labels"].get("job-name") == "message"]
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], len(ended["message"]), ended["message"][-4:]) == (4, 4096, "end\n")
    kube.delete("Job", "message")


def test_a_killed_container_is_seen(websocket_front: Kube) -> None:
    kube = websocket_front
    pod = kube.pod()
    kube.kill(pod.name)
    ended = kube.wait("Pod", pod.name, lambda obj: bool(obj and obj["status"]["phase"] == "Failed"))
    assert ended is not None
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
