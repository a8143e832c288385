# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``/openapi/v3``: what kubectl reads before it applies or explains.

The schemas of custom resources are their definitions'; those of built-in kinds say only that they are objects.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from testbed.kube.resources import Registry, Resource

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_METADATA: dict[str, Any] = {
    "type": "object",
    "description": "ObjectMeta is metadata that all persisted resources must have.",
    "properties": {
        "name": {"type": "string"},
        "generateName": {"type": "string"},
        "namespace": {"type": "string"},
        "uid": {"type": "string"},
        "resourceVersion": {"type": "string"},
        "generation": {"type": "integer", "format": "int64"},
        "creationTimestamp": {"type": "string", "format": "date-time"},
        "deletionTimestamp": {"type": "string", "format": "date-time"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "items": {"type": "object"}},
    },
}
_WORDS = {
    "apiVersion": {"type": "string", "description": "The versioned schema of this representation of an object."},
    "kind": {"type": "string", "description": "The REST resource this object represents."},
}
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string"}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


def index(registry: Registry) -> dict[str, Any]:
    """The document at ``/openapi/v3``."""
    paths = dict.fromkeys(_path(resource) for resource in registry.all())
    return {
        "paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(registry, path)}"} for path in paths}
    }


def document(registry: Registry, path: str) -> dict[str, Any] | None:
    """The document of one group and version, or None if there is no such."""
    found = [resource for resource in registry.all() if _path(resource) == path]
    if not found:
        return None
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {_META: _METADATA}
    for resource in found:
        schemas[_name(resource)] = _schema(resource)
        paths |= _paths(resource, path)
    return {
        "openapi": "3.0.0",
        "info": {"title": "testbed", "version": "v1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _hash(registry: Registry, path: str) -> str:
    return hashlib.sha256(json.dumps(document(registry, path), sort_keys=True).encode()).hexdigest()[:16]


def _path(resource: Resource) -> str:
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


def _name(resource: Resource) -> str:
    group = ".".join(reversed((resource.group or "core.api.k8s.io").split(".")))
    return f"{group}.{resource.version}.{resource.kind}"


def _kind(resource: Resource) -> dict[str, str]:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schema(resource: Resource) -> dict[str, Any]:
    own: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if resource.definition is not None:
        own = resource.definition.schema
    metadata = {"allOf": [{"$ref": f"#/components/schemas/{_META}"}], "description": "Standard object's metadata."}
    properties = {**_WORDS, "metadata": metadata, **_without_metadata(own.get("properties") or {})}
    return {**own, "properties": properties, "x-kubernetes-group-version-kind": [_kind(resource)]}


def _without_metadata(properties: dict[str, Any]) -> dict[str, Any]:
    return {name: schema for name, schema in properties.items() if name not in ("apiVersion", "kind", "metadata")}


def _paths(resource: Resource, path: str) -> dict[str, Any]:
    base = f"/{path}/namespaces/{{namespace}}" if resource.namespaced else f"/{path}"
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{_name(resource)}"}}}

    def operation(verb: str) -> dict[str, Any]:
        return {
            "parameters": _PARAMETERS if verb in ("post", "put", "patch") else [],
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-action": verb,
            "x-kubernetes-group-version-kind": _kind(resource),
        }

    collection, one = f"{base}/{resource.plural}", f"{base}/{resource.plural}/{{name}}"
    return {
        collection: {verb: operation(verb) for verb in ("get", "post")},
        one: {verb: operation(verb) for verb in ("get", "put", "patch", "delete")},
    }
