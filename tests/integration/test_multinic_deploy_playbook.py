# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role ``multinic_cluster`` and its playbooks against the API of the test bed; pods are stubs."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from integration.nics import login, mac_of
from integration.support import PLAYBOOKS, Inventories, assert_no_traceback, play
from testbed.contexts import NAME, contexts_file
from testbed.inventory import Inventory
from testbed.kube import Kube, Outcome, StubBackend
from testbed.kube.errors import ApiError
from testbed.kube.kubectl import Kubectl
from testbed.mariadb import Schema
from testbed.run import Run

pytestmark = pytest.mark.node

NAMESPACE = "nics"
IMAGE = "registry.example.com/multinic:1"
ROLE = {"multinic_cluster_image": IMAGE, "multinic_cluster_namespace": NAMESPACE}
UUID = "3d2b6c1e-0000-4000-8000-000000000001"
CRD = "multinicnodeconfigs.multinic.io"
NAME_OF_CONFIG = "worker-1.example.com"


@dataclass
class Cluster:
    """An API with one node, and an inventory that has it as a context."""

    kube: Kube
    inventory: Inventory
    kubectl: Kubectl
    kubeconfig: str

    def deploy(self, *arguments: str, **variables: Any) -> tuple[bool, list[str]]:
        """Run the playbook; return whether anything was changed, and the tasks that did."""
        result = self.inventory.run_playbook(
            PLAYBOOKS / "multinic_deploy.yml", *arguments, extra_vars={**ROLE, **variables}
        ).check()
        assert_no_traceback(result)
        changed = [task.task for task in result.tasks if task.result.get("changed")]
        return bool(changed), changed

    def there(self, kind: str, name: str = "multinic-controller") -> bool:
        """Return whether an object is there."""
        try:
            self.kube.get(kind, name, NAMESPACE)
        except ApiError:
            return False
        return True


@pytest.fixture
def cluster(testbed_run: Run, inventory: Inventories) -> Iterator[Cluster]:
    folder = testbed_run.new_directory("deploy")
    up = Outcome(exit_code=None)
    with contextlib.closing(Kube(StubBackend(lambda _pod: up), workdir=folder)) as kube:
        kube.node("worker-1.example.com", systemUUID=UUID, osImage="Ubuntu 24.04.2 LTS")
        kube.node("worker-2.example.com", systemUUID=UUID[:-1] + "2", osImage="Ubuntu 24.04.2 LTS")
        kubeconfig = kube.write_kubeconfig(folder / "kubeconfig")
        context = {"type": "kubernetes", "kubeconfig": str(kubeconfig), "context": "testbed", "default": True}
        made = inventory(text=contexts_file({"prod": context}), filename=NAME)
        yield Cluster(kube, made, Kubectl(kubeconfig, folder / "cache"), str(kubeconfig))


KINDS = ("Deployment", "PodDisruptionBudget", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def test_deploying_twice_changes_nothing_and_removing_keeps_the_resources(cluster: Cluster, schema: Schema) -> None:
    changed, _tasks = cluster.deploy("--check")
    assert changed and not cluster.there("Deployment") and not cluster.there("Namespace", NAMESPACE)
    same = {
        "multinic_cluster_options": {"max_in_flight": "10%", "agent_options": {"allow_up": True}},
        "multinic_cluster_image_pull_secrets": ["registry", "mirror"],
    }
    assert cluster.deploy(**same)[0]
    assert all(cluster.there(kind) for kind in KINDS)
    assert cluster.deploy(**same) == (False, [])
    pod = cluster.kube.get("Deployment", "multinic-controller", NAMESPACE)["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    (container,) = pod["containers"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert (env["MULTINIC_MAX_IN_FLIGHT"], env["MULTINIC_AGENT_OPTIONS"]) == ("10%", '{"allow_up": true}')
    assert (env["MULTINIC_IMAGE"], env["MULTINIC_NAMESPACE"]) == (IMAGE, NAMESPACE)
    assert env["MULTINIC_IMAGE_PULL_SECRETS"] == "registry,mirror"
    labels = cluster.kube.get("Namespace", NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    binding = cluster.kube.get("ClusterRoleBinding", "multinic-controller", NAMESPACE)
    assert binding["subjects"][0]["namespace"] == NAMESPACE

    account = schema.account(password="correct-horse-battery")
    schema.subnet("net", "192.0.2.0/24")
    schema.interface(1, "worker-1", mac_of(1), subnet_id="net", address="192.0.2.7", mtu=1450)
    import_rows = [
        play(
            {
                "name": "import",
                "ansible.builtin.include_role": {"name": "manifold.core.multinic_cluster", "tasks_from": "from_db"},
            },
            vars={
                **ROLE,
                "multinic_cluster_kubeconfig": cluster.kubeconfig,
                "multinic_cluster_db": login(schema, account),
                "ansible_connection": "ansible.builtin.local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
            },
            hosts="prod",
        )
    ]
    assert cluster.inventory.run_playbook(import_rows).check()
    spec = cluster.kube.get("MultiNicNodeConfig", "worker-1.example.com", NAMESPACE)["spec"]
    assert (spec["nodeName"], spec["instanceId"]) == ("worker-1.example.com", UUID)
    assert spec["interfaces"] == [
        {"id": 1, "macAddress": mac_of(1), "address": "192.0.2.7", "cidr": "192.0.2.0/24", "mtu": 1450}
    ]
    assert not cluster.there("MultiNicNodeConfig", "worker-2.example.com")
    again = cluster.inventory.run_playbook(import_rows).check()
    assert not [task.task for task in again.tasks if task.result.get("changed")]

    unready = {"configs_in": NAMESPACE, "fail_on_unready": True}
    status = cluster.inventory.run_playbook(PLAYBOOKS / "multinic_status.yml", extra_vars=unready)
    assert "worker-1.example.com Unknown Unknown" in status.stdout
    assert status.rc != 0 and "not ready: worker-1.example.com" in status.stdout

    assert cluster.deploy(multinic_cluster_state="absent")[0]
    assert not any(cluster.there(kind) for kind in (*KINDS, "ServiceAccount"))
    assert cluster.there("CustomResourceDefinition", CRD) and cluster.there("MultiNicNodeConfig", NAME_OF_CONFIG)
    assert cluster.deploy(multinic_cluster_state="absent") == (False, [])

    with _controller(cluster) as cleaned:
        cluster.deploy(multinic_cluster_state="absent", multinic_cluster_remove_configs=True)
    assert cleaned == [NAME_OF_CONFIG]
    assert not cluster.there("MultiNicNodeConfig", NAME_OF_CONFIG) and not cluster.there("ServiceAccount")
    assert cluster.there("CustomResourceDefinition", CRD) and cluster.there("Namespace", NAMESPACE)


@contextlib.contextmanager
def _controller(cluster: Cluster) -> Iterator[list[str]]:
    """Stand in for a controller: let a resource go when its deletion is asked for, which is when it cleans the node.

    It yields the names of those that it let go while it had its account.
    """
    cleaned: list[str] = []
    kind = cluster.kube.front.objects.registry.of_kind("MultiNicNodeConfig")
    change = functools.partial(cluster.kube.front.objects.change, kind, NAMESPACE, NAME_OF_CONFIG)
    account = {"apiVersion": "v1", "kind": "ServiceAccount"}
    cluster.kube.create({**account, "metadata": {"name": "multinic-controller", "namespace": NAMESPACE}})
    change(lambda obj: obj["metadata"].update(finalizers=["multinic.io/clean-up"]))

    def clean() -> None:
        cluster.kube.wait("MultiNicNodeConfig", NAME_OF_CONFIG, _is_deleted, NAMESPACE, 30)
        if cluster.there("ServiceAccount"):
            cleaned.append(NAME_OF_CONFIG)
        change(lambda obj: obj["metadata"].pop("finalizers") and None)

    thread = threading.Thread(target=clean, name="controller")
    thread.start()
    yield cleaned
    thread.join()


def _is_deleted(obj: dict[str, Any] | None) -> bool:
    return obj is None or "deletionTimestamp" in obj["metadata"]
