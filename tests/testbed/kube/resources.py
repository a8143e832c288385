# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resource types the API serves: the built-in ones and those that CRDs add at run time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testbed.kube.crd import Definition


@dataclass(frozen=True)
class Resource:
    """One resource type in one API version, as an ``APIResource`` describes it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = field(default_factory=frozenset)
    definition: Definition | None = field(default=None, compare=False)
    """What a custom resource's definition makes of its objects."""

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified_name(self) -> str:
        """The name that error messages use, such as ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


RBAC = "rbac.authorization.k8s.io"
_STATUS = frozenset({"status"})
_SCALED = frozenset({"status", "scale"})
_POD = frozenset({"status", "exec", "log", "portforward"})

BUILT_IN: tuple[Resource, ...] = (
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",), subresources=_STATUS),
    Resource("", "v1", "nodes", "Node", False, ("no",), subresources=_STATUS),
    Resource("", "v1", "pods", "Pod", True, ("po",), ("all",), _POD),
    Resource("", "v1", "services", "Service", True, ("svc",), ("all",), _STATUS),
    Resource("", "v1", "endpoints", "Endpoints", True, ("ep",)),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",), subresources=frozenset({"token"})),
    Resource("", "v1", "events", "Event", True, ("ev",)),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",), subresources=_STATUS),
    Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",), ("all",), _SCALED),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), ("all",), _SCALED),
    Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), ("all",), _SCALED),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), ("all",), _STATUS),
    Resource("batch", "v1", "jobs", "Job", True, (), ("all",), _STATUS),
    Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, ("pdb",), subresources=_STATUS),
    Resource("events.k8s.io", "v1", "events", "Event", True, ("ev",)),
    Resource(RBAC, "v1", "roles", "Role"),
    Resource(RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource(
        "apiextensions.k8s.io",
        "v1",
        "customresourcedefinitions",
        "CustomResourceDefinition",
        False,
        ("crd", "crds"),
        subresources=_STATUS,
    ),
)


def resources_of_crd(crd: dict[str, Any]) -> list[Resource]:
    """Return one Resource for every served version of a ``v1.CustomResourceDefinition``."""
    from testbed.kube.crd import definitions  # late: only who defines resources needs its libraries

    spec = crd["spec"]
    names, known = spec["names"], definitions(crd)
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec.get("scope", "Namespaced") == "Namespaced",
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            subresources=frozenset(version.get("subresources", {})) & _SCALED,
            definition=known[version["name"]],
        )
        for version in spec.get("versions", [])
        if version.get("served", True)
    ]


class Registry:
    """The resource types that exist now. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._resources: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str | None], Resource] = {}
        for resource in BUILT_IN:
            self.add(resource)

    def all(self) -> list[Resource]:
        """Return every resource type, built-in ones first."""
        with self._lock:
            return list(self._resources.values())

    def add(self, resource: Resource) -> None:
        """Serve a resource type from now on, in place of an equal one."""
        with self._lock:
            self._resources[(resource.group, resource.version, resource.plural)] = resource
            self._by_kind.clear()

    def discard(self, group: str, plural: str) -> None:
        """Stop serving every version of a resource type."""
        with self._lock:
            for key in [key for key in self._resources if (key[0], key[2]) == (group, plural)]:
                del self._resources[key]
            self._by_kind.clear()

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource type under a URL, or None."""
        with self._lock:
            return self._resources.get((group, version, plural))

    def of_kind(self, kind: str, api_version: str | None = None) -> Resource:
        """Return the resource type of a kind (or plural or short name); raise KeyError if there is none."""
        with self._lock:
            known = self._by_kind.get((kind, api_version))
            if known is None:
                known = self._by_kind[(kind, api_version)] = self._search(kind, api_version)
            return known

    def _search(self, kind: str, api_version: str | None) -> Resource:
        for resource in self._resources.values():
            names = {resource.kind, resource.kind.lower(), resource.plural, *resource.short_names}
            if kind in names and api_version in (None, resource.api_version):
                return resource
        raise KeyError(f"no resource of kind {kind!r} in {api_version or 'any API version'}")
