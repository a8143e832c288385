# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.multinic_agent`` in the pod of its Job, on nodes of other systems and without a controller.

The pods are those that the controller makes, in containers of runc; where there is no controller, its variable is
taken away. What the agent does for a controller is in test_multinic_cluster.py.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster import _observed, _summary
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import job_manifest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import config_of
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Agent
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import Summary
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._systems import system_of

from integration.agents import COMMAND, IMAGE, NAME, image
from integration.controllers import CRD
from integration.nics import custom_resource, login, nics_of
from testbed.inventory import REPOSITORY
from testbed.kube import Kube, Outcome, StubBackend
from testbed.kube.node_pods import NodeBackend
from testbed.mariadb import Schema
from testbed.net.network_manager import NetworkManager
from testbed.net.node import Node
from testbed.net.relay import relay_on
from testbed.run import Run

pytestmark = [pytest.mark.node, pytest.mark.long]

MAC = "fa:16:3e:00:00:01"
INTERFACE = {"id": 1, "macAddress": MAC, "address": "11.11.1.7", "cidr": "11.11.1.0/24", "mtu": 1450}
CONFIGURED = {"multinic0": (1450, ["11.11.1.7/24"])}
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PROFILES = "etc/NetworkManager/system-connections"
SCRIPTS = "etc/sysconfig/network-scripts"
Obj = dict[str, Any]


class Machine:
    """A test node with one extra NIC, whose pods are the agent's."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.backend = NodeBackend(node, {NAME: image(folder)})
        node.add_nic("eth1", MAC)
        for name in ("run/dbus", "run/systemd/netif", "run/udev"):
            (node.root / name).mkdir(parents=True, exist_ok=True)
        self._pods = 0

    def run(self, os_image: str, task: Task = Task.CONFIGURE, **environment: str) -> Summary:
        """Run the pod that the controller would make for the node to its end; return its summary.

        :param environment: what is there instead of the controller's order, if anything.
        """
        metadata = {"name": "worker-1", "namespace": "multinic", "uid": "0000", "generation": 3}
        config = config_of({**custom_resource("worker-1", "worker-1", [INTERFACE]), "metadata": metadata})
        node = _observed.Node("worker-1", True, "i", "boot-1", os_image)
        system = system_of(os_image)
        assert system is not None
        manifest = job_manifest(config, node, system, task, 1, Agent(IMAGE, command=COMMAND))
        spec = manifest["spec"]["template"]["spec"]
        if environment:
            _order(spec, environment)
        return self._summary(spec)

    def _summary(self, spec: Obj) -> Summary:
        self._pods += 1
        uid = f"{self._pods:08d}"
        self.backend.create({"metadata": {"name": "agent", "namespace": "multinic", "uid": uid}, "spec": spec})
        deadline = time.monotonic() + 60
        while any(each.running for each in self.backend.state(uid).containers):
            assert time.monotonic() < deadline, self._logs(uid)
            time.sleep(0.05)
        said = self.backend.state(uid).containers[0]
        assert (said.name, said.exit_code) == ("agent", 0), self._logs(uid)
        print(self._logs(uid))
        self.backend.delete(uid, 0)
        return _summary.read(said.message)

    def _logs(self, uid: str) -> str:
        return "\n".join(self.backend.logs(uid, name).decode() for name in ("agent", "guard"))

    def ours(self) -> set[str]:
        """Return our files among those that configure the node's network."""
        folders = ("etc/netplan", PROFILES, SCRIPTS, "etc/systemd/network")
        found = (path for folder in folders for path in (self.node.root / folder).glob("*multinic*"))
        return {str(path.relative_to(self.node.root)) for path in found}


def _order(spec: Obj, environment: dict[str, str]) -> None:
    """Let an agent that is ordered by nobody find out for itself, with an account if its folder is on the node."""
    agent = spec["containers"][0]
    agent["env"] = [each for each in agent["env"] if each["name"] != "AGENT_SPEC"]
    agent["env"] += [{"name": name, "value": value} for name, value in environment.items()]
    agent["env"].append({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}})
    if "KUBERNETES_SERVICE_HOST" in environment:
        # as the kubelet does for a pod with an account
        spec["volumes"].append({"name": "account", "hostPath": {"path": "/run/account", "type": "Directory"}})
        agent["volumeMounts"].append({"name": "account", "mountPath": ACCOUNT, "readOnly": True})


@pytest.fixture
def machine(node: Callable[..., Node]) -> Iterator[Machine]:
    # overlayfs refuses to lay a folder over one that holds it, so that this is not on the machine's root
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="manifold-image-") as layer:
        made = Machine(node("worker-1"), Path(layer))
        with contextlib.closing(made.backend):
            yield made


def _documented_rights() -> list[Obj]:
    """Return what the documentation says that an agent without a controller needs, in its example's namespace."""
    text = (REPOSITORY / "docs/multinic_kubernetes.md").read_text()
    (found,) = (block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "kind: RoleBinding" in block)
    return list(yaml.safe_load_all(found))


def test_by_nodecr_on_a_node_of_networkmanager(machine: Machine, testbed_run: Run) -> None:
    daemon = NetworkManager(machine.node)
    (machine.node.root / SCRIPTS).mkdir(parents=True)
    folder = testbed_run.new_directory("agent")
    with contextlib.closing(Kube(StubBackend(lambda _pod: Outcome()), workdir=folder)) as kube:
        kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "multinic-system"}})
        for manifest in (yaml.safe_load(CRD.read_text()), *_documented_rights()):
            kube.create(manifest)
        kube.create(custom_resource("of-worker", "worker-1", [INTERFACE]))
        tls = kube.front.tls(folder)
        account = machine.node.root / "run/account"
        account.mkdir()
        (account / "token").write_text(kube.token("multinic-agent", "multinic-system"))
        (account / "ca.crt").write_text(tls.certificate.read_text())
        with contextlib.closing(relay_on(machine.node, tls.port)):
            summary = machine.run(
                "Rocky Linux 9.5 (Blue Onyx)",
                DATA_SOURCE="nodecr",
                KUBERNETES_SERVICE_HOST="127.0.0.1",
                KUBERNETES_SERVICE_PORT=str(tls.port),
            )
        asked = {(verb, resource) for client, verb, resource in kube.calls.counts() if "multinic-agent" in client}
    assert (summary.failure, [each.state for each in summary.interfaces]) == (None, ["configured"])
    assert asked == {("list", "multinicnodeconfigs")}
    assert nics_of(machine.node) == CONFIGURED
    assert machine.ours() == {f"{PROFILES}/multinic0.nmconnection", "etc/systemd/network/70-multinic0.link"}
    # the node's own NetworkManager was told, through the node's D-Bus
    assert daemon.profiles()["multinic0"] == f"/{PROFILES}/multinic0.nmconnection"
    # and the controller's own order of a clean-up, for the same node
    assert machine.run("Rocky Linux 9.5 (Blue Onyx)", Task.CLEANUP).failure is None
    assert (nics_of(machine.node), machine.ours()) == ({}, set())
    assert f"/{PROFILES}/multinic0.nmconnection" not in daemon.profiles().values()


def test_by_db_on_a_node_of_ifcfg_files(machine: Machine, schema: Schema) -> None:
    for name in (SCRIPTS, "etc/NetworkManager", "run/NetworkManager"):
        (machine.node.root / name).mkdir(parents=True, exist_ok=True)
    (machine.node.root / SCRIPTS / "ifup-eth").touch()
    schema.subnet("net", "11.11.1.0/24")
    schema.interface(1, "worker-1", MAC, subnet_id="net", address="11.11.1.7", mtu=1450, netplan_success=0)
    database = json.dumps(login(schema, schema.account()))
    with contextlib.closing(relay_on(machine.node, schema.server.port)):
        summary = machine.run("Red Hat Enterprise Linux 8.10 (Ootpa)", DATA_SOURCE="db", AGENT_DB=database)
    assert (summary.failure, [each.state for each in summary.interfaces]) == (None, ["configured"])
    assert nics_of(machine.node) == CONFIGURED
    assert machine.ours() == {f"{SCRIPTS}/ifcfg-multinic0"}
    assert schema.outcomes() == {1: 1}
