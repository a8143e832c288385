# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the scripts of a transfer as pipelines between its two ends, and believes only what a pipeline proves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..contexts._base import Context, ContextError, ContextKind, sentence
from ..contexts._local import LocalContext
from ..streams._errand import Errand, run_errands
from ..streams._pipeline import Options, WhenReady, run_pipeline
from ..streams._result import PipelineResult, StepResult
from ..streams._shell import label_of
from ..streams._shells import Shells
from ..streams._spec import Step, StepKind
from . import _shell
from ._digest import without_digests
from ._endpoint import Endpoint
from ._errors import TransferError
from ._inline import inlined
from ._progress import Progress
from ._spec import Request
from ._spool import Spool

_CUT = ("tar: short read", "tar: Unexpected EOF", "unexpected end of file", "premature end")
"""What busybox, GNU tar, gzip and zstd say of an archive that was cut."""
_CLEAN_SECONDS = 300.0
_LATE_CLEAN_SECONDS = 30.0
"""The same where the time is up: nobody wants to wait then."""
NAMES = "names"
"""The step that hands over a list of names, and its context: this machine."""


@dataclass(frozen=True)
class End:
    """One end of a transfer: what it is called in messages, and where it is."""

    role: str
    context: Context


class Ends:
    """Both ends, and this machine, which hands them their lists of names."""

    def __init__(self, request: Request, place: Callable[[Endpoint], Context], started: float) -> None:
        """Choose both places; ``started`` is when the transfer began (time.monotonic). Raises ContextError."""
        self.warnings: list[str] = []
        self.progress = Progress(request.meter)
        self._request = request
        self._started = started
        self._steps: dict[tuple[str, str], StepResult] = {}
        self._answers: dict[str, float] = {}
        self._shells = Shells()
        self.far: bool | None = None
        """Whether a round trip to one of them takes long; None if nobody has looked."""
        self.src = End("source", place(request.src))
        self.src.context.prepare()
        try:
            self.dest = End("destination", place(request.dest))
        except BaseException:
            self.src.context.close()
            raise
        self.dest.context.prepare()
        self._contexts = {end.role: end.context for end in (self.src, self.dest)} | {NAMES: LocalContext(NAMES)}

    @property
    def steps(self) -> tuple[StepResult, ...]:
        """What ran at the ends, the last of each name and place, in the order of the first."""
        return tuple(self._steps.values())

    def has(self, seconds: float) -> bool:
        """Return whether the time for the whole transfer lasts longer than so many seconds from now."""
        timeout = self._request.timeout
        return timeout is None or time.monotonic() + seconds < self._started + timeout

    def suspect(self) -> None:
        """Let both ends be looked for anew: a connection was lost there."""
        self._shells.end()
        for context in self._contexts.values():
            context.suspect()

    def expect(self, end: End, step: str) -> None:
        """Let a shell be started at an end that was reached before: a step is about to run there."""
        if end.context.kind is not ContextKind.LOCAL:
            self._shells.start(end.context, label_of(step))

    def close(self) -> None:
        """Take away the progress, and free what the contexts hold on this machine."""
        self.progress.finish()
        self._shells.close()
        for context in {id(context): context for context in self._contexts.values()}.values():
            context.close()

    def _resolve(self, role: str | None, _become: bool | None, _user: str | None) -> Context:
        return self._contexts[role or NAMES]

    def run(self, steps: Sequence[Step], *, metered: bool = False) -> PipelineResult:
        """Run steps whose contexts are the roles of the ends; raise TransferError if one fails.

        Steps that are ``metered`` move the data; the limits of the rate and of a stall are theirs.
        """
        result = self.attempt(steps, metered=metered)
        if result.failed_step is not None:
            raise self.failure(result)
        return result

    def attempt(
        self, steps: Sequence[Step], *, metered: bool = False, when_ready: WhenReady | None = None
    ) -> PipelineResult:
        """Run steps as above, and return what came of it."""
        request = self._request
        steps = inlined(steps, self._is_list, self._takes_list)
        options = Options(
            timeout=request.timeout,
            started=self._started,
            stall_timeout=request.stall_timeout if metered else None,
            connect_timeout=self.within(request.connect_timeout),
            rate_limit=request.rate_limit if metered else None,
            limited=tuple(step.input for step in steps if step.context == self.dest.role and step.input),
            meter=self.progress.of(steps, moves=metered),
            stdout_limit=0,
            keep_contexts=True,
            at_once=when_ready is None,
            shells=self._shells,
            when_ready=when_ready,
        )
        result = run_pipeline(steps, self._resolve, options)
        self.warnings += result.warnings
        for role in {step.context for step in steps if step.context} - {NAMES}:
            self._contexts[role].prepare()
        for step in result.steps:
            if step.context != NAMES:
                self._steps[step.name, step.context] = replace(step, stderr=without_digests(step.stderr))
        if len(steps) == len(result.steps) == 1 and result.steps[0].connection_time_ms is not None:
            seconds = (result.duration_ms - result.steps[0].connection_time_ms) / 1000
            role = steps[0].context or NAMES
            self._answers[role] = min(seconds, self._answers.get(role, seconds))
        return result

    def answers_within(self, end: End, seconds: float) -> bool:
        """Return whether an end has once done all of a script in so little time, a round trip included."""
        return self._answers.get(end.role, seconds) < seconds

    @staticmethod
    def _is_list(step: Step) -> bool:
        return step.context == NAMES and step.argv is not None

    def _takes_list(self, step: Step) -> bool:
        """Return whether a step would need another connection if it read a list."""
        return step.command is not None and self._contexts[step.context or NAMES].outlives_connection

    def errand(self, name: str, end: End, script: str, seconds: float) -> str:
        """Run a short script at an end and return what it printed; raise TransferError if it fails."""
        (result,) = run_errands([Errand(name, end.context, script)], seconds)
        if not result.done:
            said = " / ".join(line.strip() for line in result.stderr.splitlines() if line.strip()) or "no message"
            text = sentence(f"'{name}' ({end.context.name}): {said}", result.remedy)
            raise TransferError(text, passing=result.rc is None)
        return result.stdout

    def within(self, seconds: float) -> float:
        """Return a number of seconds that does not lead beyond the time for the whole transfer."""
        if self._request.timeout is None:
            return seconds
        return min(seconds, max(0.1, self._started + self._request.timeout - time.monotonic()))

    def failure(self, result: PipelineResult) -> TransferError:
        """Return the error for a pipeline that failed."""
        if self.has(0):
            text = without_digests(result.msg or f"'{result.failed_step}' failed")
            return TransferError(text, passing=result.passing or any(each in text for each in _CUT))
        contexts = [step.context for step in result.steps if step.name == result.failed_step]
        where = f" ({contexts[0]})" if contexts else ""
        limit = f"{self._request.timeout:g} seconds"
        return TransferError(
            f"the transfer did not finish within {limit}; step '{result.failed_step}'{where} was not done"
        )

    @staticmethod
    def names(spool: Spool, name: str = NAMES) -> Step:
        """Return the step that prints a list of names."""
        spool.rewind()
        # not a source: the progress of a list is no progress
        return Step(name, StepKind.COMMAND, context=NAMES, argv=("cat", spool.path))

    @staticmethod
    def command(
        name: str, end: End, script: str, reads: str, output: Spool | None = None, ok: tuple[int, ...] = (0,)
    ) -> Step:
        """Return the step that runs a script at an end."""
        file = output.file if output is not None else None
        return Step(name, StepKind.COMMAND, end.role, command=script, input=reads, output=file, ok_codes=ok)

    def report(self, *steps: Step, names: Spool | None = None) -> None:
        """Run scripts side by side that read the same names, if any, and print to spools."""
        if names is not None:
            self.run([self.names(names), *steps])
        else:
            self.run([replace(step, input=None) for step in steps])

    def clean(self, root: str, names: Sequence[str], *, empty_root: bool) -> None:
        """Remove directories of transfers from the destination; what cannot be removed becomes a warning.

        With ``empty_root`` the root goes too, if there is nothing else in it.
        """
        script = _shell.clean_script(root, names, empty_root)
        seconds = _LATE_CLEAN_SECONDS if not self.has(0) else _CLEAN_SECONDS
        try:
            (result,) = run_errands([Errand("clean", self.dest.context, script)], seconds)
        except ContextError as exc:
            self.warnings.append(f"{root}/{names[0]} may be left: {exc}")
        else:
            if not result.done:
                said = " ".join(result.stderr.split())
                self.warnings.append(f"{self.dest.context.name}: {root}/{names[0]} may be left: {said}")
