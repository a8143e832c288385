# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The discovery documents by which clients learn what the API serves."""

from __future__ import annotations

from typing import Any

from testbed.kube.resources import Registry, Resource

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
# What `kubectl version` shows; the minor version is the newest whose clients were tried against the front.
VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0-testbed",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def core_versions() -> dict[str, Any]:
    """The document at ``/api``."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(registry: Registry) -> dict[str, Any]:
    """The document at ``/apis``."""
    names = dict.fromkeys(resource.group for resource in registry.all() if resource.group)
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(registry, name) for name in names]}


def group(registry: Registry, name: str) -> dict[str, Any] | None:
    """The document at ``/apis/<group>``, or None if there is no such group."""
    found = _group(registry, name)
    return {"kind": "APIGroup", "apiVersion": "v1", **found} if found["versions"] else None


def _group(registry: Registry, name: str) -> dict[str, Any]:
    versions = dict.fromkeys(resource.version for resource in registry.all() if resource.group == name)
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0] if listed else None}


def resource_list(registry: Registry, group_name: str, version: str) -> dict[str, Any] | None:
    """The document at ``/api/v1`` or ``/apis/<group>/<version>``, or None if there is no such version."""
    found = [r for r in registry.all() if (r.group, r.version) == (group_name, version)]
    if not found:
        return None
    entries = [entry for resource in found for entry in _entries(resource)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found[0].api_version,
        "resources": entries,
    }


def _entries(resource: Resource) -> list[dict[str, Any]]:
    main = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": VERBS,
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
    }
    return [main, *(_subresource(resource, name) for name in sorted(resource.subresources))]


def _subresource(resource: Resource, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": ["get", "patch", "update"],
    }
    if name == "scale":
        entry |= {"kind": "Scale", "group": "autoscaling", "version": "v1"}
    elif name in ("exec", "portforward"):
        entry |= {"kind": f"Pod{'Exec' if name == 'exec' else 'PortForward'}Options", "verbs": ["create", "get"]}
    elif name == "log":
        entry["verbs"] = ["get"]
    return entry
