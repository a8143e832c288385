# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a context: name, type, whether it is the default, and whether a command can run there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from .._nearest import did_you_mean
from ._base import ContextError, ContextKind
from ._definition import CONTEXTS_GROUP, DEFAULT_GROUP

LOCAL = "local"
"""The context name that means the controller, whatever the inventory says."""


class Status(Enum):
    """Whether a context can be used."""

    READY = "ready"
    UNREACHABLE = "unreachable"
    INVALID = "invalid"
    """Its variables do not make a context; nothing was tried."""
    UNKNOWN = "unknown"
    """It was not tried."""


@dataclass(frozen=True)
class ContextStatus:
    """One context and how it is."""

    name: str
    kind: ContextKind | None
    default: bool
    status: Status = Status.UNKNOWN
    connection_time_ms: int | None = None
    """From the first step of the connection to the end of a command that does nothing."""
    reason: str | None = None
    """Why it cannot be used, and what to do about it."""

    def as_result(self) -> dict[str, object]:
        """Return it as a task returns it."""
        return {
            "name": self.name,
            "type": self.kind.value if self.kind else None,
            "default": self.default,
            "status": self.status.value,
            "connection_time_ms": self.connection_time_ms,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Known:
    """The names that an inventory knows."""

    hosts: Sequence[str]
    groups: Mapping[str, Sequence[str]]

    def select(self, asked: Sequence[str] | None) -> list[str]:
        """Return the hosts that are asked for by name or by group, each once.

        If None is asked for, these are all contexts, or all hosts of an inventory that has no group of contexts.
        Raises ContextError for a name that is not known, and if there is nothing at all.
        """
        if asked is None:
            everything = self.groups.get(CONTEXTS_GROUP) or self.hosts
            if not everything:
                raise _empty("*")
            return list(everything)
        return list(dict.fromkeys(host for name in asked for host in self._members(name)))

    def _members(self, name: str) -> Sequence[str]:
        if name == LOCAL or name in self.hosts:
            if name in self.groups:
                cause = "it is a host and a group as well"
                raise ContextError(name, "looking it up", cause, "Rename one of them.")
            return [name]
        if self.groups.get(name):
            return self.groups[name]
        if not self.hosts:
            raise _empty(name)
        if name == DEFAULT_GROUP:
            remedy = "Name a context, or mark one in the contexts file with 'default: true'."
            raise ContextError(name, "looking it up", "no context is the default", remedy)
        cause = "the inventory has no such host or group" if name not in self.groups else "the group is empty"
        raise unknown_context(name, cause, [*self.hosts, *self.groups])


def unknown_context(name: str, cause: str, known: Collection[str]) -> ContextError:
    """Return the error for a name that is no context, with the nearest of those that are."""
    remedy = did_you_mean(name, [*known, LOCAL]) or "Contexts are the hosts of the inventory, and 'local'."
    return ContextError(name, "looking it up", cause, remedy)


def _empty(name: str) -> ContextError:
    remedy = "Name a contexts file or another inventory with -i, and see what Ansible warns of."
    return ContextError(name, "looking it up", "the inventory has no host", remedy)


def table(statuses: Sequence[ContextStatus]) -> list[str]:
    """Return the lines of a table of contexts, its columns aligned."""
    rows = [("NAME", "TYPE", "DEFAULT", "STATUS"), *(_row(status) for status in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows]


def _row(status: ContextStatus) -> tuple[str, str, str, str]:
    said = status.status.value
    if status.connection_time_ms is not None:
        said += f" ({status.connection_time_ms} ms)"
    if status.reason:
        said += ": " + " ".join(status.reason.split())
    return (status.name, status.kind.value if status.kind else "-", "*" if status.default else "", said)
