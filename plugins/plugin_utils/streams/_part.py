# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A step of a running pipeline: the stage that runs it, what it reads from, and what is believed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from .._required import required
from ..contexts._base import Context, sentence
from ..operations._progress import Flow
from . import _shell
from ._leftovers import owner
from ._loop import Loop
from ._marker import Mark, new_nonce
from ._ranges import CHANGED_MEANWHILE
from ._result import SinkResult
from ._shells import Shells
from ._spec import Step
from ._stage import BareStage, Stage

_SHOWN_STDERR_LINES = 3


class StepFailed(Exception):
    """A step failed; the text names step and context, and says what to do."""

    def __init__(
        self, step: Step, context: str, cause: str, remedy: str | None = None, *, passing: bool = False
    ) -> None:
        self.step = step
        self.passing = passing
        """Whether it may go well when it is tried again: a connection was lost, a stream cut or stalled."""
        super().__init__(sentence(f"step '{step.name}' ({context}): {cause}", remedy))


class Proof(Enum):
    """What shows that a step did its part."""

    MARKER = "marker"
    """Its own mark, sent after its last byte, with the right counts."""
    TRANSPORT = "transport"
    """Its transport's exit status, for want of a shell."""
    UNNEEDED = "unneeded"
    """Its readers finished without the rest of its output, on purpose."""


@dataclass
class Part:
    """A step with the stage that runs it and what is known of it so far."""

    step: Step
    context: Context
    stage: Stage
    writer: Part | None
    """The part it reads from."""
    readers: list[Part] = field(default_factory=list)
    sink: _shell.Sink | None = None
    proof: Proof | None = None
    given: int | None = None
    """Bytes passed to the stage up to its end of input; None before that."""
    written: SinkResult | None = None
    """What a sink wrote, once that is proven."""
    failure: StepFailed | None = None
    """Why this step was given up, where the others go on without it."""

    @property
    def is_sink(self) -> bool:
        """Whether the part writes a file."""
        return self.sink is not None

    @property
    def is_finished(self) -> bool:
        """Whether a sink has done all that it is going to do."""
        return self.written is not None and (self.written.committed or self.step.partial is not None)

    @property
    def temporary(self) -> _shell.Sink | None:
        """The sink, if what it has written goes with it."""
        return None if self.step.partial else self.sink

    @property
    def reads_back(self) -> bool:
        """Whether the part has written its file and reads it back, which moves nothing here and may take long."""
        pump = self.stage.pump
        return self.is_sink and self.given is not None and pump is not None and bool(pump.moved or pump.tail)

    @property
    def size(self) -> int | None:
        """The bytes that the part is going to print, where that is known before."""
        notes = self.stage.notes.get("size")
        return int(notes[0]) if notes else None

    @property
    def settled(self) -> bool:
        """Whether nothing is to be expected of the part any more."""
        return self.proof is not None or self.failure is not None

    def failed(self, cause: str, remedy: str | None = None, *, passing: bool = False) -> StepFailed:
        """Return the failure of this step, with the last lines of its stderr."""
        lines = [line.strip() for line in self.stage.stderr.splitlines() if line.strip()]
        if lines:
            cause = f"{cause}: {' / '.join(lines[-_SHOWN_STDERR_LINES:])}"
        return StepFailed(self.step, self.context.name, cause, remedy, passing=passing)

    def judge(self) -> None:
        """Believe the stage, which has ended, or raise StepFailed."""
        mark = self.stage.mark
        if mark is None:
            pump = required(self.stage.pump, "pump of a stage that ran")
            seen = pump.moved + len(pump.tail)
            raise self.failed(
                f"its output ended after {seen} bytes without proof that it is whole "
                f"(the connection's exit status is {self.stage.status})",
                passing=True,
            )
        if mark.rc not in self.step.ok_codes:
            raise self.failed(f"it failed with exit status {mark.rc}", passing=self._was_cut(mark))
        self._judge_input(mark)
        printed = required(self.stage.pump, "pump of a stage that ran").moved
        if self.step.state is not None and printed != self.size:
            raise self.failed(f"it printed {printed} bytes of {self.size}: the source {CHANGED_MEANWHILE}")
        if self.sink is not None and self.writer is not None:
            self.written = self._judge_file(self.sink, self.writer)
        self.proof = Proof.TRANSPORT if self.step.bare else Proof.MARKER

    def _was_cut(self, mark: Mark) -> bool:
        """Return whether a step that failed had lost a part of its input before."""
        return not mark.closed_early and mark.bytes_given is not None and mark.bytes_given != self.given

    def _judge_input(self, mark: Mark) -> None:
        if self.writer is None or mark.closed_early:
            return
        if mark.lost_count:
            raise self.failed("the count of its input was lost there: whoever counted was ended", passing=True)
        if self.given is None and (mark.bytes_given is not None or self.is_sink):
            raise self.failed("its input was cut: it saw the end of its data before there was one", passing=True)
        if mark.bytes_given is not None and mark.bytes_given != self.given:
            raise self.failed(f"its input was cut: it was given {mark.bytes_given} of {self.given} bytes", passing=True)

    def _judge_file(self, sink: _shell.Sink, writer: Part) -> SinkResult:
        source = required(writer.stage.pump, "pump of a sink's writer")
        report = required(self.stage.pump, "pump of a sink").captured
        size, _space, checksum = report.decode(errors="replace").strip().partition(" ")
        if not size.isdigit() or int(size) != self.given:
            raise self.failed(f"it wrote {size or 'no'} bytes of {self.given}", passing=True)
        sent = source.digest()
        if sent is not None and checksum != sent:
            raise self.failed(f"what it wrote has the SHA-256 {checksum}, what was sent has {sent}", passing=True)
        return SinkResult(self.step.name, self.context.name, sink.dest, int(size), sent, committed=False, changed=False)


def flows(parts: Sequence[Part]) -> list[Flow]:
    """Return how far a pipeline is: what its source printed if it is known how much that will be, and what each sink,
    or else the last step, was given."""
    ends = [part for part in parts if part.is_sink and part.writer] or parts[-1:]
    source = parts[0]
    found = []
    if source.size is not None and source.stage.pump and all(end.writer is not source for end in ends):
        found.append(Flow(source.stage.pump.moved, source.size, source.step.name))
    if len(ends) > 1 and all(end.step.partial for end in ends):
        return [_together([end.writer for end in ends if end.writer])]
    for end in ends:
        pump = end.writer.stage.pump if end.writer else end.stage.pump
        if pump is not None:
            moved = pump.moved if end.stage.stdin is None else pump.passed_to(end.stage.stdin)
            total = end.writer.size if end.writer is source else None
            found.append(Flow(moved, total, end.step.name))
    return [replace(flow, name="") for flow in found] if len(found) == 1 else found


def _together(sources: Sequence[Part]) -> Flow:
    """Return how far the parts of one file are."""
    moved = sum(source.stage.pump.moved for source in sources if source.stage.pump)
    return Flow(moved, sum(source.size or 0 for source in sources))


def make_part(
    step: Step,
    context: Context,
    writer: Part | None,
    loop: Loop,
    operation: str,
    how: _shell.SinkScript,
    shells: Shells | None = None,
) -> Part:
    """Return the part for a step, not started, joined to the part it reads from."""
    shell = shells.take(context) if shells is not None and not step.bare else None
    nonce = shell.nonce if shell is not None else new_nonce()
    sink = None
    if step.dest is not None:
        temporary = step.partial or f"{operation}.{owner()}"
        sink = _shell.Sink(step.dest, temporary, step.mode, step.owner, step.group, step.create_parents, step.mtime)
    if step.bare and step.argv:
        stage: Stage = BareStage(step.name, context, step.argv, nonce, loop)
    else:
        script = _script(step, nonce, context, sink, how, has_input=writer is not None)
        stage = Stage(step.name, context, script, nonce, loop, shell=shell)
    part = Part(step, context, stage, writer, sink=sink)
    if writer is not None:
        writer.readers.append(part)
    return part


def _script(
    step: Step, nonce: str, context: Context, sink: _shell.Sink | None, how: _shell.SinkScript, has_input: bool
) -> str:
    if sink is not None:
        if step.partial is not None:
            return _shell.range_sink_script(nonce, sink, step.extents or (), step.sparse)
        return _shell.sink_script(nonce, sink, how)
    if step.src is not None:
        return _shell.file_script(nonce, step.src, extents=step.extents, state=step.state)
    return _command_script(step, nonce, context, has_input)


def _command_script(step: Step, nonce: str, context: Context, has_input: bool) -> str:
    argv = (*context.program, *step.kubectl) if step.kubectl else step.argv
    command = _shell.argv_command(argv) if argv else _shell.shell_command(step.command or "")
    program = argv[0] if argv else step.program
    surroundings = _shell.Surroundings(step.chdir, step.environment, (program,) if program else ())
    if has_input:
        return _shell.consumer_script(nonce, command, surroundings, context.counts_input and step.counts)
    return _shell.source_script(nonce, command, surroundings)
