# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The front with a backend of choice, as tests and the quickstart use it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.kube.backend import PodBackend
from testbed.kube.faults import Faults
from testbed.kube.front import Front
from testbed.kube.process_backend import ProcessBackend
from testbed.kube.store import Obj


@dataclass(frozen=True)
class PodHandle:
    """A pod that runs; ``root`` is its private directory where the backend has one to show."""

    name: str
    namespace: str
    container: str
    root: Path | None


class NotReady(Exception):
    """A pod did not become ready; the text says what it was doing instead."""


def _backend(kind: str, workdir: Path) -> PodBackend:
    if kind == "process":
        return ProcessBackend(workdir)
    if kind == "cri":
        from testbed.kube.cri import CriBackend  # it needs root and gRPC, which the embedded tier has not

        return CriBackend()
    raise ValueError(f"unknown pod backend {kind!r}: choose process or cri")


class Kube:
    """A Kubernetes API with pods; runs from its construction to close(), also as a context manager."""

    def __init__(self, backend: str | PodBackend = "process", *, workdir: Path, websockets: bool = True) -> None:
        """Start with the named backend (``process`` or ``cri``) or one that is there already."""
        runner = _backend(backend, workdir) if isinstance(backend, str) else backend
        self.front = Front(runner, websockets=websockets)

    @property
    def url(self) -> str:
        """The URL of the API."""
        return self.front.url

    @property
    def faults(self) -> Faults:
        """The faults that are injected into exec streams."""
        return self.front.faults

    @property
    def authorizations(self) -> frozenset[str] | None:
        """The Authorization headers that let a request in; None, as at first, lets every one in."""
        return self.front.authorizations

    @authorizations.setter
    def authorizations(self, headers: frozenset[str] | None) -> None:
        self.front.authorizations = headers

    @property
    def websockets(self) -> bool:
        """Whether WebSocket upgrades are accepted; may be set at any time."""
        return self.front.websockets

    @websockets.setter
    def websockets(self, accepted: bool) -> None:
        self.front.websockets = accepted

    def kubeconfig(
        self, context: str = "testbed", namespace: str = "default", token: str | None = None
    ) -> dict[str, Any]:
        """Return a kubeconfig as a dict."""
        return self.front.kubeconfig(context, namespace, token)

    def write_kubeconfig(
        self, path: Path, context: str = "testbed", namespace: str = "default", token: str | None = None
    ) -> Path:
        """Write a kubeconfig and return its path."""
        return self.front.write_kubeconfig(path, context, namespace, token)

    def create(self, obj: Obj) -> Obj:
        """Create an object, in the namespace it names or in ``default``."""
        resource = self.front.objects.registry.of_kind(obj["kind"], obj.get("apiVersion"))
        return self.front.objects.create(resource, obj.get("metadata", {}).get("namespace"), obj)

    def get(self, kind: str, name: str, namespace: str = "default") -> Obj:
        """Return an object; raise ApiError (404)."""
        return self.front.objects.get(self.front.objects.registry.of_kind(kind), namespace, name)

    def delete(self, kind: str, name: str, namespace: str = "default", *, grace_seconds: int | None = None) -> None:
        """Delete an object; a pod's end is not awaited."""
        resource = self.front.objects.registry.of_kind(kind)
        self.front.objects.delete(resource, namespace, name, grace_seconds=grace_seconds)

    def wait_ready(self, name: str, namespace: str = "default", timeout: float = 60) -> Obj:
        """Wait until a pod is ready and return it; raise NotReady after ``timeout`` seconds or if it has ended."""
        deadline = time.monotonic() + timeout
        store = self.front.objects.store
        while True:
            revision = store.revision
            pod = self.get("Pod", name, namespace)
            status = pod.get("status", {})
            if any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())):
                return pod
            remaining = deadline - time.monotonic()
            if remaining <= 0 or status.get("phase") in ("Succeeded", "Failed"):
                raise NotReady(f"pod {namespace}/{name} is {status.get('phase')}: {status.get('message') or status}")
            store.events_after(revision, remaining)

    def pod(
        self,
        name: str | None = None,
        namespace: str = "default",
        containers: list[dict[str, Any]] | None = None,
        labels: dict[str, str] | None = None,
        image: str | None = None,
        timeout: float = 60,
    ) -> PodHandle:
        """Create a pod and wait until it is ready.

        It has one container ``main`` that stays up, unless told otherwise; without a name it gets one of its own.
        """
        wanted = containers or [{"name": "main"}]
        for container in wanted:
            container.setdefault("image", image or "testbed")
        called = {"name": name} if name is not None else {"generateName": "pod-"}
        created = self.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**called, "namespace": namespace, "labels": labels or {}},
                # A test does not want to wait the usual 30 s for a process that ignores SIGTERM.
                "spec": {"containers": wanted, "terminationGracePeriodSeconds": 1},
            }
        )
        metadata = created["metadata"]
        self.wait_ready(metadata["name"], namespace, timeout)
        root = self.front.backend.root(metadata["uid"])
        return PodHandle(metadata["name"], namespace, wanted[0]["name"], root)

    def close(self) -> None:
        """End everything. May be called twice."""
        self.front.close()

    def __enter__(self) -> Kube:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
