# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as the Kubernetes API reports them: an HTTP code and a ``v1.Status`` body."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One of the reasons why an object is refused, as ``metav1.StatusCause`` has it."""

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class ApiError(Exception):
    """A request the API refuses; ``reason`` is one of the ``metav1.StatusReason`` names."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after: int | None = None
        """Seconds that the client is told to wait, by the header Retry-After."""

    def status(self) -> dict[str, Any]:
        """Return the ``v1.Status`` that a client is shown."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            **({} if self.details is None else {"details": self.details}),
            "code": self.code,
        }


def _details(what: str, name: str) -> dict[str, Any]:
    plural, _dot, group = what.partition(".")
    return {"name": name, **({"group": group} if group else {}), "kind": plural}


def not_found(what: str, name: str) -> ApiError:
    """No object of this name; ``what`` is the plural resource name."""
    return ApiError(404, "NotFound", f'{what} "{name}" not found', _details(what, name))


def already_exists(what: str, name: str) -> ApiError:
    """An object of this name is there already."""
    return ApiError(409, "AlreadyExists", f'{what} "{name}" already exists', _details(what, name))


def conflict(what: str, name: str) -> ApiError:
    """The client's resourceVersion is no longer the object's."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {what} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        _details(what, name),
    )


def forbidden(what: str, name: str, why: str) -> ApiError:
    """Whoever asks may not; ``what`` is the plural resource name."""
    shown = f'{what} "{name}"' if name else what
    return ApiError(403, "Forbidden", f"{shown} is forbidden: {why}", _details(what, name))


def bad_request(message: str) -> ApiError:
    """The request itself makes no sense."""
    return ApiError(400, "BadRequest", message)


def invalid(message: str) -> ApiError:
    """The object in the request breaks a rule."""
    return ApiError(422, "Invalid", message)


def invalid_object(group: str, kind: str, name: str, causes: Iterable[Cause]) -> ApiError:
    """The object in the request breaks these rules."""
    listed = list(causes)
    texts = [str(cause) for cause in listed]
    shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = {
        "name": name,
        "group": group,
        "kind": kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in listed],
    }
    qualified = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{qualified} "{name}" is invalid: {shown}', details)


def method_not_allowed(method: str, path: str) -> ApiError:
    """The path exists but not for this verb."""
    return ApiError(405, "MethodNotAllowed", f"the server does not allow {method} on {path}")


def gone(message: str) -> ApiError:
    """The resourceVersion asked for is older than the history kept."""
    return ApiError(410, "Expired", message)
