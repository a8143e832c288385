# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, as ``kubectl get`` asks for them: the columns of a definition, and those of the built-in kinds used here."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from testbed.kube.http_server import Exchange
from testbed.kube.resources import Resource
from testbed.kube.store import Obj

Cells = Callable[[Obj], list[Any]]
_STEP = re.compile(
    r"\.(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>\*|\d+)\]|\[\?\(@\.(?P<key>[\w.]+)\s*==\s*[\"'](?P<value>[^\"']*)[\"']\)\]|\['(?P<quoted>[^']+)'\]"
)


def wants_table(exchange: Exchange) -> bool:
    """Return whether the client would rather have a Table."""
    first = exchange.headers.get("Accept", "").split(",")[0]
    return "as=Table" in first and "g=meta.k8s.io" in first


def table(resource: Resource, objs: list[Obj], revision: int | str, exchange: Exchange, *, headers: bool = True) -> Obj:
    """Return the Table of some objects."""
    columns, cells = _columns(resource)
    include = exchange.parameter("includeObject", "Metadata")
    rows = [{"cells": cells(obj), **_object(obj, include)} for obj in objs]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(revision)},
        "columnDefinitions": columns if headers else None,
        "rows": rows,
    }


def _object(obj: Obj, include: str) -> dict[str, Any]:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": obj}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    return {"object": partial}


def _column(name: str, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    form = "name" if name == "Name" else ""
    return {"name": name, "type": kind, "format": form, "description": name, "priority": priority}


def _columns(resource: Resource) -> tuple[list[dict[str, Any]], Cells]:
    if resource.definition is not None and resource.definition.columns:
        return _defined(resource.definition.columns)
    known = _BUILT_IN.get((resource.group, resource.plural))
    names, cells = known or ((), lambda _obj: [])
    names = names if known else ("Age",)
    columns = [_column("Name"), *(_column(name.rstrip("+"), priority=int(name.endswith("+"))) for name in names)]
    return columns, lambda obj: [obj["metadata"]["name"], *cells(obj)] if known else [obj["metadata"]["name"], age(obj)]


def _defined(columns: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], Cells]:
    described = [_column("Name")]
    for column in columns:
        shown = _column(column["name"], column["type"], column.get("priority", 0))
        described.append({**shown, "format": column.get("format", ""), "description": column.get("description", "")})

    def cell(column: dict[str, Any], obj: Obj) -> Any:
        found = find(obj, column["jsonPath"])
        if not found or found[0] is None:
            return None
        if column["type"] == "date":
            return since(str(found[0]))
        if column["type"] == "string":
            return ",".join(value if isinstance(value, str) else _go(value) for value in found)
        return found[0]

    return described, lambda obj: [obj["metadata"]["name"], *(cell(column, obj) for column in columns)]


def _go(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def find(obj: Any, path: str) -> list[Any]:
    """Return what a JSONPath of a printer column finds: names, ``[*]``, ``[0]``, ``[?(@.type=="Ready")]``."""
    found, at = [obj], 0
    for step in _STEP.finditer(path):
        if step.start() != at:
            break
        at = step.end()
        found = [below for value in found for below in _below(value, step)]
    return found if at == len(path) else []


def _below(value: Any, step: re.Match[str]) -> list[Any]:
    name = step["name"] or step["quoted"]
    if name is not None:
        return [value[name]] if isinstance(value, dict) and name in value else []
    if not isinstance(value, list):
        return []
    if step["index"] is not None:
        return value if step["index"] == "*" else value[int(step["index"]) :][:1]
    return [item for item in value if isinstance(item, dict) and str(item.get(step["key"])) == step["value"]]


def since(moment: str) -> str:
    """Return how long ago a time was, as kubectl shows it."""
    try:
        seconds = int((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except ValueError:
        return "<invalid>"
    for unit, size, most in (("s", 1, 120), ("m", 60, 180 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{max(0, seconds) // size}{unit}"
    return f"{seconds // 86400}d"


def age(obj: Obj) -> str:
    """Return the age of an object."""
    return since(obj["metadata"]["creationTimestamp"])


def _pod(pod: Obj) -> list[Any]:
    status = pod.get("status", {})
    containers = status.get("containerStatuses", [])
    ready = sum(bool(container.get("ready")) for container in containers)
    shown = status.get("reason") or status.get("phase", "")
    for container in containers:
        state = container.get("state", {})
        for kind in ("waiting", "terminated"):
            shown = state.get(kind, {}).get("reason") or shown
    if "deletionTimestamp" in pod["metadata"]:
        shown = "Terminating"
    spec = pod["spec"]
    total = f"{ready}/{len(spec['containers'])}"
    return [total, shown, 0, age(pod), status.get("podIP", "<none>"), spec.get("nodeName", "<none>")]


def _node(node: Obj) -> list[Any]:
    ready = find(node, '.status.conditions[?(@.type=="Ready")].status')
    shown = {"True": "Ready", "False": "NotReady"}.get(ready[0] if ready else "", "NotReady")
    if node["spec"].get("unschedulable"):
        shown += ",SchedulingDisabled"
    prefix = "node-role.kubernetes.io/"
    roles = [label.removeprefix(prefix) for label in node["metadata"].get("labels", {}) if label.startswith(prefix)]
    info = node["status"].get("nodeInfo", {})
    address = find(node, '.status.addresses[?(@.type=="InternalIP")].address')
    version = info.get("kubeletVersion", "")
    return [
        shown,
        ",".join(sorted(roles)) or "<none>",
        age(node),
        version,
        (address or ["<none>"])[0],
        info.get("osImage", ""),
    ]


def _job(job: Obj) -> list[Any]:
    status = job.get("status", {})
    ended = [c["type"] for c in status.get("conditions", ()) if c["status"] == "True"]
    shown = next((kind for kind in ("Complete", "Failed", "FailureTarget") if kind in ended), "Running")
    if job["spec"].get("suspend"):
        shown = "Suspended"
    duration = ""
    if "startTime" in status:
        until = status.get("completionTime")
        start = datetime.fromisoformat(status["startTime"])
        seconds = ((datetime.fromisoformat(until) if until else datetime.now(UTC)) - start).total_seconds()
        duration = f"{int(seconds)}s"
    return [shown, f"{status.get('succeeded', 0)}/{job['spec'].get('completions', 1)}", duration, age(job)]


def _event(event: Obj) -> list[Any]:
    regarding = event.get("involvedObject") or event.get("regarding") or {}
    last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    about = f"{regarding.get('kind', '').lower()}/{regarding.get('name', '')}"
    return [since(last), event.get("type"), event.get("reason"), about, event.get("message") or event.get("note")]


def _deployment(obj: Obj) -> list[Any]:
    status = obj.get("status", {})
    ready = f"{status.get('readyReplicas', 0)}/{obj['spec'].get('replicas', 1)}"
    return [ready, status.get("updatedReplicas", 0), status.get("availableReplicas", 0), age(obj)]


_BUILT_IN: dict[tuple[str, str], tuple[tuple[str, ...], Cells]] = {
    ("", "pods"): (("Ready", "Status", "Restarts", "Age", "IP+", "Node+"), _pod),
    ("", "nodes"): (("Status", "Roles", "Age", "Version", "Internal-IP+", "OS-Image+"), _node),
    ("", "namespaces"): (("Status", "Age"), lambda obj: [obj["status"].get("phase"), age(obj)]),
    ("", "events"): (("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    ("events.k8s.io", "events"): (("Last Seen", "Type", "Reason", "Object", "Message"), _event),
    ("batch", "jobs"): (("Status", "Completions", "Duration", "Age"), _job),
    ("apps", "deployments"): (("Ready", "Up-to-date", "Available", "Age"), _deployment),
    ("coordination.k8s.io", "leases"): (
        ("Holder", "Age"),
        lambda obj: [obj.get("spec", {}).get("holderIdentity"), age(obj)],
    ),
}
"""A plus at the end of a name: only in wide output."""
