# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A custom resource for tests of custom resources: it has a bit of everything that schemas can say."""

from __future__ import annotations

import copy
from typing import Any

from testbed.kube.store import clone

_SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["node"],
    "properties": {
        "node": {
            "type": "string",
            "minLength": 1,
            "maxLength": 63,
            "pattern": "^[a-z0-9.-]+$",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "node is immutable"}],
        },
        "mode": {"type": "string", "enum": ["fast", "safe"], "default": "safe"},
        "note": {"type": "string", "nullable": True, "maxLength": 20},
        "share": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string", "maxLength": 10}},
        "ports": {
            "type": "array",
            "maxItems": 3,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(a, self.exists_one(b, a.mac == b.mac))",
                    "message": "two ports have one MAC",
                }
            ],
            "items": {
                "type": "object",
                "required": ["id"],
                "properties": {
                    "id": {"type": "integer", "format": "int32", "minimum": 1},
                    "big": {"type": "integer", "format": "int64"},
                    "mac": {"type": "string", "format": "mac", "maxLength": 17, "default": "02:00:00:00:00:01"},
                    "address": {"type": "string", "format": "ipv4", "maxLength": 15},
                    "cidr": {"type": "string", "format": "cidr", "maxLength": 43},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                },
                "x-kubernetes-validations": [
                    {
                        "rule": "!has(self.address) || !has(self.cidr) || cidr(self.cidr).containsIP(ip(self.address))",
                        "messageExpression": "self.address + ' is not in ' + self.cidr",
                    },
                    {"rule": "!has(oldSelf.big) || self.big >= oldSelf.big", "message": "big only grows"},
                ],
            },
        },
    },
}
_STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {"state": {"type": "string"}, "observedGeneration": {"type": "integer", "format": "int64"}},
}

CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.org"},
    "spec": {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wdg"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Node", "type": "string", "jsonPath": ".spec.node"},
                    {"name": "State", "type": "string", "jsonPath": ".status.state"},
                    {"name": "Ports", "type": "string", "jsonPath": ".spec.ports[*].id", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "description": "A widget is a thing.",
                        "type": "object",
                        "properties": {"spec": _SPEC, "status": _STATUS},
                    }
                },
            }
        ],
    },
}


def crd(**spec: Any) -> dict[str, Any]:
    """Return a definition whose ``spec`` has these properties beside or instead of its own."""
    made = clone(CRD)
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] |= copy.deepcopy(spec)
    return made


def widget(name: str = "w", *, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a widget; ``node`` is there unless told otherwise."""
    return {
        "apiVersion": "example.org/v1",
        "kind": "Widget",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"node": "n1", **spec},
    }
