# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a URL to an operation on objects: the REST side of the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testbed.kube import discovery, openapi, scale
from testbed.kube.access import Access, Identity, Request
from testbed.kube.calls import Call, Calls, Reset, pause
from testbed.kube.errors import ApiError, bad_request, conflict, method_not_allowed
from testbed.kube.http_server import Exchange
from testbed.kube.objects import Objects
from testbed.kube.patch import apply_patch
from testbed.kube.resources import Resource
from testbed.kube.reviews import REVIEWS, review, token_request
from testbed.kube.selector import Match, field_selector, label_selector
from testbed.kube.store import Obj
from testbed.kube.tables import table, wants_table
from testbed.kube.watch import watch


@dataclass(frozen=True)
class Target:
    """What a resource URL points at; ``name`` and ``part`` (the subresource) are empty if not in the URL."""

    resource: Resource
    namespace: str | None
    name: str
    part: str


_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_BY_NAME = re.compile(r"(?:^|,)metadata\.name==?([^,]+)")
_REASONS = {
    409: "Conflict",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}

Subresource = Callable[[Exchange, Target], None]


def selection(exchange: Exchange) -> Match:
    """Return the predicate of the request's label and field selectors."""
    by_label = label_selector(exchange.parameter("labelSelector"))
    by_field = field_selector(exchange.parameter("fieldSelector"))
    return lambda obj: by_label(obj) and by_field(obj)


class Api:
    """Answers requests; ``subresources`` are the pod's ``exec``, ``log`` and ``portforward``, given by the front."""

    def __init__(self, objects: Objects, access: Access, calls: Calls, subresources: dict[str, Subresource]) -> None:
        self._objects = objects
        self._access = access
        self._calls = calls
        self._subresources = {**subresources, "token": self._token}

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request; raise ApiError for what is refused."""
        who = self._access.identify(exchange.headers.get("Authorization"), exchange.headers.get("Impersonate-User"))
        parts = [part for part in exchange.path.split("/") if part]
        document = self._document(parts)
        if document is not None:
            exchange.send_json(200, document)
        elif parts and parts[0] in ("healthz", "livez", "readyz"):
            exchange.send(200, b"ok", "text/plain")
        elif tuple(parts[1:]) in REVIEWS and exchange.method == "POST":
            kind = REVIEWS[(parts[1], parts[2], parts[3])]
            exchange.send_json(201, review(self._access, who, kind, exchange))
        else:
            target = self._target(exchange.path, parts)
            self._admit(exchange, who, target)
            self._resource(exchange, target)

    def _admit(self, exchange: Exchange, who: Identity, target: Target) -> None:
        """Count the call, let the faults that wait for it strike, and raise 403 if it is not allowed."""
        wanted = _request(exchange, target)
        agent = exchange.headers.get("User-Agent", "")
        exchange.on_answer = self._calls.answered
        faults = self._calls.claim(Call(who.name, agent, wanted.verb, wanted.resource, wanted.namespace, wanted.name))
        pause(faults)
        for fault in faults:
            if fault.reset is not None:
                exchange.lose_answer()
            if fault.reset is Reset.BEFORE:
                exchange.start(500, {})
            if fault.code is not None:
                refusal = ApiError(fault.code, _REASONS.get(fault.code, "InternalError"), "a fault of the test bed")
                refusal.retry_after = fault.retry_after
                raise refusal
        self._access.require(who, wanted)

    def _token(self, exchange: Exchange, target: Target) -> None:
        token = token_request(self._access, target.name, target.namespace or "default", exchange)
        exchange.send_json(201, token)

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
            case ["openapi", "v3"]:
                return openapi.index(registry)
            case ["openapi", "v3", *rest]:
                return openapi.document(registry, "/".join(rest))
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
            _check_fields(exchange, target, body)
            exchange.send_json(
                201, self._objects.create(target.resource, target.namespace, body, dry_run=_dry(exchange))
            )
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
        items = [self._objects.in_version(resource, obj) for obj in found if selected(obj)]
        if exchange.method == "GET" and wants_table(exchange):
            return table(resource, items, revision, exchange)
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(revision)},
            "items": items,
        }

    def _object(self, exchange: Exchange, target: Target) -> None:
        resource, namespace, name = target.resource, target.namespace, target.name
        if exchange.method == "GET" and exchange.flag("watch"):
            watch(exchange, self._objects, resource, namespace, lambda obj: obj["metadata"]["name"] == name)
            return
        if exchange.method == "GET":
            answer = self._objects.get(resource, namespace, name)
            if wants_table(exchange):
                answer = table(resource, [answer], answer["metadata"]["resourceVersion"], exchange)
        elif exchange.method == "PUT":
            body = self._body(exchange, target)
            _check_fields(exchange, target, body)
            answer = self._objects.replace(resource, namespace, name, body, target.part, dry_run=_dry(exchange))
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
                raise conflict(target.resource.qualified_name, target.name)
            _check_fields(exchange, target, patched)
            obj.clear()
            obj.update(patched)

        return self._objects.change(
            target.resource, target.namespace, target.name, change, target.part, dry_run=_dry(exchange)
        )

    def _delete(self, exchange: Exchange, target: Target, namespace: str | None, name: str) -> Obj:
        options = exchange.json() if exchange.body else {}
        if options.get("dryRun") or _dry(exchange):
            return self._objects.get(target.resource, namespace, name)
        grace = options.get("gracePeriodSeconds", exchange.parameter("gracePeriodSeconds"))
        policy = options.get("propagationPolicy") or exchange.parameter("propagationPolicy")
        if not policy and "orphanDependents" not in options and target.resource.kind == "Job":
            policy = "Orphan"  # for old clients' sake a real server leaves the pods of a Job, too
        preconditions = options.get("preconditions") or {}
        return self._objects.delete(
            target.resource,
            namespace,
            name,
            grace_seconds=None if grace in ("", None) else int(grace),
            orphan=policy == "Orphan" or bool(options.get("orphanDependents")),
            foreground=policy == "Foreground",
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
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


def _dry(exchange: Exchange) -> bool:
    return exchange.parameter("dryRun") == "All"


def _check_fields(exchange: Exchange, target: Target, obj: Obj) -> None:
    """Refuse fields that no schema knows, if the client asks for that."""
    if exchange.parameter("fieldValidation") == "Strict" and target.resource.definition is not None:
        target.resource.definition.refuse_unknown_fields(obj)


def _request(exchange: Exchange, target: Target) -> Request:
    """Return what a call wants, in the words of RBAC."""
    resource, part, name = target.resource, target.part, target.name
    if exchange.method == "GET" and not part and (exchange.flag("watch") or not name):
        verb = "watch" if exchange.flag("watch") else "list"
        found = _BY_NAME.search(exchange.parameter("fieldSelector"))
        name = name or (found.group(1) if found else "")
    elif part in ("exec", "portforward", "token"):
        verb = "create"
    elif exchange.method == "DELETE" and not name:
        verb = "deletecollection"
    else:
        verb = _VERBS.get(exchange.method, "")
    plural = f"{resource.plural}/{part}" if part else resource.plural
    # A Namespace is in itself, as far as RBAC is concerned.
    namespace = name if resource.kind == "Namespace" else target.namespace or ""
    return Request(verb, resource.group, plural, namespace, name)
