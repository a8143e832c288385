# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WATCH requests: the initial state, then every change, as one JSON document per line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from testbed.kube.errors import ApiError
from testbed.kube.http_server import Exchange
from testbed.kube.objects import Objects
from testbed.kube.resources import Resource
from testbed.kube.selector import Match
from testbed.kube.store import Event, Obj

# How often a quiet watch looks whether its client is still there.
_CHECK_SECONDS = 0.5


def watch(exchange: Exchange, objects: Objects, resource: Resource, namespace: str | None, selected: Match) -> None:
    """Answer a WATCH until the client leaves, its timeoutSeconds pass or the API closes."""
    chunk = exchange.start_chunks("application/json")
    send = _line_sender(chunk)
    try:
        revision = _start(exchange, objects, resource, namespace, selected, send)
        _follow(exchange, objects, resource, revision, _view(resource, namespace, selected), send)
    except ApiError as exc:
        send("ERROR", exc.status())
    chunk(b"")


def _line_sender(chunk: Callable[[bytes], None]) -> Callable[[str, Obj], None]:
    def send(kind: str, obj: Obj) -> None:
        chunk(json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n")

    return send


def _start(
    exchange: Exchange,
    objects: Objects,
    resource: Resource,
    namespace: str | None,
    selected: Match,
    send: Callable[[str, Obj], None],
) -> int:
    """Send the state there is, unless the client has it already; return the revision to go on from."""
    known = exchange.parameter("resourceVersion", "0") or "0"
    with_initial_events = exchange.flag("sendInitialEvents")
    if known != "0" and not with_initial_events:
        if not known.isdigit():
            raise ApiError(400, "BadRequest", f"invalid resourceVersion {known!r}")
        return int(known)
    found, revision = objects.store.items(resource.group, resource.plural, namespace)
    for obj in found:
        if selected(obj):
            send("ADDED", objects.in_version(resource, obj))
    if with_initial_events:
        send("BOOKMARK", _bookmark(resource, revision, {"k8s.io/initial-events-end": "true"}))
    return revision


def _bookmark(resource: Resource, revision: int, annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": resource.kind,
        "apiVersion": resource.api_version,
        "metadata": {"resourceVersion": str(revision), "annotations": annotations},
    }


def _view(resource: Resource, namespace: str | None, selected: Match) -> Callable[[Event], str | None]:
    """Return what names an event's type as this watch sees it: an object that stops matching is deleted for it."""

    def kind_of(event: Event) -> str | None:
        ref = event.ref
        if (ref.group, ref.plural) != (resource.group, resource.plural) or namespace not in (None, ref.namespace):
            return None
        matches = selected(event.obj)
        matched = event.old is not None and selected(event.old)
        if event.type == "DELETED":
            return "DELETED" if matched else None
        if matches:
            return "MODIFIED" if matched else "ADDED"
        return "DELETED" if matched else None

    return kind_of


def _follow(
    exchange: Exchange,
    objects: Objects,
    resource: Resource,
    revision: int,
    kind_of: Callable[[Event], str | None],
    send: Callable[[str, Obj], None],
) -> None:
    for event in _events(exchange, objects, revision):
        if kind := kind_of(event):
            send(kind, objects.in_version(resource, event.obj))


def _events(exchange: Exchange, objects: Objects, revision: int) -> Iterator[Event]:
    seconds = float(exchange.parameter("timeoutSeconds") or "inf")
    deadline = time.monotonic() + seconds
    while not objects.store.closed:
        remaining = deadline - time.monotonic()
        events = objects.store.events_after(revision, max(0.0, min(_CHECK_SECONDS, remaining)))
        yield from events
        if events:
            revision = events[-1].revision
        exchange.flush()
        if exchange.client_left() or remaining <= 0:
            return
