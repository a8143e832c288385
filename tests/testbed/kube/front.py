# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API front: one HTTP server, the objects behind it, and what keeps them in step with a pod backend.

It proves nothing about the admission plugins or the scheduling of a real cluster, and what it knows of validation, RBAC
and garbage collection is ours: crd/, access.py and objects.py say what is left out. Not there: TLS on the port itself
(but see tls.py), server-side apply, paging, the schemas of built-in kinds, ``attach``, ephemeral containers, and
protobuf bodies (but for ``kubectl auth``), which the typed commands (``kubectl create namespace`` and the like) send:
give kubectl a manifest instead. An Event of core/v1 and one of events.k8s.io are two objects here.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.kube import kubeconfig
from testbed.kube.access import Access
from testbed.kube.api import Api, Subresource
from testbed.kube.backend import PodBackend
from testbed.kube.calls import Calls
from testbed.kube.defaults import NODE_NAME
from testbed.kube.errors import ApiError
from testbed.kube.faults import Faults
from testbed.kube.http_server import HttpServer
from testbed.kube.jobs import Jobs
from testbed.kube.kubelet import Kubelet
from testbed.kube.nodes import PodCollector
from testbed.kube.objects import Objects
from testbed.kube.pod_streams import PodStreams
from testbed.kube.resources import Registry
from testbed.kube.routing import Routing
from testbed.kube.store import Store
from testbed.kube.workloads import Workloads

if TYPE_CHECKING:
    from testbed.kube.tls import TlsFront

_NAMESPACES = ("default", "kube-system", "kube-public")


class Front:
    """A Kubernetes API on loopback whose pods a backend runs. Serves from its construction to close().

    ``websockets`` may be switched at any time; while it is off, WebSocket upgrades are refused with 400 and
    clients fall back to SPDY.
    """

    def __init__(self, backend: PodBackend, *, websockets: bool = True) -> None:
        self.backend = Routing(backend)
        self.websockets = websockets
        self.faults = Faults()
        self.objects = Objects(Store(), Registry())
        self._create_cluster()
        self._streams = PodStreams(self.objects, self.backend, self.faults, lambda: self.websockets)
        self.kubelet = Kubelet(self.objects, self.backend)
        self._controllers = (Workloads(self.objects), Jobs(self.objects), PodCollector(self.objects))
        subresources: dict[str, Subresource] = {
            "exec": self._streams.exec,
            "log": self._streams.log,
            "portforward": self._streams.port_forward,
        }
        self.access = Access(self.objects.store)
        self.calls = Calls()
        self._api = Api(self.objects, self.access, self.calls, subresources)
        self._server = HttpServer(self._api)
        self._port = self._server.port
        self._tls: TlsFront | None = None
        self._closed = False

    def _create_cluster(self) -> None:
        registry = self.objects.registry
        for name in _NAMESPACES:
            self.objects.create(registry.of_kind("Namespace", "v1"), None, {"metadata": {"name": name}})
        self.objects.create(registry.of_kind("Node", "v1"), None, {"metadata": {"name": NODE_NAME}})

    @property
    def url(self) -> str:
        """The URL of the API."""
        return f"http://127.0.0.1:{self._port}"

    def tls(self, directory: Path) -> TlsFront:
        """Return the way in by TLS, without which kubectl sends no token; it is opened at the first call."""
        from testbed.kube.tls import TlsFront  # late: the quickstart has no library for certificates

        if self._tls is None:
            self._tls = TlsFront(self._port, directory)
        return self._tls

    @property
    def authorizations(self) -> frozenset[str] | None:
        """The Authorization headers that let a request in; None for no check."""
        return self.access.authorizations

    @authorizations.setter
    def authorizations(self, headers: frozenset[str] | None) -> None:
        self.access.authorizations = headers

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self._port

    def kubeconfig(
        self, context: str = "testbed", namespace: str = "default", token: str | None = None
    ) -> dict[str, Any]:
        """Return a kubeconfig for this API; without a token it is the tests' own, which may do everything."""
        return kubeconfig.kubeconfig(self.url, context, namespace, token)

    def write_kubeconfig(
        self, path: Path, context: str = "testbed", namespace: str = "default", token: str | None = None
    ) -> Path:
        """Write a kubeconfig that only its owner may read; return its path."""
        return kubeconfig.write(path, self.kubeconfig(context, namespace, token))

    def stop_serving(self) -> None:
        """Let the API server be down: every connection ends, none is taken; objects, controllers and pods stay."""
        self._server.close()

    def start_serving(self) -> None:
        """Serve again, at the same port."""
        self._server = HttpServer(self._api, self._port)

    def close(self) -> None:
        """End every pod, connection and thread. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self.faults.clear()
        self.objects.store.close()
        for controller in self._controllers:
            controller.close()
        self.kubelet.close()
        with contextlib.suppress(ApiError):
            self.backend.close()
        if self._tls is not None:
            self._tls.close()
        self._server.close()
        self._streams.close()

    def __enter__(self) -> Front:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
