# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WATCH requests: the initial state, then every change, as one JSON document per line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from testbed.kube.errors import ApiError, gone
from testbed.kube.http_server import Exchange
from testbed.kube.objects import Objects
from testbed.kube.resources import Resource
from testbed.kube.selector import Match
from testbed.kube.store import Event, Obj
from testbed.kube.tables import table, wants_table

# How often a quiet watch looks whether its client is still there.
_CHECK_SECONDS = 0.5
# A real server sends bookmarks about once a minute.
_BOOKMARK_SECONDS = 5.0


def watch(exchange: Exchange, objects: Objects, resource: Resource, namespace: str | None, selected: Match) -> None:
    """Answer a WATCH until the client leaves, its timeoutSeconds pass or the API closes."""
    chunk = exchange.start_chunks("application/json")
    send = _Lines(chunk, (lambda obj: _row(resource, obj, exchange)) if wants_table(exchange) else None)
    epoch = objects.store.epoch
    try:
        revision = _start(exchange, objects, resource, namespace, selected, send)
        _follow(exchange, objects, resource, (revision, epoch), _view(resource, namespace, selected), send)
    except ApiError as exc:
        send("ERROR", exc.status())
    chunk(b"")


class _Lines:
    """Sends events, a line of JSON each."""

    def __init__(self, chunk: Callable[[bytes], None], shape: Callable[[Obj], Obj] | None) -> None:
        self._chunk = chunk
        self.shape = shape
        """What makes another form of objects, such as a Table."""

    def __call__(self, kind: str, obj: Obj) -> None:
        if self.shape is not None and kind not in ("ERROR", "BOOKMARK"):
            obj = self.shape(obj)
        self.raw(kind, json.dumps(obj, separators=(",", ":")).encode())

    def raw(self, kind: str, obj: bytes) -> None:
        """Send an object that is JSON already."""
        self._chunk(b'{"type":"%b","object":%b}\n' % (kind.encode(), obj))


def _start(
    exchange: Exchange,
    objects: Objects,
    resource: Resource,
    namespace: str | None,
    selected: Match,
    send: _Lines,
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


def _row(resource: Resource, obj: Obj, exchange: Exchange) -> Obj:
    return table(resource, [obj], obj["metadata"]["resourceVersion"], exchange)


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
    start: tuple[int, int],
    kind_of: Callable[[Event], str | None],
    send: _Lines,
) -> None:
    revision, epoch = start
    store, bookmarks = objects.store, exchange.flag("allowWatchBookmarks")
    seconds = float(exchange.parameter("timeoutSeconds") or "inf")
    deadline, marked, known = time.monotonic() + seconds, time.monotonic(), revision
    while not store.closed:
        remaining = deadline - time.monotonic()
        for event in store.events_after(revision, max(0.0, min(_CHECK_SECONDS, remaining))):
            revision = event.revision
            if kind := kind_of(event):
                known = revision
                if event.obj.get("apiVersion") == resource.api_version and send.shape is None:
                    send.raw(kind, event.json)
                else:
                    send(kind, objects.in_version(resource, event.obj))
        if store.epoch != epoch:
            raise gone(f"too old resource version: {revision}")
        ends = exchange.client_left() or remaining <= 0
        if bookmarks and revision > known and (ends or time.monotonic() - marked >= _BOOKMARK_SECONDS):
            send("BOOKMARK", _bookmark(resource, revision, {}))
            marked, known = time.monotonic(), revision
        exchange.flush()
        if ends:
            return
