# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipeline did, as the task returns it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepResult:
    """One step; counts in bytes, times in milliseconds."""

    name: str
    context: str
    type: str
    """The kind of context: local, ssh or kubernetes."""
    rc: int | None
    """Exit status of the command; None if it is not known."""
    stderr: str
    bytes_in: int | None
    bytes_out: int | None
    connection_time_ms: int | None
    """From starting the transport to the readiness of the command."""
    proof: str | None
    """What shows that the step finished: ``marker``, ``unneeded`` (its reader had enough), or None."""


@dataclass(frozen=True)
class SinkResult:
    """One destination."""

    step: str
    context: str
    path: str
    bytes: int
    checksum: str | None
    committed: bool
    changed: bool


@dataclass(frozen=True)
class PipelineResult:
    """A pipeline that ran."""

    operation_id: str
    duration_ms: int
    changed: bool
    steps: tuple[StepResult, ...]
    sinks: tuple[SinkResult, ...] = ()
    """The destinations that are proven."""
    destinations: int = 0
    """How many destinations were asked for."""
    failed_step: str | None = None
    msg: str | None = None
    passing: bool = False
    """Whether what it failed for may be gone when it is run again."""
    stdout: str | None = None
    stdout_cut: bool = False
    attempts: int = 1
    """How often the pipeline was begun."""
    diff: tuple[dict[str, str], ...] = ()
    """What the destinations hold before and after, for Ansible to show."""
    warnings: tuple[str, ...] = field(default=())

    def as_task_result(self) -> dict[str, Any]:
        """Return the dictionary that Ansible registers."""
        result: dict[str, Any] = {
            "operation_id": self.operation_id,
            "duration_ms": self.duration_ms,
            "changed": self.changed,
            "failed": self.failed_step is not None,
            "failed_step": self.failed_step,
            "steps": [asdict(step) for step in self.steps],
            "sinks": [asdict(sink) for sink in self.sinks],
        }
        if self.msg is not None:
            result["msg"] = self.msg
        if self.stdout is not None:
            result["stdout"] = self.stdout
            result["stdout_lines"] = self.stdout.splitlines()
            result["stdout_cut"] = self.stdout_cut
        if self.attempts > 1:
            result["attempts"] = self.attempts
        if self.diff:
            result["diff"] = list(self.diff)
        if self.destinations == len(self.sinks) == 1:
            result["bytes"] = self.sinks[0].bytes
            result["checksum"] = self.sinks[0].checksum
        if self.warnings:
            result["warnings"] = list(self.warnings)
        return result
