# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of the test bed with the shipped controller as a process, over HTTP, with the shipped rights.

The agents are stubs: a function says what each pod would have done. What is shown is the controlling, not NICs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster import _summary
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import from_result, write

from testbed.inventory import REPOSITORY
from testbed.kube import Kube
from testbed.kube.errors import ApiError
from testbed.kube.stub_backend import Outcome, StubBackend

CRD = REPOSITORY / "roles/multinic_cluster/files/multinicnodeconfigs.multinic.io.yml"
RBAC = REPOSITORY / "roles/multinic_cluster/files/controller_rbac.yml"
NAMESPACE = "multinic"
KIND = "MultiNicNodeConfig"
ACCOUNT = "multinic-controller"
CLIENT = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
UP = Outcome(exit_code=None)
_COLLECTIONS = str(Path(_summary.__file__).parents[6])
Obj = dict[str, Any]


class Nursery:
    """Starts controllers whose imports are done already, as forks of one process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "integration.controller_nursery"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([_COLLECTIONS, *sys.path])}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def start(self, environment: dict[str, str], log: Path) -> int:
        """Start one and return its process id."""
        pid: int = self._ask({"environment": environment, "log": str(log)})
        return pid

    def poll(self, pid: int) -> int | None:
        """Return the exit code of one, None while it runs; it may be given once only."""
        code: int | None = self._ask({"wait": pid})
        return code

    def close(self) -> None:
        """End; those that it started must have ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, request: Obj) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


class Controller:
    """The controller as a process; its log is a file of JSON lines."""

    def __init__(self, nursery: Nursery, kubeconfig: Path, log: Path, **settings: str) -> None:
        """Start; ``settings`` are what is given as ``MULTINIC_`` variables."""
        given = {
            "image": "agent:1",
            "namespace": NAMESPACE,
            "listen": "127.0.0.1:0",
            "identity": "controller-0",
            "max_failing": "100%",
            "writes_per_second": "1000",
            **settings,
        }
        environment = {"KUBECONFIG": str(kubeconfig)}
        environment.update({f"MULTINIC_{name.upper()}": value for name, value in given.items()})
        self.log = log
        log.touch()
        self._nursery = nursery
        self._code: int | None = None
        self.pid = nursery.start(environment, log)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self._code is None:
            self._code = self._nursery.poll(self.pid)
        return self._code

    def wait(self, seconds: float = 30) -> int:
        """Wait for its end and return the exit code."""
        end = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < end, "the controller has not ended"
            time.sleep(0.01)
        assert self._code is not None
        return self._code

    def records(self) -> Iterator[Obj]:
        """Yield what this process has logged so far."""
        with self.log.open("rb") as found:
            for line in found:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def wait_for(self, message: str, seconds: float = 30) -> Obj:
        """Wait until it logs a message that begins so, and return the record."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for record in self.records():
                if str(record.get("message", "")).startswith(message):
                    return record
            if self.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {message!r} (exit code {self.poll()}): {self.log.read_text()[-3000:]}")

    def ask(self, page: str) -> tuple[int, str]:
        """Return the code and the text of a page of the controller's own server."""
        port = self.wait_for("listening")["port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    def kill(self) -> None:
        """Send SIGKILL; may be called from any thread, it asks nobody."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self, seconds: float = 30) -> int:
        """Send SIGTERM, and return the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait(seconds)

    def close(self) -> None:
        """See to it that it is gone."""
        if self.poll() is None:
            self.kill()
            self.wait()


class Cluster:
    """An API with Nodes, and controllers that are started when wanted.

    :ivar agents: what the agent of a node does, if not what it is asked to, by name of the node.
    :ivar ran: the tasks that agents were started for.
    """

    def __init__(
        self, folder: Path, nursery: Nursery, nodes: int = 3, seconds: float = 0.0, crd: Obj | None = None
    ) -> None:
        """Begin.

        :param seconds: how long an agent takes.
        :param crd: the definition, if not the shipped one.
        """
        self.folder = folder
        self._nursery = nursery
        self.agents: dict[str, Callable[[Obj], Outcome]] = {}
        self.ran: list[str] = []
        self.seconds = seconds
        self.kube = Kube(StubBackend(self._agent), workdir=folder)
        self._controllers: list[Controller] = []
        self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        self.kube.create(crd or yaml.safe_load(CRD.read_text()))
        for manifest in yaml.safe_load(RBAC.read_text())["items"]:
            self.kube.create(manifest)
        self.nodes = {
            name: self.kube.node(name, systemUUID=uuid(number).upper(), osImage="Ubuntu 24.04.2 LTS")
            for number, name in ((number, f"node-{number}") for number in range(1, nodes + 1))
        }
        token = self.kube.token(ACCOUNT, NAMESPACE)
        self.kubeconfig = self.kube.write_kubeconfig(folder / "kubeconfig", token=token, namespace=NAMESPACE)

    def start(self, **settings: str) -> Controller:
        """Start a controller."""
        log = self.folder / f"log-{len(self._controllers)}"
        found = Controller(self._nursery, self.kubeconfig, log, **settings)
        self._controllers.append(found)
        return found

    def _agent(self, pod: Obj) -> Outcome:
        env = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        task, spec = Task(env["AGENT_ACTION"]), json.loads(env["AGENT_SPEC"])
        node = pod["spec"]["nodeName"]
        self.ran.append(f"{task.value} {node}")
        if node in self.agents:
            return self.agents[node](spec)
        return report(task, spec, seconds=self.seconds)

    def config(self, number: int, **spec: Any) -> str:
        """Create a resource for a node, and return its name."""
        name = f"node-{number}"
        wanted = {"nodeName": name, "instanceId": uuid(number), "interfaces": interfaces(number, 2), **spec}
        metadata = {"name": name, "namespace": NAMESPACE}
        self.kube.create({"apiVersion": "multinic.io/v1alpha1", "kind": KIND, "metadata": metadata, "spec": wanted})
        return name

    def change(self, name: str, **spec: Any) -> int:
        """Change the spec of a resource; return its generation."""
        resource = self.kube.front.objects.registry.of_kind(KIND)
        self.kube.front.objects.change(resource, NAMESPACE, name, lambda obj: obj["spec"].update(spec))
        generation: int = self.kube.get(KIND, name, NAMESPACE)["metadata"]["generation"]
        return generation

    def wait_state(self, name: str, state: str, generation: int | None = None, seconds: float = 30) -> Obj:
        """Wait until ``status.state`` is so, of a generation if one is given, and return the status."""

        def fits(obj: Obj | None) -> bool:
            status = (obj or {}).get("status") or {}
            right = generation in (None, status.get("observedGeneration"))
            return bool(right and status.get("state") == state)

        found = self.kube.wait(KIND, name, fits, NAMESPACE, seconds)
        assert found is not None
        status: Obj = found["status"]
        return status

    def wait_gone(self, name: str, seconds: float = 30) -> None:
        """Wait until a resource is gone."""
        self.kube.wait(KIND, name, lambda obj: obj is None, NAMESPACE, seconds)

    def ready(self, name: str) -> tuple[str, str]:
        """Return status and reason of the condition Ready."""
        status = self.kube.get(KIND, name, NAMESPACE)["status"]
        (found,) = (each for each in status["conditions"] if each["type"] == "Ready")
        return found["status"], found["reason"]

    def jobs(self) -> list[Obj]:
        """Return the Jobs that there are."""
        return self.kube.front.objects.store.items("batch", "jobs")[0]

    def close(self) -> None:
        """End everything."""
        for controller in self._controllers:
            controller.close()
        with contextlib.suppress(ApiError):
            self.kube.close()


def uuid(number: int) -> str:
    """Return the systemUUID of a node."""
    return f"3d2b6c1e-0000-4000-8000-{number:012d}"


def interfaces(number: int, count: int) -> list[Obj]:
    """Return what is wanted of a node."""
    high, low = divmod(number, 250)
    return [
        {"id": each, "macAddress": f"fa:16:3e:{high:02x}:{low:02x}:{each:02x}", "mtu": 1450}
        | {"address": f"10.{each}.{high}.{low + 1}", "cidr": f"10.{each}.0.0/16"}
        for each in range(1, count + 1)
    ]


def report(task: Task, spec: Obj, failing: str = "", seconds: float = 0.0) -> Outcome:
    """Return how an agent ends that has configured all but the NIC of one MAC address."""
    found = [
        {"id": each["id"], "name": f"multinic{each['id'] - 1}", "state": "failed", "reason": f"no NIC has {failing}"}
        if each["macAddress"] == failing
        else {"id": each["id"], "name": f"multinic{each['id'] - 1}", "state": "configured", "reason": None}
        for each in spec["interfaces"]
    ]
    summary = write(from_result(task, spec["generation"], {"interfaces": found}, None))
    return Outcome(2 if failing else 0, summary, seconds)
