# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a MultiNicNodeConfig to NICs: the controller as a process with the shipped rights, the agent's playbook in a
container of runc, in the network of a test node.

The agent is the shipped one, with the Ansible of this Python. The image is not: its root is this machine's, over which
the collection is laid where an image has it.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.agents import COMMAND, IMAGE, NAME, image
from integration.controllers import ACCOUNT, CRD, NAMESPACE, RBAC, Controller, Nursery
from integration.nics import nics_of
from testbed.kube import Kube, Outcome, StubBackend
from testbed.kube.kubectl import Kubectl
from testbed.kube.node_pods import NodeBackend
from testbed.net.node import Node
from testbed.run import Run

pytestmark = [pytest.mark.node, pytest.mark.long]

OURS = "var/lib/manifold-core"
UUID = "3d2b6c1e-0000-4000-8000-000000000001"
FIRST, SECOND, GONE = (f"fa:16:3e:00:00:0{number}" for number in (1, 2, 9))
# What is verified after a change: it works, but for as long as a test says that it is to be held up.
HOLD = (
    f"""cd /host/{OURS}; if [ -e hold ] && ip link show multinic0 | grep -q 'mtu 1300'; then touch held; sleep 60; fi"""
)
Obj = dict[str, Any]


class Scene:
    """A cluster of one test node with two extra NICs, and the controller."""

    def __init__(self, folder: Path) -> None:
        (folder / "node").mkdir()
        self.node = Node("worker-1", folder / "node")
        self.kube = Kube(StubBackend(lambda _pod: Outcome()), workdir=folder)
        # overlayfs refuses to lay a folder over one that holds it, so that this is not on the machine's root
        self._layer = tempfile.TemporaryDirectory(dir="/dev/shm", prefix="manifold-image-")
        self.backend = NodeBackend(self.node, {NAME: image(Path(self._layer.name))})
        self.handle = self.kube.node(
            "worker-1", backend=self.backend, systemUUID=UUID, osImage="Ubuntu 24.04.2 LTS", bootID="boot-1"
        )
        self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.kube.create(yaml.safe_load(CRD.read_text()))
        for manifest in yaml.safe_load(RBAC.read_text())["items"]:
            self.kube.create(manifest)
        self._kubectl = Kubectl(self.kube.write_kubeconfig(folder / "kubeconfig"), folder / "cache")
        self._prepare_node()
        self._nursery = Nursery()
        self.controller = self._start_controller(folder)
        self._stop = threading.Event()
        self.seen: dict[str, Obj] = {}
        self._thread = threading.Thread(target=self._look_at_pods, name="pods")
        self._thread.start()

    def _start_controller(self, folder: Path) -> Controller:
        token = self.kube.token(ACCOUNT, NAMESPACE)
        kubeconfig = self.kube.write_kubeconfig(folder / "of-controller", token=token, namespace=NAMESPACE)
        options = {"verify": {"gateway": False, "command": HOLD}}
        return Controller(
            self._nursery,
            kubeconfig,
            folder / "controller.log",
            image=IMAGE,
            command=shlex.join(COMMAND),
            agent_options=json.dumps(options),
        )

    def _prepare_node(self) -> None:
        self.node.add_nic("eth1", FIRST)
        self.node.add_nic("eth2", SECOND)
        for name in ("run/systemd/netif", "run/dbus", "run/udev", "etc/netplan", "etc/systemd/network"):
            (self.node.root / name).mkdir(parents=True, exist_ok=True)
        (self.node.root / "run/systemd/netif/state").touch()

    def _look_at_pods(self) -> None:
        while not self._stop.wait(0.1):
            self.seen.update({pod["metadata"]["uid"]: pod["spec"] for pod in self.pods()})

    def kubectl(self, *arguments: str, manifest: Obj | None = None) -> str:
        """Run kubectl in the namespace."""
        return self._kubectl("-n", NAMESPACE, *arguments, input=None if manifest is None else json.dumps(manifest))

    def apply(self, *interfaces: Obj, instance: str = UUID) -> None:
        """Apply the resource of the node by kubectl."""
        spec = {"nodeName": "worker-1", "instanceId": instance, "interfaces": list(interfaces)}
        metadata = {"name": "worker-1", "namespace": NAMESPACE}
        kind = {"apiVersion": "multinic.io/v1alpha1", "kind": "MultiNicNodeConfig"}
        self.kubectl("apply", "-f", "-", manifest={**kind, "metadata": metadata, "spec": spec})

    def wait(self, until: Callable[[Obj], bool], timeout: float = 20) -> Obj:
        """Wait until the resource is as wanted, its status being that of its present generation."""

        def reached(obj: Obj | None) -> bool:
            status = (obj or {}).get("status") or {}
            current = obj is not None and status.get("observedGeneration") == obj["metadata"]["generation"]
            return current and until(status)

        try:
            found = self.kube.wait("MultiNicNodeConfig", "worker-1", reached, NAMESPACE, timeout)
        except Exception:
            print(self.logs(), self.controller.log.read_text())
            raise
        assert found is not None
        status: Obj = found["status"]
        return status

    def waits(self, reason: str) -> str:
        """Wait until the resource is not ready for a reason; return the message."""

        def reached(obj: Obj | None) -> bool:
            return _ready(obj).get("reason") == reason

        return str(_ready(self.kube.wait("MultiNicNodeConfig", "worker-1", reached, NAMESPACE, 20))["message"])

    def settled(self, state: str) -> Obj:
        """Wait for a state of the resource; return its status."""
        return self.wait(lambda status: status.get("state") == state)

    def pods(self) -> list[Obj]:
        """Return the pods of the agent."""
        return self.kube.front.objects.store.items("", "pods")[0]

    def logs(self) -> str:
        """Return what the containers have said."""
        said = [json.dumps(self.kube.front.objects.store.items("batch", "jobs")[0])]
        for pod in self.pods():
            for name in ("agent", "guard"):
                with contextlib.suppress(Exception):
                    said.append(f"--- {name}\n{self.backend.logs(pod['metadata']['uid'], name).decode()}")
        return "\n".join(said)

    def files(self) -> list[str]:
        """Return the names of the files that netplan reads."""
        return sorted(path.name for path in (self.node.root / "etc/netplan").iterdir())

    def runs(self) -> int:
        """Return how many Jobs have ended."""
        runs: int = self.kube.get("MultiNicNodeConfig", "worker-1", NAMESPACE)["status"]["runs"]
        return runs

    def left(self) -> list[str]:
        """Return what the agent has left on the node."""
        return sorted(path.name for path in (self.node.root / OURS / "multinic").glob("*"))

    def hold_verification(self) -> None:
        """Make the agent stop after it has changed the MTU to 1300, before it is sure that all works."""
        (self.node.root / OURS / "hold").touch()

    def in_the_middle(self) -> Obj:
        """Wait until it has stopped there; return its pod."""
        deadline = time.monotonic() + 20
        while not (self.node.root / OURS / "held").exists():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.02)
        return next(pod for pod in self.pods() if pod["status"]["phase"] == "Running")

    def let_verification_go(self) -> None:
        for name in ("hold", "held"):
            (self.node.root / OURS / name).unlink()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.controller.close()
        self._nursery.close()
        self.kube.close()
        self.node.close()
        self._layer.cleanup()


def _ready(obj: Obj | None) -> Obj:
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == "Ready"), {})


def interface(number: int, mac: str, mtu: int = 1450) -> Obj:
    cidr = f"11.11.{number}.0/24"
    return {"id": number, "macAddress": mac, "address": f"11.11.{number}.7", "cidr": cidr, "mtu": mtu}


@pytest.fixture(scope="module")
def scene(testbed_run: Run) -> Iterator[Scene]:
    """One for all tests, which follow each other as the life of a node does."""
    with contextlib.closing(Scene(testbed_run.new_directory("cluster"))) as made:
        yield made


def test_a_resource_configures_real_nics(scene: Scene) -> None:
    scene.apply(interface(1, FIRST), interface(2, SECOND))
    status = scene.settled("Configured")
    assert nics_of(scene.node) == {"multinic0": (1450, ["11.11.1.7/24"]), "multinic1": (1450, ["11.11.2.7/24"])}
    assert scene.files() == ["90-multinic0.yaml", "91-multinic1.yaml"]
    assert [each["name"] for each in status["interfaceStatuses"]] == ["multinic0", "multinic1"]
    header, row = (line.split() for line in scene.kubectl("get", "mnnc").splitlines())
    assert dict(zip(header, row, strict=True)) | {"AGE": ""} == {
        "NAME": "worker-1",
        "NODE": "worker-1",
        "STATE": "Configured",
        "READY": "True",
        "AGE": "",
    }


def test_a_second_apply_of_the_same_runs_nothing_and_a_change_runs_one_job(scene: Scene) -> None:
    jobs = scene.runs()
    scene.apply(interface(1, FIRST), interface(2, SECOND))
    scene.apply(interface(1, FIRST, mtu=1400))
    status = scene.settled("Configured")
    assert nics_of(scene.node) == {"multinic0": (1400, ["11.11.1.7/24"])}
    assert scene.files() == ["90-multinic0.yaml"]
    assert [each["id"] for each in status["interfaceStatuses"]] == [1]
    assert scene.runs() == jobs + 1


def test_one_missing_nic_is_named_and_the_others_are_configured(scene: Scene) -> None:
    scene.apply(interface(1, FIRST), interface(2, SECOND), interface(3, GONE))
    status = scene.settled("PartiallyConfigured")
    assert nics_of(scene.node) == {"multinic0": (1450, ["11.11.1.7/24"]), "multinic1": (1450, ["11.11.2.7/24"])}
    states = {each["id"]: (each["state"], each.get("message", "")) for each in status["interfaceStatuses"]}
    assert (states[1], states[2]) == (("Configured", ""), ("Configured", ""))
    assert states[3][0] == "Failed" and GONE in states[3][1]
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "False" and "id 3" in ready["message"]
    assert scene.kubectl("get", "mnnc").splitlines()[1].split()[2:4] == ["PartiallyConfigured", "False"]


def test_nics_that_are_lost_at_a_reboot_are_configured_again(scene: Scene) -> None:
    scene.apply(interface(1, FIRST), interface(2, SECOND))
    scene.settled("Configured")
    scene.node.remove_nic("multinic0")
    scene.node.remove_nic("multinic1")
    scene.node.add_nic("eth1", FIRST)
    scene.node.add_nic("eth2", SECOND)
    scene.handle.reboot()
    boot = scene.handle.object["status"]["nodeInfo"]["bootID"]
    scene.wait(lambda status: status["lastJob"]["bootID"] == boot and status["state"] == "Configured")
    assert nics_of(scene.node) == {"multinic0": (1450, ["11.11.1.7/24"]), "multinic1": (1450, ["11.11.2.7/24"])}


def test_another_machine_of_that_name_is_left_alone(scene: Scene) -> None:
    runs = scene.runs()
    scene.apply(interface(1, FIRST, mtu=1400), instance=UUID.replace("1", "2"))
    assert UUID in scene.waits("InstanceMismatch").lower()
    assert nics_of(scene.node)["multinic0"][0] == 1450
    assert scene.runs() == runs


def test_a_node_that_is_not_ready_is_waited_for(scene: Scene) -> None:
    runs = scene.runs()
    scene.handle.set_ready(False)
    scene.apply(interface(1, FIRST, mtu=1400), interface(2, SECOND, mtu=1400))
    scene.waits("NodeNotReady")
    assert scene.runs() == runs
    scene.handle.set_ready(True)
    scene.settled("Configured")
    assert {mtu for mtu, _addresses in nics_of(scene.node).values()} == {1400}
    scene.apply(interface(1, FIRST), interface(2, SECOND))
    scene.settled("Configured")


def test_a_node_that_is_lost_in_the_middle_of_a_change_is_mended_when_it_is_back(scene: Scene) -> None:
    scene.hold_verification()
    scene.apply(interface(1, FIRST, mtu=1300), interface(2, SECOND, mtu=1300))
    scene.in_the_middle()
    scene.handle.lose()
    scene.waits("NodeLost")
    scene.let_verification_go()
    scene.handle.come_back()
    scene.apply(interface(1, FIRST), interface(2, SECOND))
    scene.settled("Configured")
    assert nics_of(scene.node) == {"multinic0": (1450, ["11.11.1.7/24"]), "multinic1": (1450, ["11.11.2.7/24"])}
    assert scene.left() == []


def test_the_guard_restores_a_node_whose_agent_is_killed_in_the_middle_of_a_change(scene: Scene) -> None:
    files = {name: (scene.node.root / "etc/netplan" / name).read_text() for name in scene.files()}
    scene.hold_verification()
    scene.apply(interface(1, FIRST, mtu=1300), interface(2, SECOND, mtu=1300))
    pod = scene.in_the_middle()
    assert nics_of(scene.node)["multinic0"][0] == 1300
    root = scene.backend.root(pod["metadata"]["uid"])
    assert root is not None and not (root / "var/run/secrets").exists()
    scene.kube.kill(pod["metadata"]["name"], NAMESPACE, "agent")
    status = scene.wait(lambda status: (status.get("lastJob") or {}).get("failures") == 1)
    assert nics_of(scene.node) == {"multinic0": (1450, ["11.11.1.7/24"]), "multinic1": (1450, ["11.11.2.7/24"])}
    assert {name: (scene.node.root / "etc/netplan" / name).read_text() for name in scene.files()} == files
    assert status["state"] == "Failed"
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert "137" in ready["reason"] + ready["message"]
    scene.let_verification_go()
    report = json.loads((scene.node.root / OURS / "multinic/restored.json").read_text())
    assert (report["by"], report["problems"]) == ("the guard (container)", [])


def test_the_next_run_tells_of_it_and_succeeds(scene: Scene) -> None:
    scene.apply(interface(1, FIRST, mtu=1350), interface(2, SECOND, mtu=1350))
    scene.settled("Configured")
    assert {mtu for mtu, _addresses in nics_of(scene.node).values()} == {1350}
    assert scene.left() == []


def test_the_pod_has_no_token_and_few_rights(scene: Scene) -> None:
    assert scene.seen
    for spec in scene.seen.values():
        assert spec["automountServiceAccountToken"] is False
        assert not any({"secret", "projected", "configMap"} & set(volume) for volume in spec["volumes"])
        for container in spec["containers"]:
            assert container["securityContext"]["privileged"] is False
            assert not [each for each in container["volumeMounts"] if "serviceaccount" in each["mountPath"]]


def test_deleting_the_resource_cleans_the_node(scene: Scene) -> None:
    scene.kubectl("delete", "mnnc", "worker-1", "--timeout=30s")
    assert nics_of(scene.node) == {}
    assert scene.files() == []
    assert scene.left() == []
    assert [record for record in scene.controller.records() if record["level"] == "ERROR"] == []
    assert scene.controller.end() == 0
