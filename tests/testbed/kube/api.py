# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a URL to an operation on objects: the REST side of the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testbed.kube import discovery, scale
from testbed.kube.errors import ApiError, bad_request, method_not_allowed
from testbed.kube.http_server import Exchange
from testbed.kube.objects import Objects
from testbed.kube.patch import apply_patch
from testbed.kube.resources import Resource
from testbed.kube.selector import Match, field_selector, label_selector
from testbed.kube.store import Obj
from testbed.kube.watch import watch


@dataclass(frozen=True)
class Target:
    """What a resource URL points at; ``name`` and ``part`` (the subresource) are empty if not in the URL."""

    resource: Resource
    namespace: str | None
    name: str
    part: str


Subresource = Callable[[Exchange, Target], None]


def selection(exchange: Exchange) -> Match:
    """Return the predicate of the request's label and field selectors."""
    by_label = label_selector(exchange.parameter("labelSelector"))
    by_field = field_selector(exchange.parameter("fieldSelector"))
    return lambda obj: by_label(obj) and by_field(obj)


class Api:
    """Answers requests; ``subresources`` are the pod's ``exec``, ``log`` and ``portforward``, given by the front."""

    def __init__(self, objects: Objects, subresources: dict[str, Subresource]) -> None:
        self._objects = objects
        self._subresources = subresources
        self.authorizations: frozenset[str] | None = None
        """The Authorization headers that let a request in; None lets every one in."""

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request; raise ApiError for what is refused."""
        if self.authorizations is not None and exchange.headers.get("Authorization") not in self.authorizations:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        parts = [part for part in exchange.path.split("/") if part]
        document = self._document(parts)
        if document is not None:
            exchange.send_json(200, document)
        elif parts and parts[0] in ("healthz", "livez", "readyz"):
            exchange.send(200, b"ok", "text/plain")
        else:
            self._resource(exchange, self._target(exchange.path, parts))

    def _document(self, parts: list[str]) -> dict[str, Any] | None:
        registry = self._objects.registry
        match parts:
            case ["version"]:
                return discovery.VERSION
            case ["api"]:
                return discovery.core_versions()
            case ["apis"]:
                return discovery.group_list(registry)
            case ["api", version]:
                return discovery.resource_list(registry, "", version)
            case ["apis", group]:
                return discovery.group(registry, group)
            case ["apis", group, version]:
                return discovery.resource_list(registry, group, version)
            case _:
                return None

    def _target(self, path: str, parts: list[str]) -> Target:
        match parts:
            case ["api", version, *rest]:
                group = ""
            case ["apis", group, version, *rest]:
                pass
            case _:
                rest = []
        namespace = None
        if len(rest) >= 3 and rest[0] == "namespaces" and rest[2] not in ("status", "finalize"):
            _kind, namespace, *rest = rest
        if rest and len(rest) <= 3:
            plural, name, part, *_more = [*rest, "", ""]
            resource = self._objects.registry.find(group, version, plural)
            if resource is not None and (not part or part in resource.subresources):
                return Target(resource, namespace, name, part)
        raise ApiError(404, "NotFound", f"the server could not find the requested resource ({path})")

    def _resource(self, exchange: Exchange, target: Target) -> None:
        if target.part in self._subresources:
            self._subresources[target.part](exchange, target)
        elif target.part == "scale":
            self._scale(exchange, target)
        elif target.name:
            self._object(exchange, target)
        else:
            self._collection(exchange, target)

    def _collection(self, exchange: Exchange, target: Target) -> None:
        if exchange.method == "GET" and exchange.flag("watch"):
            watch(exchange, self._objects, target.resource, target.namespace, selection(exchange))
        elif exchange.method == "GET":
            exchange.send_json(200, self._list(exchange, target))
        elif exchange.method == "POST":
            body = self._body(exchange, target)
            exchange.send_json(201, self._objects.create(target.resource, target.namespace, body))
        elif exchange.method == "DELETE":
            listed = self._list(exchange, target)
            for obj in listed["items"]:
                self._delete(exchange, target, obj["metadata"].get("namespace"), obj["metadata"]["name"])
            exchange.send_json(200, listed)
        else:
            raise method_not_allowed(exchange.method, exchange.path)

    def _list(self, exchange: Exchange, target: Target) -> Obj:
        resource, selected = target.resource, selection(exchange)
        found, revision = self._objects.store.items(resource.group, resource.plural, target.namespace)
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(revision)},
            "items": [self._objects.in_version(resource, obj) for obj in found if selected(obj)],
        }

    def _object(self, exchange: Exchange, target: Target) -> None:
        resource, namespace, name = target.resource, target.namespace, target.name
        if exchange.method == "GET" and exchange.flag("watch"):
            watch(exchange, self._objects, resource, namespace, lambda obj: obj["metadata"]["name"] == name)
            return
        if exchange.method == "GET":
            answer = self._objects.get(resource, namespace, name)
        elif exchange.method == "PUT":
            body = self._body(exchange, target)
            answer = self._objects.replace(resource, namespace, name, body, target.part)
        elif exchange.method == "PATCH":
            answer = self._patch(exchange, target)
        elif exchange.method == "DELETE" and not target.part:
            answer = self._delete(exchange, target, namespace, name)
        else:
            raise method_not_allowed(exchange.method, exchange.path)
        exchange.send_json(200, answer)

    def _patch(self, exchange: Exchange, target: Target) -> Obj:
        content_type, patch = exchange.headers.get("Content-Type", ""), exchange.json()

        def change(obj: Obj) -> None:
            patched = apply_patch(content_type, obj, patch)
            wanted = patched.get("metadata", {}).get("resourceVersion")
            if wanted not in (None, obj["metadata"]["resourceVersion"]):
                raise ApiError(409, "Conflict", f"the resourceVersion in the patch of {target.name!r} is not current")
            obj.clear()
            obj.update(patched)

        return self._objects.change(target.resource, target.namespace, target.name, change, target.part)

    def _delete(self, exchange: Exchange, target: Target, namespace: str | None, name: str) -> Obj:
        options = exchange.json() if exchange.body else {}
        grace = options.get("gracePeriodSeconds", exchange.parameter("gracePeriodSeconds"))
        policy = options.get("propagationPolicy") or exchange.parameter("propagationPolicy")
        return self._objects.delete(
            target.resource,
            namespace,
            name,
            grace_seconds=None if grace in ("", None) else int(grace),
            orphan=policy == "Orphan" or bool(options.get("orphanDependents")),
            uid=(options.get("preconditions") or {}).get("uid"),
        )

    def _scale(self, exchange: Exchange, target: Target) -> None:
        resource, namespace, name = target.resource, target.namespace, target.name
        if exchange.method == "PUT":
            replicas = scale.replicas_of(exchange.json())
        elif exchange.method == "PATCH":
            current = scale.scale_of(self._objects.get(resource, namespace, name))
            replicas = scale.replicas_of(
                apply_patch(exchange.headers.get("Content-Type", ""), current, exchange.json())
            )
        elif exchange.method == "GET":
            replicas = None
        else:
            raise method_not_allowed(exchange.method, exchange.path)
        if replicas is not None:
            self._objects.change(resource, namespace, name, lambda obj: obj["spec"].update(replicas=replicas))
        exchange.send_json(200, scale.scale_of(self._objects.get(resource, namespace, name)))

    def _body(self, exchange: Exchange, target: Target) -> Obj:
        content_type = exchange.headers.get("Content-Type", "application/json").partition(";")[0].strip()
        if content_type != "application/json":
            raise ApiError(
                415,
                "UnsupportedMediaType",
                f"the test bed reads JSON, not {content_type}; use a manifest with kubectl create -f or apply -f",
            )
        body = exchange.json()
        if not isinstance(body, dict):
            raise bad_request("the body of the request is not an object")
        kind = body.get("kind", target.resource.kind)
        if kind != target.resource.kind:
            raise bad_request(f"{kind!r} does not belong at {exchange.path}")
        return body
