# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients ask about themselves: SelfSubjectAccessReview, SelfSubjectReview and TokenRequest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.kube.access import Access, Identity, Request
from testbed.kube.http_server import Exchange
from testbed.kube.protobuf import MEDIA_TYPE, access_review

REVIEWS = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}


def is_protobuf(exchange: Exchange) -> bool:
    """Return whether the body of a request is protobuf."""
    return exchange.headers.get("Content-Type", "").startswith(MEDIA_TYPE)


def review(access: Access, who: Identity, kind: str, exchange: Exchange) -> dict[str, Any]:
    """Answer a review of the one who asks."""
    if kind == "SelfSubjectReview":
        user = {"username": who.name, "groups": list(who.groups)}
        return {"apiVersion": "authentication.k8s.io/v1", "kind": kind, "metadata": {}, "status": {"userInfo": user}}
    body: dict[str, Any] = access_review(exchange.body) if is_protobuf(exchange) else exchange.json()
    wanted = (body.get("spec") or {}).get("resourceAttributes")
    allowed = True  # what is no resource (discovery, health) everybody may read
    if wanted is not None:
        part = wanted.get("subresource")
        resource = wanted.get("resource", "") + (f"/{part}" if part else "")
        asked = Request(
            wanted.get("verb", ""),
            wanted.get("group", ""),
            resource,
            wanted.get("namespace", ""),
            wanted.get("name", ""),
        )
        allowed = access.allows(who, asked)
    return {**body, "metadata": body.get("metadata") or {}, "status": {"allowed": allowed}}


def token_request(access: Access, name: str, namespace: str, exchange: Exchange) -> dict[str, Any]:
    """Answer a TokenRequest; the token holds until its service account is deleted, whatever is asked for."""
    body: dict[str, Any] = {} if is_protobuf(exchange) else exchange.json()
    seconds = (body.get("spec") or {}).get("expirationSeconds") or 3600
    until = (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": name, "namespace": namespace},
        "spec": body.get("spec") or {},
        "status": {"token": access.issue(name, namespace), "expirationTimestamp": until},
    }
