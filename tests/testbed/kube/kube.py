# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The front with a backend of choice, as tests and the quickstart use it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.kube import kubeconfig
from testbed.kube.backend import PodBackend
from testbed.kube.calls import Calls
from testbed.kube.errors import ApiError
from testbed.kube.faults import Faults
from testbed.kube.front import Front
from testbed.kube.nodes import TestNode
from testbed.kube.objects import ref_of
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
        self._workdir = workdir
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
    def calls(self) -> Calls:
        """The calls that were made, by client, verb and resource, and the faults of single calls."""
        return self.front.calls

    def token(self, service_account: str, namespace: str = "default") -> str:
        """Return a token of a service account, which must be there; it may do what roles bound to it allow."""
        return self.front.access.issue(service_account, namespace)

    def service_account_kubeconfig(self, path: Path, service_account: str, namespace: str = "default") -> Path:
        """Write a kubeconfig with a new token of a service account; it leads over TLS, or kubectl sends no token."""
        tls = self.front.tls(self._workdir)
        token = self.token(service_account, namespace)
        document = kubeconfig.kubeconfig(tls.url, "testbed", namespace, token, tls.certificate)
        return kubeconfig.write(path, document)

    def expire_watches(self) -> None:
        """End every watch with 410 Gone, and forget the history: earlier resourceVersions are too old from now on."""
        self.front.objects.store.forget()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Let the API server be down for a while; it comes back at the same port with all it held."""
        self.front.stop_serving()
        try:
            yield
        finally:
            self.front.start_serving()

    def restart(self) -> None:
        """Restart the API server: every connection ends."""
        with self.down():
            pass

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

    def create(self, obj: Obj, *, validate: bool = True) -> Obj:
        """Create an object, in the namespace it names or in ``default``.

        :param validate: whether schema and rules are looked at. The library for rules takes some 50 ms for a resource
            with three NICs, so who fills a simulation with a thousand of them may leave it out.
        """
        resource = self.front.objects.registry.of_kind(obj["kind"], obj.get("apiVersion"))
        return self.front.objects.create(resource, obj.get("metadata", {}).get("namespace"), obj, validate=validate)

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

    def node(
        self,
        name: str,
        *,
        ready: bool = True,
        labels: dict[str, str] | None = None,
        backend: PodBackend | None = None,
        **info: str,
    ) -> TestNode:
        """Create a Node; ``info`` is of its ``nodeInfo``, such as ``systemUUID`` and ``osImage``.

        :param backend: what runs its pods, if not what runs all others; it is closed with the API.
        """
        if backend is not None:
            self.front.backend.route(name, backend)
        status = {"nodeInfo": info}
        metadata = {"name": name, "labels": labels or {}}
        self.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status})
        node = TestNode(self.front.objects, self.front.kubelet, name)
        if not ready:
            node.set_ready(False)
        return node

    def kill(self, pod: str, namespace: str = "default", container: str = "") -> None:
        """Send SIGKILL to a container of a pod, or to all of them; what becomes of the pod is not awaited."""
        self.front.backend.kill(self.get("Pod", pod, namespace)["metadata"]["uid"], container)

    def wait(
        self,
        kind: str,
        name: str,
        until: Callable[[Obj | None], bool],
        namespace: str = "default",
        timeout: float = 60,
    ) -> Obj | None:
        """Wait until an object (None while there is none) is as wanted, and return it; raise NotReady."""
        resource = self.front.objects.registry.of_kind(kind)
        store, deadline = self.front.objects.store, time.monotonic() + timeout
        while True:
            revision = store.revision
            found = store.read(ref_of(resource, namespace, name))
            if until(found):
                return found
            if time.monotonic() >= deadline:
                raise NotReady(f"{kind} {namespace}/{name} is not as wanted after {timeout:g} s: {found}")
            with contextlib.suppress(ApiError):
                store.events_after(revision, deadline - time.monotonic())

    def close(self) -> None:
        """End everything. May be called twice."""
        self.front.close()

    def __enter__(self) -> Kube:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
