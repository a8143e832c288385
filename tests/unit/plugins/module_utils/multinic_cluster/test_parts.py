# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits, backoff, the rate of writes, settings, and the Job's manifest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._backoff import Backoff
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import SettingsError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import job_manifest, job_name
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Blocked, Limits, limit
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Fleet, Node, Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._rate import TokenBucket
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import config_of
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._systems import system_of
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._task import reconcile_task
from hypothesis import given
from hypothesis import strategies as st

UID = "1b671a64-40d5-491e-99b0-da01ff1f3341"


def resource(node: str = "node-1", uid: str = UID, generation: int = 3) -> dict[str, Any]:
    return {
        "metadata": {"name": "it", "namespace": "multinic", "uid": uid, "generation": generation},
        "spec": {
            "nodeName": node,
            "instanceId": "x",
            "interfaces": [{"id": 1, "macAddress": "fa:16:3e:00:00:01"}],
        },
    }


@pytest.mark.parametrize(
    ("text", "total", "nodes"), [("10", 1000, 10), (3, 2, 3), ("25%", 1000, 250), ("25%", 3, 1), ("1%", 0, 1)]
)
def test_a_limit_is_a_number_or_a_share_and_at_least_one(text: object, total: int, nodes: int) -> None:
    assert limit(text, "it").of(total) == nodes


@pytest.mark.parametrize("text", ["0", "0%", "-1", "1.5", "x", "", True, None, "10 %"])
def test_what_is_no_limit_is_refused_by_its_name(text: object) -> None:
    with pytest.raises(SettingsError, match="max_failing is "):
        limit(text, "max_failing")


def test_nodes_in_flight_and_failing_ones_block_others() -> None:
    limits = Limits(limit(2, ""), limit(1, ""))
    full = Fleet(9, frozenset("ab"))
    assert limits.blocked(full, "c", False) is Blocked.FULL
    assert limits.blocked(full, "a", False) is None
    failing = Fleet(9, frozenset(), frozenset("ab"))
    assert limits.blocked(failing, "c", False) is Blocked.FAILURES
    assert limits.blocked(failing, "c", True) is None
    assert limits.blocked(failing, "a", False) is None  # what failed is tried again
    assert limits.blocked(Fleet(9, frozenset(), frozenset("a")), "c", False) is None


@given(st.integers(1, 500), st.text(max_size=9))
def test_backoff_grows_to_its_limit(failures: int, uid: str) -> None:
    backoff = Backoff(30, 1800)
    assert 27 <= backoff.after(failures, uid) <= 1800
    assert backoff.after(failures, uid) == backoff.after(failures, uid)
    assert backoff.after(failures + 1, uid) >= min(backoff.after(failures, uid), 0.9 * 1800)


def test_writes_are_so_many_per_second() -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    bucket = TokenBucket(10, 5, lambda: now, sleep)
    for _number in range(105):
        bucket.take()
    assert now == pytest.approx(10)
    assert not bucket.try_take()
    now += 0.2
    assert bucket.try_take()


@given(
    st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True), st.integers(1, 10**6), st.integers(1, 10**6)
)
def test_a_job_has_a_name_of_its_own_that_is_a_label_too(node: str, generation: int, run: int) -> None:
    config = config_of(resource(node, generation=generation))
    name = job_name(config, Task.CONFIGURE, run)
    assert len(name) <= 63
    assert name.replace("-", "").isalnum()
    assert name == job_name(config, Task.CONFIGURE, run)
    others = [
        job_name(config, Task.CONFIGURE, run + 1),
        job_name(config, Task.CLEANUP, run),
        job_name(config_of(resource(node, generation=generation + 1)), Task.CONFIGURE, run),
        job_name(config_of(resource(node, "another", generation)), Task.CONFIGURE, run),
    ]
    assert len({name, *others}) == 5


def test_the_job_is_pinned_and_has_no_more_rights_than_it_needs() -> None:
    ubuntu = system_of("Ubuntu 24.04.2 LTS")
    assert ubuntu is not None
    node = Node("node-1", True, "x", "boot-1", "Ubuntu 24.04.2 LTS")
    job = job_manifest(
        config_of(resource()),
        node,
        ubuntu,
        Task.CONFIGURE,
        7,
        Agent("image:1", options={"allow_up": True}, image_pull_secrets=("registry",)),
    )
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 300, 3600)
    assert (pod["nodeName"], pod["hostNetwork"], pod["restartPolicy"]) == ("node-1", True, "Never")
    assert pod["automountServiceAccountToken"] is False
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    container, guard = pod["containers"]
    assert (guard["name"], guard["volumeMounts"]) == ("guard", container["volumeMounts"])
    assert guard["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert all(each["securityContext"]["seLinuxOptions"] == {"type": "spc_t"} for each in (container, guard))
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    paths = {
        volume["hostPath"]["path"]: volume["hostPath"]["type"] for volume in pod["volumes"] if "hostPath" in volume
    }
    assert paths["/etc/netplan"] == "Directory"
    assert paths["/var/lib/manifold-core"] == "DirectoryOrCreate"
    assert not {"/", "/etc", "/etc/NetworkManager"} & set(paths)
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env["AGENT_ACTION"] == "configure"
    told = json.loads(env["AGENT_SPEC"])
    assert (told["generation"], told["interfaces"], told["options"]) == (
        3,
        [{"id": 1, "macAddress": "fa:16:3e:00:00:01"}],
        {"allow_up": True},
    )
    assert job["metadata"]["ownerReferences"][0]["uid"] == UID
    assert job["metadata"]["labels"] == spec["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("image", "backend"),
    [
        ("Ubuntu 22.04.4 LTS", "auto"),
        ("Debian GNU/Linux 12 (bookworm)", "auto"),
        ("Red Hat Enterprise Linux 9.4 (Plow)", "auto"),
        ("Red Hat Enterprise Linux 10.0 (Coughlan)", "networkmanager"),
        ("Rocky Linux 9.4 (Blue Onyx)", "auto"),
        ("Talos (v1.7.0)", None),
        ("Flatcar Container Linux by Kinvolk 3815.2.0", None),
        ("", None),
    ],
)
def test_only_systems_whose_folders_are_known_get_a_job(image: str, backend: str | None) -> None:
    found = system_of(image)
    assert (None if found is None else found.backend) == backend


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_in_flight": "0%"}, "max_in_flight is '0%'"),
        ({"deadline": 60}, "deadline (60 s) must be more than rollback_timeout (60 s)"),
        ({"resync": -1}, "resync is -1"),
        ({"writes_per_second": 0}, "writes_per_second is 0"),
        ({"kubeconfig": "/nonexistent"}, "kubeconfig /nonexistent cannot be used"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {
        "image": "agent:1",
        "command": [],
        "image_pull_policy": "Always",
        "image_pull_secrets": [],
        "namespace": None,
        "kubeconfig": None,
        "context": None,
        "max_in_flight": "1",
        "max_failing": "1",
        "resync": 0.0,
        "deadline": 300,
        "rollback_timeout": 60,
        "agent_options": {},
        "writes_per_second": 1.0,
        "wait": 0.0,
    }
    assert message in (reconcile_task({**right, **wrong}, check=False).failure or "")
