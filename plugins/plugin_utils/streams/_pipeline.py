# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a pipeline: start every stage, move the data, believe only what is proven, and only then commit.

A pipeline moves through four states and never back: *started* (every stage has checked what it can and waits),
*flowing*, *proven* (every mark and count is right), *committed*. Whatever goes wrong before the last ends all
stages where they run, removes the temporaries and leaves what was at the destination. A stage that fails is found
before its readers are told that their input ended: to a reader, end of input would mean that the data is whole.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from .._required import required
from ..contexts._base import Context, ContextError
from ..contexts._passing import may_pass
from ..operations._identity import new_operation_id
from ..operations._progress import Watcher
from . import _outcome as outcome
from . import _shell, _stall
from ._errand import Errand, ErrandResult, run_errands
from ._leftovers import abandoned
from ._loop import DeadlineReached, Loop
from ._marker import MARK_LENGTH, new_nonce
from ._part import Part, Proof, StepFailed, flows, make_part
from ._pump import CHUNK, CapturePump, CopyPump, FilePump, Pump, SplicePump
from ._result import PipelineResult
from ._shells import Shells
from ._space import free_bytes
from ._spec import Step
from ._stage import Phase, Stage, StageRefused
from ._throttle import Throttle

ERRAND_SECONDS = 15.0
"""How long ending a stage may take before it is reported as not confirmed."""
_ERRAND_PATIENCE = 5.0
"""Seconds in which a stage that could not be ended is tried again."""
_ERRAND_PAUSE = 0.5
COMMIT_SECONDS = 300.0
"""How long a commit may take: it flushes the file to disk."""
_REPORT_LIMIT = 4096

Resolve = Callable[[str | None, bool | None, str | None], Context]
"""Gives the context for a name, become and become_user; raises ContextError."""

Notes = Mapping[str, Sequence[str]]
"""What a stage noticed while it checked, by what it is."""
WhenReady = Callable[[Mapping[str, Notes]], Sequence[str]]
"""Takes the notes of each step and returns which temporaries of other runs (``left``) the sinks remove besides."""


@dataclass(frozen=True)
class Options:
    """How a pipeline is run."""

    checksum: bool = True
    """Whether a sink proves a SHA-256 besides the count."""
    check_mode: bool = False
    on_sink_failure_continue: bool = False
    """Whether the other sinks go on, and are committed, when one fails."""
    timeout: float | None = None
    """Seconds from the start to the last proof, repetitions included; None for no limit."""
    started: float | None = None
    """When those seconds began (time.monotonic), where the pipeline is a part of something longer."""
    stall_timeout: float | None = None
    """Seconds in which not a byte moves before the pipeline is ended; None for no limit."""
    connect_timeout: float = 60.0
    """Seconds in which every stage has to be ready."""
    stdout_limit: int = 1 << 20
    """Bytes kept of what a last command prints."""
    rate_limit: int | None = None
    """Bytes a second that the first step may print; None for no limit."""
    limited: tuple[str, ...] = ()
    """The steps that are meant instead of the first one, all together."""
    diff: bool = False
    """Whether to say what a destination holds before and after."""
    creates: str | None = None
    """A file; where it exists in the context of the last step, nothing is done."""
    retries: int = 0
    """How often a run that failed is begun again."""
    retry_delay: float = 5.0
    """Seconds before the first repetition; each further one waits twice as long."""
    meter: Watcher | None = None
    """Says how far it is."""
    keep_contexts: bool = False
    """Whether the contexts stay open: more is going to run there."""
    at_once: bool = False
    """Whether a command by itself begins without being told to, which saves a round trip. When its start fails it may
    have begun; nobody may be asked before, and nothing checked."""
    shells: Shells | None = None
    """Where stages find shells that were started ahead."""
    when_ready: WhenReady | None = None
    """Asked once every stage waits for its turn, before anything moves; what it raises ends the run."""


def run_pipeline(steps: Sequence[Step], resolve: Resolve, options: Options) -> PipelineResult:
    """Run the steps and return what happened; only cancellation and defects raise.

    Raises whatever interrupts it (KeyboardInterrupt, a task's timeout), after every stage was ended.
    """
    operation = new_operation_id()
    started = time.monotonic()
    run: _Run | None = None
    failure: StepFailed | None = None
    contexts: list[Context] = []
    attempts = 0
    changed = False
    deadline = None if options.timeout is None else (options.started or started) + options.timeout
    try:
        contexts = _resolve(steps, resolve)
        if options.creates and _exists(options.creates, steps[-1], contexts[-1], options.connect_timeout):
            return outcome.skipped(operation, options.creates)
        while True:
            attempts += 1
            run, failure = _Run(steps, contexts, options, operation, deadline), None
            try:
                run.execute()
            except StepFailed as exc:
                failure = exc
            changed = changed or any(part.written and part.written.changed for part in run.parts)
            delay = options.retry_delay * 2 ** (attempts - 1)
            too_late = deadline is not None and time.monotonic() + delay >= deadline
            if failure is None or attempts > options.retries or too_late:
                break
            for context in contexts:
                context.suspect()
            time.sleep(delay)
    except StepFailed as exc:
        failure = exc
    finally:
        if options.meter is not None:
            options.meter.finish()
        if not options.keep_contexts:
            for context in {id(context): context for context in contexts}.values():
                context.close()
    elapsed = round((time.monotonic() - started) * 1000)
    report = outcome.Report(operation, elapsed, attempts, options.check_mode, options.diff)
    if run is None:
        return outcome.build(report, [], failure, None, ())
    result = outcome.build(report, run.parts, failure, run.stdout, run.warnings)
    # An earlier attempt may have committed what this one finds as it should be.
    return replace(result, changed=result.changed or changed)


def _exists(path: str, step: Step, context: Context, seconds: float) -> bool:
    """Return whether a path exists in a context; raise StepFailed if that cannot be found out."""
    try:
        context.open(seconds)
    except ContextError as exc:
        raise StepFailed(step, context.name, f"{exc.operation}: {exc.cause}", exc.remedy) from exc
    (result,) = run_errands([Errand(step.name, context, _shell.exists_script(path))], ERRAND_SECONDS)
    if result.rc not in (0, 1):
        raise StepFailed(step, context.name, f"looking for {path} ('creates'): {_said(result)}")
    return result.rc == 0


def _resolve(steps: Sequence[Step], resolve: Resolve) -> list[Context]:
    """Return the context of each step; steps that ask for the same one share it."""
    known: dict[tuple[object, ...], Context] = {}
    contexts = []
    for step in steps:
        key = (step.context, step.become, step.become_user, step.pod, step.container, step.kubectl is not None)
        try:
            if key not in known:
                known[key] = _place(step, resolve)
        except ContextError as exc:
            for context in known.values():
                context.close()
            name = step.context or "the task's host"
            raise StepFailed(step, name, f"{exc.operation}: {exc.cause}", exc.remedy) from exc
        contexts.append(known[key])
    return contexts


def _place(step: Step, resolve: Resolve) -> Context:
    """Return where a step runs; raise ContextError."""
    if step.kubectl is not None:
        return resolve(step.context, False, None).for_kubectl()
    context = resolve(step.context, step.become, step.become_user)
    return context.in_pod(step.pod, step.container) if step.pod or step.container else context


class _Run:
    """One run of a pipeline."""

    def __init__(
        self,
        steps: Sequence[Step],
        contexts: Sequence[Context],
        options: Options,
        operation: str,
        deadline: float | None,
    ) -> None:
        self.options = options
        self.stdout: CapturePump | None = None
        self.warnings: list[str] = []
        self._loop = Loop()
        self._deadline = deadline
        self._meter = options.meter
        self._stall = _stall.Watch(options.stall_timeout)
        self.parts: list[Part] = []
        self._throttle = Throttle(options.rate_limit) if options.rate_limit else None
        by_name: dict[str, Part] = {}
        # How much will come is known before anything moves only if a file is copied as it is.
        how = _shell.SinkScript(options.checksum, options.check_mode, options.diff, space=steps[0].src is not None)
        for step, context in zip(steps, contexts, strict=True):
            part = make_part(
                step,
                context,
                by_name[step.input] if step.input else None,
                self._loop,
                operation,
                how,
                options.shells,
            )
            by_name[step.name] = part
            self.parts.append(part)
        self._keepers = [] if options.check_mode else self._make_keepers()

    def _make_keepers(self) -> list[Stage]:
        """Return the stages that end others when this process is killed, where nothing else would."""
        kept: dict[int, list[Part]] = {}
        for part in self.parts:
            step = part.step
            reads = part.writer is not None and not part.is_sink and not step.bare and not step.ends_alone
            if reads and part.context.outlives_connection:
                kept.setdefault(id(part.context), []).append(part)
        keepers = []
        for parts in kept.values():
            nonce = new_nonce()
            script = _shell.keeper_script(nonce, [part.stage.nonce for part in parts])
            first = parts[0]
            keepers.append(Stage(first.step.name, first.context, script, nonce, self._loop, _shell.KEEPER))
        return keepers

    @property
    def _active(self) -> list[Part]:
        return [part for part in self.parts if part.failure is None]

    def execute(self) -> None:
        """Run to the end, or leave everything as it was; raise StepFailed, or what interrupted the run."""
        try:
            self._open_contexts()
            self._start()
            asked = self.options.when_ready
            removed = asked({part.step.name: part.stage.notes for part in self._active}) if asked else ()
            self._check_space()
            if not self.options.check_mode:
                self._release(removed)
                self._move()
                self._commit()
        finally:
            self._end()
        for part in self.parts:
            if part.failure is not None:
                raise part.failure

    def _fail(self, part: Part, failure: StepFailed) -> None:
        """Give up one sink and go on with the others, if that was asked for; else raise the failure."""
        others = [other for other in self._active if other.is_sink and other is not part]
        if not (self.options.on_sink_failure_continue and part.is_sink and others):
            raise failure
        part.failure = failure
        self._end_stages([part])
        self._end_unread(part.writer)

    # -- started -------------------------------------------------------------------------------------------------

    def _open_contexts(self) -> None:
        """Warm the connections, side by side where there are several."""
        distinct = list({id(part.context): part.context for part in self.parts}.values())
        answers: queue.SimpleQueue[tuple[Context, BaseException | None]] = queue.SimpleQueue()

        def open_one(context: Context) -> None:
            try:
                context.open(self.options.connect_timeout)
            except BaseException as exc:  # handed to the thread that waits for it
                answers.put((context, exc))
            else:
                answers.put((context, None))

        if len(distinct) > 1:
            for context in distinct:
                threading.Thread(target=open_one, args=(context,), daemon=True).start()
        else:
            open_one(distinct[0])
        for _each in distinct:
            context, error = answers.get()
            if isinstance(error, ContextError):
                for part in [part for part in self._active if part.context is context]:
                    cause = f"{error.operation}: {error.cause}"
                    self._fail(part, part.failed(cause, error.remedy, passing=may_pass(error.cause)))
            elif error is not None:
                raise error

    def _start(self) -> None:
        limit = time.monotonic() + self.options.connect_timeout
        deadline = limit if self._deadline is None else min(limit, self._deadline)
        alone = self.options.at_once and len(self.parts) == 1 and not self._keepers
        for part in reversed(self._active):
            try:
                part.stage.start(alone=alone)
            except ContextError as exc:
                self._fail(part, part.failed(f"{exc.operation}: {exc.cause}", exc.remedy))
        for keeper in self._keepers:
            keeper.start()
        try:
            self._serve(self._all_ready, deadline)
        except DeadlineReached:
            late = [stage.context for stage in self._needed if stage.phase is Phase.STARTING]
            for part in [part for part in self._active if any(part.context is context for context in late)]:
                self._fail(part, part.failed("the connection was not ready in time", passing=True))

    @property
    def _needed(self) -> list[Stage]:
        """The stages that have to be ready: those of the steps, and the keepers of their contexts."""
        stages = [part.stage for part in self._active]
        contexts = [stage.context for stage in stages]
        return stages + [keeper for keeper in self._keepers if any(keeper.context is context for context in contexts)]

    def _all_ready(self) -> bool:
        return all(stage.phase is not Phase.STARTING for stage in self._needed)

    def _serve(self, until: Callable[[], bool], deadline: float | None) -> None:
        """Run the loop; a stage that cannot start fails its step."""
        while True:
            try:
                self._loop.run(until, deadline)
            except StageRefused as exc:
                # A keeper is not the stage of any step: what it lacks, the steps in its context lack.
                mine = [part for part in self._active if part.stage is exc.stage]
                for part in mine or [part for part in self._active if part.context is exc.stage.context]:
                    passing = may_pass(exc.cause)
                    self._fail(part, StepFailed(part.step, part.context.name, exc.cause, exc.remedy, passing=passing))
            else:
                return

    def _check_space(self) -> None:
        """Fail a sink that has no room for a file whose size is known."""
        sources = [part for part in self.parts if part.writer is None]
        # with several sources, what they print goes into one file
        size = None if None in (sizes := [part.size for part in sources]) else sum(each or 0 for each in sizes)
        for part in self._active:
            if size is None or not part.is_sink or part.writer not in sources:
                continue
            free = free_bytes(next(iter(part.stage.notes.get("space", [])), ""))
            if free is not None and free < size:
                cause = f"there is no room for {part.step.dest}: it needs {size} bytes, {free} are free"
                self._fail(part, part.failed(cause, "Make room there, or choose another directory."))

    # -- flowing -------------------------------------------------------------------------------------------------

    def _release(self, removed: Sequence[str]) -> None:
        """Let the stages run; sinks remove these temporaries, and those that nobody will finish."""
        for keeper in self._keepers:
            if keeper.phase is Phase.READY:
                keeper.release(CapturePump(keeper.stdout, 0))
        for part in reversed(self._active):
            try:
                part.stage.begin()
            except ContextError as exc:
                raise part.failed(f"{exc.operation}: {exc.cause}", exc.remedy) from exc
        for part in reversed(self._active):
            part.stage.release(self._pump(part), [*abandoned(part.stage.notes.get("left", [])), *removed])

    def _pump(self, part: Part) -> Pump:
        source = part.stage.stdout
        hold = 0 if part.step.bare else MARK_LENGTH
        limited = self.options.limited or (self.parts[0].step.name,)
        throttle = self._throttle if part.step.name in limited else None
        readers = [reader for reader in part.readers if reader.failure is None]
        if not readers and part.step.output is not None:
            return FilePump(source, part.step.output, hold, throttle)
        if not readers:
            pump = CapturePump(source, _REPORT_LIMIT if part.is_sink else self.options.stdout_limit, hold, throttle)
            if part is self.parts[-1] and not part.is_sink:
                self.stdout = pump
            return pump
        targets = [reader.stage.stdin for reader in readers if reader.stage.stdin is not None]
        checksum = self.options.checksum and any(reader.is_sink for reader in readers)
        buffer = max((reader.step.buffer or 0 for reader in readers), default=0)
        if buffer or len(targets) > 1:
            return CopyPump(source, targets, checksum, hold, throttle, max(buffer, 2 * CHUNK))
        return SplicePump(source, targets[0], checksum, hold, throttle)

    def _move(self) -> None:
        try:
            self._serve(self._settle, self._deadline)
        except DeadlineReached as exc:
            late = _stall.blocking(self._active)
            cause = f"the pipeline did not finish within {self.options.timeout:g} seconds"
            raise late.part.failed(f"{cause}; this step {late.why}") from exc

    def _settle(self) -> bool:
        """Judge the stages that ended; return whether all did."""
        for part in self._active:
            if part.settled:
                continue
            if part.stage.lingers:
                self._leave(part)
                part.stage.let_go()
            # A stage whose readers closed early is judged by what they say.
            if part.stage.phase is Phase.DONE and not part.stage.refused:
                try:
                    part.judge()
                except StepFailed as exc:
                    self._fail(part, exc)
                else:
                    self._believe(part)
        if self._meter is not None:
            self._meter.look(lambda: flows(self._active))
        stalled = self._stall.look(self._active)
        if stalled is not None:
            failure = stalled.part.failed(
                f"not a byte moved for {self.options.stall_timeout:g} seconds: this step {stalled.why}", passing=True
            )
            self._fail(stalled.part, failure)
        return all(part.settled for part in self.parts)

    def _believe(self, part: Part) -> None:
        """Tell the readers of a proven stage that their input ended, and its writer if nobody reads it any more."""
        moved = required(part.stage.pump, "pump of a stage that is proven").moved
        for reader in part.readers:
            reader.given = moved
            reader.stage.end_input()
        self._end_unread(part.writer)

    def _end_unread(self, writer: Part | None) -> None:
        """End a stage whose readers all ended, and those before it that only it has read."""
        unneeded = []
        while writer is not None and not writer.settled and all(reader.settled for reader in writer.readers):
            if writer.stage.pump is None:
                break  # it has not been released, and is not going to write to anybody
            writer.proof = Proof.UNNEEDED
            unneeded.append(writer)
            writer = writer.writer
        if unneeded:
            self._end_stages(unneeded)

    @staticmethod
    def _leave(part: Part) -> None:
        """Take a stage that is about to be closed away from the one it reads from, which may have other readers."""
        if part.writer is not None and part.stage.stdin is not None:
            part.writer.stage.drop_reader(part.stage.stdin)

    # -- committed -----------------------------------------------------------------------------------------------

    def _commit(self) -> None:
        proven = [
            (part, part.sink, part.written)
            for part in self._active
            if part.sink and part.written and not part.step.partial
        ]
        if not proven:
            return
        errands = [
            Errand(part.step.name, part.context, _shell.commit_script(sink, written.bytes))
            for part, sink, written in proven
        ]
        failures = []
        for (part, _sink, written), result in zip(proven, run_errands(errands, COMMIT_SECONDS), strict=True):
            if result.done:
                changed = result.stdout.strip() == "committed"
                part.written = replace(written, committed=True, changed=changed)
            else:
                cause = f"the file could not be given its final name: {_said(result)}"
                failures.append(StepFailed(part.step, part.context.name, cause, passing=result.rc is None))
        if failures:
            raise failures[0]

    # -- afterwards ----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """End what still runs, remove what is not committed, close every descriptor."""
        released = (Phase.RUNNING, Phase.DONE)
        unfinished = [
            part
            for part in self._active
            if (part.stage.phase is Phase.RUNNING and not part.settled)
            # A stage whose connection was lost is done here, and may still run there.
            or (part.stage.phase is Phase.DONE and not part.settled and part.stage.mark is None)
            or (part.is_sink and part.stage.phase in released and not part.is_finished)
        ]
        try:
            self._end_stages(unfinished)
        finally:
            for stage in [*(part.stage for part in self.parts), *self._keepers]:
                stage.kill()
            self._loop.close()

    def _end_stages(self, parts: Sequence[Part]) -> None:
        """End the processes of stages where they run, by a second connection: their inputs stay open till then."""
        released = [part for part in parts if part.stage.phase in (Phase.RUNNING, Phase.DONE)]
        pending = [
            Errand(
                part.step.name, part.context, _shell.abort_script(part.stage.nonce, part.temporary, part.stage.group)
            )
            for part in released
            if not part.step.bare
        ]
        self.warnings += [
            f"step '{part.step.name}' ({part.context.name}): could not confirm that it ended there: "
            "a program without a shell cannot be found again"
            for part in released
            if part.step.bare
        ]
        # The host may be about to come back: what cut the stream may have been its restart.
        patience = time.monotonic() + _ERRAND_PATIENCE
        while pending:
            results = run_errands(pending, ERRAND_SECONDS)
            failed = [(errand, result) for errand, result in zip(pending, results, strict=True) if not result.done]
            pending = [errand for errand, _result in failed]
            if not pending:
                break
            if time.monotonic() > patience:
                self.warnings += [
                    f"step '{errand.name}' ({errand.context.name}): could not confirm that it ended there: "
                    f"{_said(result)}"
                    for errand, result in failed
                ]
                break
            time.sleep(_ERRAND_PAUSE)
        for part in parts:
            self._leave(part)
            part.stage.kill()


def _said(result: ErrandResult) -> str:
    return " / ".join(line.strip() for line in result.stderr.splitlines() if line.strip()) or "no message"
