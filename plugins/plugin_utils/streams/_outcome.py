# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns what is known of the parts of a pipeline into its result."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from ._part import Part, Proof, StepFailed
from ._pump import CapturePump
from ._result import PipelineResult, StepResult


@dataclass(frozen=True)
class Report:
    """What is known of a run as a whole."""

    operation: str
    duration_ms: int
    attempts: int
    check_mode: bool
    diff: bool


def skipped(operation: str, creates: str) -> PipelineResult:
    """Return the result of a pipeline that did not run because ``creates`` exists."""
    msg = f"nothing was done: {creates} exists"
    return PipelineResult(operation, duration_ms=0, changed=False, steps=(), msg=msg)


def build(
    report: Report,
    parts: Sequence[Part],
    failure: StepFailed | None,
    stdout: CapturePump | None,
    warnings: Sequence[str],
) -> PipelineResult:
    """Return the result of a pipeline that ran, or could not."""
    sinks = tuple(part.written for part in parts if part.written)
    destinations = sum(part.is_sink for part in parts)
    failures = [part.failure for part in parts if part.failure and part.failure is not failure]
    return PipelineResult(
        operation_id=report.operation,
        duration_ms=report.duration_ms,
        changed=any(sink.changed for sink in sinks) or (failure is None and (report.check_mode or not destinations)),
        steps=tuple(_step(part) for part in parts),
        sinks=sinks,
        destinations=destinations,
        failed_step=failure.step.name if failure else None,
        msg="; ".join(str(each) for each in [failure, *failures]) if failure else None,
        passing=failure is not None and failure.passing,
        stdout=stdout.captured.decode(errors="replace") if stdout else None,
        stdout_cut=stdout.cut if stdout else False,
        attempts=report.attempts,
        diff=tuple(_diff(part, report.check_mode) for part in parts if part.is_sink) if report.diff else (),
        warnings=tuple(warnings),
    )


def _step(part: Part) -> StepResult:
    pump = part.stage.pump
    before = part.writer.stage.pump if part.writer else None
    ready = part.stage.ready_after
    mark = part.stage.mark if part.proof is not Proof.UNNEEDED else None
    return StepResult(
        name=part.step.name,
        context=part.context.name,
        type=part.context.kind.value,
        rc=mark.rc if mark else None,
        stderr=part.stage.stderr,
        bytes_in=before.moved if before and pump else None,
        bytes_out=pump.moved if pump and not part.is_sink else None,
        connection_time_ms=None if ready is None else round(ready * 1000),
        proof=part.proof.value if part.proof else None,
    )


def _diff(part: Part, check_mode: bool) -> dict[str, str]:
    """Return size, checksum and time of a destination, before and after."""
    name = f"{part.context.name}:{part.step.dest}"
    size, _space, rest = next(iter(part.stage.notes.get("old", [])), "").partition(" ")
    before = ""
    if size:
        changed_at, _space, checksum = rest.partition(" ")
        before = _describe(int(size), checksum, int(changed_at))
    after = before
    if check_mode:
        after = "what the pipeline prints; it is not run in check mode\n"
    elif part.written and part.written.committed and part.written.changed:
        after = _describe(part.written.bytes, part.written.checksum, None)
    return {"before_header": name, "after_header": name, "before": before, "after": after}


def _describe(size: int, checksum: str | None, changed_at: int | None) -> str:
    lines = [f"size: {size}"]
    if checksum and checksum != "-":
        lines.append(f"sha256: {checksum}")
    moment = datetime.datetime.now() if changed_at is None else datetime.datetime.fromtimestamp(changed_at)
    lines.append(f"modified: {moment:%Y-%m-%d %H:%M:%S}")
    return "\n".join(lines) + "\n"
