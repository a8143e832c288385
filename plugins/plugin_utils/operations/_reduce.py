# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a record keeps of a task: the fields that are known to be harmless, and their texts without secrets.

What is not named here is left out, such as what a last command printed, or a difference that was shown.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._record import Operation, OperationOutcome
from ._scrub import Scrubber

TEXT_LIMIT = 4096
"""Characters of a message, from its beginning, and of an error output, from its end."""


class _Is(enum.Enum):
    """The type of a field, and how it is made harmless. Each may be null."""

    FLAG = enum.auto()
    COUNT = enum.auto()
    STATUS = enum.auto()
    NAME = enum.auto()
    MESSAGE = enum.auto()
    OUTPUT = enum.auto()


_STEP = {
    "name": _Is.NAME,
    "context": _Is.NAME,
    "type": _Is.NAME,
    "rc": _Is.STATUS,
    "stderr": _Is.OUTPUT,
    "bytes_in": _Is.COUNT,
    "bytes_out": _Is.COUNT,
    "connection_time_ms": _Is.COUNT,
    "proof": _Is.NAME,
}
_SINK = {
    "step": _Is.NAME,
    "context": _Is.NAME,
    "path": _Is.NAME,
    "bytes": _Is.COUNT,
    "checksum": _Is.NAME,
    "committed": _Is.FLAG,
    "changed": _Is.FLAG,
}
_LISTS = {"steps": _STEP, "sinks": _SINK}
_RESULT = {
    "changed": _Is.FLAG,
    "msg": _Is.MESSAGE,
    "duration_ms": _Is.COUNT,
    "failed_step": _Is.NAME,
    "attempts": _Is.COUNT,
    "bytes": _Is.COUNT,
    "checksum": _Is.NAME,
}
_TRANSFER = {
    "src": _Is.NAME,
    "dest": _Is.NAME,
    "files": _Is.COUNT,
    "links": _Is.COUNT,
    "directories": _Is.COUNT,
    "attributes": _Is.COUNT,
    "deleted": _Is.COUNT,
    "unchanged": _Is.COUNT,
    "excluded": _Is.COUNT,
    "rate": _Is.COUNT,
    "retries": _Is.COUNT,
    "streams": _Is.COUNT,
    "resumed": _Is.COUNT,
    "compress": _Is.NAME,
}
"""What only transfers have."""
_TRANSFERS = ("manifold.core.transfer",)


@dataclass(frozen=True)
class TaskRun:
    """A task on one host, or one item of its loop, as Ansible tells of it."""

    action: str
    task: str
    host: str
    outcome: OperationOutcome
    delegated_to: str | None = None
    check_mode: bool = False
    no_log: bool = False
    ignored: bool = False
    """Whether its failure does not end the play (``ignore_errors``)."""
    result: Mapping[str, Any] = field(default_factory=dict)


def operation_of(run: TaskRun, scrubber: Scrubber) -> Operation:
    """Return what the record of a run keeps of a task of ours."""
    identity = None if run.no_log else run.result.get("operation_id")
    delegated_to = None if run.no_log else run.delegated_to
    ran = run.outcome not in (OperationOutcome.SKIPPED, OperationOutcome.UNREACHABLE)
    return {
        "operation_id": identity if isinstance(identity, str) else None,
        "action": run.action,
        "task": scrubber.name(run.task),
        "host": scrubber.name(run.host),
        "delegated_to": scrubber.name(delegated_to) if delegated_to else None,
        "outcome": run.outcome.value,
        "ignored": run.ignored,
        "no_log": run.no_log,
        "check_mode": run.check_mode,
        "result": _reduce(run, scrubber) if ran and not run.no_log else None,
    }


def _reduce(run: TaskRun, scrubber: Scrubber) -> dict[str, Any]:
    result = run.result
    known = {**_RESULT, **(_TRANSFER if run.action in _TRANSFERS else {})}
    kept: dict[str, Any] = {
        name: _harmless(result[name], kind, scrubber) for name, kind in known.items() if name in result
    }
    for name, fields in _LISTS.items():
        if isinstance(result.get(name), (list, tuple)):
            kept[name] = [
                {key: _harmless(each.get(key), kind, scrubber) for key, kind in fields.items()}
                for each in result[name]
                if isinstance(each, Mapping)
            ]
    return kept


def _harmless(value: Any, kind: _Is, scrubber: Scrubber) -> bool | int | str | None:
    if kind is _Is.FLAG:
        return value if isinstance(value, bool) else None
    if kind in (_Is.COUNT, _Is.STATUS):
        number = isinstance(value, int) and not isinstance(value, bool)
        return value if number and (value >= 0 or kind is _Is.STATUS) else None
    if not isinstance(value, str):
        return None
    if kind is _Is.NAME:
        return scrubber.name(value)
    clean = scrubber.text(value)  # before it is cut, since a part of a secret is not recognised
    return clean[:TEXT_LIMIT] if kind is _Is.MESSAGE else clean[-TEXT_LIMIT:]
