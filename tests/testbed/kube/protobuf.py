# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of Kubernetes' protobuf as the reviews of ``kubectl auth`` need: typed clients send nothing else.

The envelope is ``k8s\\0`` and a ``runtime.Unknown`` (apimachinery, pkg/runtime/generated.proto).
"""

from __future__ import annotations

from typing import Any

from testbed.kube.errors import bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_ATTRIBUTES = {
    1: "namespace",
    2: "verb",
    3: "group",
    4: "version",
    5: "resource",
    6: "subresource",
    7: "name",
}


def fields(data: bytes) -> dict[int, bytes | int]:
    """Return the fields of a message by number, the last one where there are several; raise a 400 ApiError."""
    found: dict[int, bytes | int] = {}
    at = 0
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            number, kind = tag >> 3, tag & 7
            value, at = _varint(data, at)
            if kind == 2:
                found[number], at = data[at : at + value], at + value
            elif kind == 0:
                found[number] = value
            else:
                raise ValueError(f"wire type {kind}")
    except (IndexError, ValueError) as exc:
        raise bad_request(f"the body of the request is not protobuf that the test bed reads: {exc}") from exc
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def message(body: bytes) -> dict[int, bytes | int]:
    """Return the fields of the object in a request's body."""
    if not body.startswith(_MAGIC):
        raise bad_request("the body of the request has no protobuf envelope")
    return fields(_bytes(fields(body[len(_MAGIC) :]), 2))


def access_review(body: bytes) -> dict[str, Any]:
    """Return a SelfSubjectAccessReview as JSON has it."""
    spec = fields(_bytes(message(body), 2))
    made: dict[str, Any] = {}
    if 1 in spec:
        wanted = fields(_bytes(spec, 1))
        made["resourceAttributes"] = {name: _bytes(wanted, number).decode() for number, name in _ATTRIBUTES.items()}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": made}


def _bytes(message: dict[int, bytes | int], number: int) -> bytes:
    value = message.get(number, b"")
    return value if isinstance(value, bytes) else b""
