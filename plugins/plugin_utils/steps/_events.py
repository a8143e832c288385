# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in a run, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ._plan import Planned


class Status(Enum):
    """How a task or one of its items ended on a host."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class PlayStarted:
    """A play, or the next batch of its hosts, begins."""

    name: str
    tasks: tuple[Planned, ...]
    check_mode: bool = False


@dataclass(frozen=True)
class TasksFound:
    """A host came upon a task that was not known; ``tasks`` became known with it, see :meth:`_plan.Plan.found`."""

    host: str
    task: Planned
    tasks: tuple[Planned, ...]
    after: str | None = None


@dataclass(frozen=True)
class TaskStarted:
    """A host starts a task. ``what`` says what it does, without anything secret."""

    host: str
    task: str
    name: str
    what: str
    prompts: bool = False
    """Whether it may ask the user something."""
    reports: bool = False
    """Whether it may write lines of its own when it runs on several hosts."""


@dataclass(frozen=True)
class Retried:
    """One attempt of several was not enough."""

    host: str
    task: str
    attempt: int
    attempts: int
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemEnded:
    """One item of a loop is done. ``label`` is None where it must not be shown."""

    host: str
    task: str
    label: str | None
    status: Status
    result: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DiffShown:
    """What a task changed, ready to be shown below its line."""

    host: str
    task: str
    text: str


@dataclass(frozen=True)
class TaskEnded:
    """A task is done on a host."""

    host: str
    task: str
    name: str
    status: Status
    result: Mapping[str, Any] = field(default_factory=dict)
    what: str | None = None
    """Replaces what was known when the task started."""
    place: str | None = None
    """Where it ran, if that is not the host."""
    changed: bool = False
    ignored: bool = False
    rescued: bool = False
    """Whether a ``rescue`` will take over from here."""
    handler: bool = False
    debug: bool = False
    include: bool = False
    check_mode: bool = False
    path: str | None = None
    """The file and line of the task."""


@dataclass(frozen=True)
class Said:
    """Something else that the user should read."""

    text: str
    important: bool = False


@dataclass(frozen=True)
class HostSummary:
    """What became of a host's tasks."""

    name: str
    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


@dataclass(frozen=True)
class RunEnded:
    """All plays are over."""

    hosts: tuple[HostSummary, ...]
    check_mode: bool = False


Event = PlayStarted | TasksFound | TaskStarted | Retried | ItemEnded | DiffShown | TaskEnded | Said | RunEnded
