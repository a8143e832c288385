# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a pipeline: start every stage, move the data, believe only what is proven, and only then commit.

A chain moves through four states and never back: *started* (every stage has checked what it can and waits),
*flowing*, *proven* (every mark and count is right), *committed*. Whatever goes wrong before the last ends all
stages where they run, removes the temporaries and leaves what was at the destination. A stage that fails is found
before its reader is told that its input ended: to a reader, end of input would mean that the data is whole.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..contexts._base import Context, ContextError
from ..operations._identity import new_operation_id
from . import _shell
from ._errand import Errand, ErrandResult, run_errands
from ._loop import DeadlineReached, Loop
from ._marker import Mark, new_nonce
from ._pump import CapturePump, HashPump, Pump, SplicePump
from ._result import PipelineResult, SinkResult, StepResult
from ._shell import SinkPaths
from ._spec import Step, StepKind
from ._stage import Phase, Stage, StageRefused

ERRAND_SECONDS = 15.0
"""How long ending a stage may take before it is reported as not confirmed."""
COMMIT_SECONDS = 300.0
"""How long a commit may take: it flushes the file to disk."""
_REPORT_LIMIT = 4096
_SHOWN_STDERR_LINES = 3

Resolve = Callable[[str | None, bool | None, str | None], Context]
"""Gives the context for a name, become and become_user; raises ContextError."""


class StepFailed(Exception):
    """A step failed; the text names step and context, and says what to do."""

    def __init__(self, step: Step, context: str, cause: str, remedy: str | None = None) -> None:
        self.step = step
        text = f"step '{step.name}' ({context}): {cause}"
        super().__init__(f"{text}. {remedy}" if remedy else text)


@dataclass(frozen=True)
class Options:
    """How a pipeline is run."""

    checksum: bool = True
    """Whether a sink proves a SHA-256 besides the count."""
    check_mode: bool = False
    timeout: float | None = None
    """Seconds from the start to the last proof; None for no limit."""
    connect_timeout: float = 60.0
    """Seconds in which every stage has to be ready."""
    stdout_limit: int = 1 << 20
    """Bytes kept of what a last command prints."""


@dataclass
class _Part:
    """A step with the stage that runs it and what is known of it so far."""

    step: Step
    context: Context
    stage: Stage
    paths: SinkPaths | None = None
    proof: str | None = None
    given: int | None = None
    """Bytes passed to the stage up to its end of input; None before that."""

    @property
    def settled(self) -> bool:
        return self.proof is not None

    def failed(self, cause: str, remedy: str | None = None) -> StepFailed:
        """Return the failure of this step, with the last lines of its stderr."""
        lines = [line.strip() for line in self.stage.stderr.splitlines() if line.strip()]
        if lines:
            cause = f"{cause}: {' / '.join(lines[-_SHOWN_STDERR_LINES:])}"
        return StepFailed(self.step, self.context.name, cause, remedy)


def run_pipeline(steps: Sequence[Step], resolve: Resolve, options: Options) -> PipelineResult:
    """Run the steps and return what happened; only cancellation and defects raise.

    Raises whatever interrupts it (KeyboardInterrupt, a task's timeout), after every stage was ended.
    """
    operation = new_operation_id()
    started = time.monotonic()
    run: _Run | None = None
    failure: StepFailed | None = None
    contexts: list[Context] = []
    try:
        contexts = _resolve(steps, resolve)
        run = _Run(steps, contexts, options, operation)
        run.execute()
    except StepFailed as exc:
        failure = exc
    finally:
        for context in {id(context): context for context in contexts}.values():
            context.close()
    elapsed = round((time.monotonic() - started) * 1000)
    return _result(operation, elapsed, run, failure)


def _resolve(steps: Sequence[Step], resolve: Resolve) -> list[Context]:
    """Return the context of each step; steps that ask for the same one share it."""
    known: dict[tuple[str | None, bool | None, str | None], Context] = {}
    contexts = []
    for step in steps:
        key = (step.context, step.become, step.become_user)
        try:
            if key not in known:
                known[key] = resolve(*key)
        except ContextError as exc:
            raise StepFailed(
                step, step.context or "the task's host", f"{exc.operation}: {exc.cause}", exc.remedy
            ) from exc
        contexts.append(known[key])
    return contexts


class _Run:
    """One run of a pipeline."""

    def __init__(self, steps: Sequence[Step], contexts: Sequence[Context], options: Options, operation: str) -> None:
        self.options = options
        self.stdout: CapturePump | None = None
        self.sinks: list[SinkResult] = []
        self.warnings: list[str] = []
        self._loop = Loop()
        self._deadline = None if options.timeout is None else time.monotonic() + options.timeout
        self.parts = [
            self._part(position, step, context, operation)
            for position, (step, context) in enumerate(zip(steps, contexts, strict=True))
        ]

    def _part(self, position: int, step: Step, context: Context, operation: str) -> _Part:
        nonce = new_nonce()
        paths = None
        if step.kind is StepKind.SINK:
            assert step.dest is not None
            paths = _shell.sink_paths(step.dest, operation)
            script = _shell.sink_script(nonce, step.dest, paths, self.options.checksum)
        else:
            command = _shell.argv_command(step.argv) if step.argv else _shell.shell_command(step.command or "")
            program = step.program
            surroundings = _shell.Surroundings(step.chdir, step.environment, (program,) if program else ())
            if position == 0:
                script = _shell.source_script(nonce, command, surroundings)
            else:
                script = _shell.consumer_script(nonce, command, surroundings, context.counts_input)
        return _Part(step, context, Stage(step.name, context, script, nonce, self._loop), paths)

    def execute(self) -> None:
        """Run to the end, or leave everything as it was; raise StepFailed, or what interrupted the run."""
        proven = False
        try:
            self._open_contexts()
            self._start()
            if not self.options.check_mode:
                self._release()
                self._move()
                proven = True
                self._commit()
        finally:
            self._end(proven)

    # -- started -------------------------------------------------------------------------------------------------

    def _open_contexts(self) -> None:
        """Warm the connections, side by side where there are several."""
        distinct = {id(part.context): part for part in self.parts}.values()
        answers: queue.SimpleQueue[tuple[_Part, BaseException | None]] = queue.SimpleQueue()

        def open_one(part: _Part) -> None:
            try:
                part.context.open()
            except BaseException as exc:  # handed to the thread that waits for it
                answers.put((part, exc))
            else:
                answers.put((part, None))

        if len(distinct) > 1:
            for part in distinct:
                threading.Thread(target=open_one, args=(part,), daemon=True).start()
        else:
            open_one(self.parts[0])
        for _each in distinct:
            part, error = answers.get()
            if isinstance(error, ContextError):
                raise part.failed(f"{error.operation}: {error.cause}", error.remedy) from error
            if error is not None:
                raise error

    def _start(self) -> None:
        limit = time.monotonic() + self.options.connect_timeout
        deadline = limit if self._deadline is None else min(limit, self._deadline)
        try:
            for part in reversed(self.parts):
                self._start_stage(part)
            self._loop.run(lambda: all(part.stage.phase is not Phase.STARTING for part in self.parts), deadline)
        except StageRefused as exc:
            raise self._refusal(exc) from exc
        except DeadlineReached as exc:
            late = next(part for part in self.parts if part.stage.phase is Phase.STARTING)
            raise late.failed("the connection was not ready in time") from exc

    @staticmethod
    def _start_stage(part: _Part) -> None:
        try:
            part.stage.start()
        except ContextError as exc:
            raise part.failed(f"{exc.operation}: {exc.cause}", exc.remedy) from exc

    def _refusal(self, exc: StageRefused) -> StepFailed:
        part = next(part for part in self.parts if part.stage is exc.stage)
        return StepFailed(part.step, part.context.name, exc.cause, exc.remedy)

    # -- flowing -------------------------------------------------------------------------------------------------

    def _release(self) -> None:
        for position in reversed(range(len(self.parts))):
            part = self.parts[position]
            part.stage.release(self._pump(position))

    def _pump(self, position: int) -> Pump:
        part = self.parts[position]
        source = part.stage.stdout
        if position + 1 == len(self.parts):
            is_sink = part.step.kind is StepKind.SINK
            pump = CapturePump(source, _REPORT_LIMIT if is_sink else self.options.stdout_limit)
            self.stdout = None if is_sink else pump
            return pump
        reader = self.parts[position + 1]
        assert reader.stage.stdin is not None
        if reader.step.kind is StepKind.SINK and self.options.checksum:
            return HashPump(source, reader.stage.stdin)
        return SplicePump(source, reader.stage.stdin)

    def _move(self) -> None:
        try:
            self._loop.run(self._settle, self._deadline)
        except StageRefused as exc:
            raise self._refusal(exc) from exc
        except DeadlineReached as exc:
            late = next(part for part in self.parts if not part.settled)
            raise late.failed(f"the pipeline did not finish within {self.options.timeout:g} seconds") from exc

    def _settle(self) -> bool:
        """Judge the stages that ended; return whether all did."""
        for position, part in enumerate(self.parts):
            if part.settled:
                continue
            if part.stage.lingers:
                part.stage.let_go()
            # A stage whose reader closed early is judged by what the reader says.
            if part.stage.phase is Phase.DONE and not part.stage.refused:
                self._judge(position)
        return all(part.settled for part in self.parts)

    def _judge(self, position: int) -> None:
        """Believe a stage that ended, or raise StepFailed."""
        part = self.parts[position]
        mark = part.stage.mark
        if mark is None:
            assert part.stage.pump is not None
            moved = part.stage.pump.moved + len(part.stage.pump.tail)
            raise part.failed(
                f"its output ended after {moved} bytes without proof that it is whole "
                f"(the connection's exit status is {part.stage.status})"
            )
        if mark.rc not in part.step.ok_codes:
            raise part.failed(f"it failed with exit status {mark.rc}")
        self._judge_input(part, mark)
        if part.step.kind is StepKind.SINK:
            self._judge_sink(position)
        part.proof = "marker"
        if position + 1 < len(self.parts):
            assert part.stage.pump is not None
            reader = self.parts[position + 1]
            reader.given = part.stage.pump.moved
            reader.stage.end_input()
        self._drop_unneeded(position)

    def _judge_input(self, part: _Part, mark: Mark) -> None:
        if part is self.parts[0] or mark.closed_early:
            return
        if part.given is None and (mark.bytes_given is not None or part.step.kind is StepKind.SINK):
            raise part.failed("its input was cut: it saw the end of its data before there was one")
        if mark.bytes_given is not None and mark.bytes_given != part.given:
            raise part.failed(f"its input was cut: it was given {mark.bytes_given} of {part.given} bytes")

    def _judge_sink(self, position: int) -> None:
        part, writer = self.parts[position], self.parts[position - 1]
        report, source = part.stage.pump, writer.stage.pump
        assert isinstance(report, CapturePump) and source is not None and part.step.dest is not None
        size, _space, checksum = report.captured.decode(errors="replace").strip().partition(" ")
        if not size.isdigit() or int(size) != source.moved:
            raise part.failed(f"it wrote {size or 'no'} bytes of {source.moved}")
        sent = source.digest()
        if sent is not None and checksum != sent:
            raise part.failed(f"what it wrote has the SHA-256 {checksum}, what was sent has {sent}")
        self.sinks.append(
            SinkResult(
                part.step.name, part.context.name, part.step.dest, source.moved, sent, committed=False, changed=False
            )
        )

    def _drop_unneeded(self, position: int) -> None:
        """End the stages whose output nobody needs, because their reader finished without it."""
        unneeded = [part for part in self.parts[:position] if not part.settled]
        if unneeded:
            self._end_stages(unneeded)
            for part in unneeded:
                part.proof = "unneeded"

    # -- committed -----------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        sinks = [part for part in self.parts if part.paths is not None]
        if not sinks:
            return
        errands = [
            Errand(part.step.name, part.context, _shell.commit_script(part.paths, sink.bytes))
            for part, sink in zip(sinks, self.sinks, strict=True)
            if part.paths is not None
        ]
        results = run_errands(errands, COMMIT_SECONDS)
        committed = []
        for part, sink, result in zip(sinks, self.sinks, results, strict=True):
            committed.append(self._committed(part, sink, result))
        self.sinks = committed

    @staticmethod
    def _committed(part: _Part, sink: SinkResult, result: ErrandResult) -> SinkResult:
        if not result.done:
            said = " / ".join(result.stderr.split("\n")).strip(" /")
            raise StepFailed(part.step, part.context.name, f"the file could not be given its final name: {said}")
        changed = result.stdout.strip() == "committed"
        return SinkResult(
            sink.step, sink.context, sink.path, sink.bytes, sink.checksum, committed=True, changed=changed
        )

    # -- afterwards ----------------------------------------------------------------------------------------------

    def _end(self, proven: bool) -> None:
        """End what still runs, remove what is not committed, close every descriptor."""
        uncommitted = not all(sink.committed for sink in self.sinks) or not proven
        self._end_stages(
            [
                part
                for part in self.parts
                if (part.stage.phase is Phase.RUNNING and not part.settled)
                or (part.paths is not None and uncommitted and part.stage.phase in (Phase.RUNNING, Phase.DONE))
            ]
        )
        for part in self.parts:
            part.stage.kill()
        self._loop.close()

    def _end_stages(self, parts: Sequence[_Part]) -> None:
        """End the processes of stages where they run, by a second connection: their inputs stay open till then."""
        errands = [
            Errand(part.step.name, part.context, _shell.abort_script(part.stage.nonce, part.paths))
            for part in reversed(parts)
        ]
        for part, result in zip(reversed(parts), run_errands(errands, ERRAND_SECONDS), strict=True):
            part.stage.kill()
            if not result.done:
                self.warnings.append(
                    f"step '{part.step.name}' ({part.context.name}): could not confirm that it ended there: "
                    + " / ".join(result.stderr.split("\n")).strip(" /")
                )


def _result(operation: str, elapsed: int, run: _Run | None, failure: StepFailed | None) -> PipelineResult:
    parts = run.parts if run else []
    sinks = tuple(run.sinks) if run else ()
    has_sink = any(part.paths is not None for part in parts)
    changed = failure is None and (
        any(sink.changed for sink in sinks) or not has_sink or (run is not None and run.options.check_mode)
    )
    stdout = run.stdout if run else None
    return PipelineResult(
        operation_id=operation,
        duration_ms=elapsed,
        changed=changed,
        steps=tuple(_step_result(parts, position) for position in range(len(parts))),
        sinks=sinks,
        failed_step=failure.step.name if failure else None,
        msg=str(failure) if failure else None,
        stdout=stdout.captured.decode(errors="replace") if stdout else None,
        stdout_cut=stdout.cut if stdout else False,
        warnings=tuple(run.warnings) if run else (),
    )


def _step_result(parts: Sequence[_Part], position: int) -> StepResult:
    part = parts[position]
    pump = part.stage.pump
    before = parts[position - 1].stage.pump if position else None
    ready = part.stage.ready_after
    mark = part.stage.mark if part.proof != "unneeded" else None
    return StepResult(
        name=part.step.name,
        context=part.context.name,
        type=part.context.kind.value,
        rc=mark.rc if mark else None,
        stderr=part.stage.stderr,
        bytes_in=before.moved if before else None,
        bytes_out=pump.moved if pump and part.step.kind is StepKind.COMMAND else None,
        connection_time_ms=None if ready is None else round(ready * 1000),
        proof=part.proof,
    )
