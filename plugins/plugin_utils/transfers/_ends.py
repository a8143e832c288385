# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the scripts of a transfer as pipelines between its two ends, and believes only what a pipeline proves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..contexts._base import Context, ContextError, sentence
from ..contexts._local import LocalContext
from ..streams._errand import Errand, run_errands
from ..streams._pipeline import Options, WhenReady, run_pipeline
from ..streams._result import PipelineResult
from ..streams._spec import Step, StepKind
from . import _shell
from ._errors import TransferError
from ._spec import Request
from ._spool import Spool

_CLEAN_SECONDS = 300.0
NAMES = "names"
"""The step that hands over a list of names, and its context: this machine."""


@dataclass(frozen=True)
class End:
    """One end of a transfer: what it is called in messages, and where it is."""

    role: str
    context: Context


class Ends:
    """Both ends, and this machine, which hands them their lists of names."""

    def __init__(self, request: Request, src: Context, dest: Context) -> None:
        self.src = End("source", src)
        self.dest = End("destination", dest)
        self.warnings: list[str] = []
        self._request = request
        self._local = LocalContext(NAMES)
        self._contexts = {"source": src, "destination": dest, NAMES: self._local}

    def close(self) -> None:
        """Free what the contexts hold on this machine."""
        for context in {id(context): context for context in self._contexts.values()}.values():
            context.close()

    def _resolve(self, role: str | None, _become: bool | None, _user: str | None) -> Context:
        return self._contexts[role or NAMES]

    def run(self, steps: Sequence[Step], *, metered: bool = False) -> PipelineResult:
        """Run steps whose contexts are the roles of the ends; raise TransferError if one fails."""
        result = self.attempt(steps, metered=metered)
        if result.failed_step is not None:
            raise TransferError(result.msg or f"'{result.failed_step}' failed")
        return result

    def attempt(
        self, steps: Sequence[Step], *, metered: bool = False, when_ready: WhenReady | None = None
    ) -> PipelineResult:
        """Run steps whose contexts are the roles of the ends, and return what came of it."""
        options = Options(
            connect_timeout=self._request.connect_timeout,
            meter=self._request.meter if metered else None,
            stdout_limit=0,
            keep_contexts=True,
            when_ready=when_ready,
        )
        result = run_pipeline(steps, self._resolve, options)
        self.warnings += result.warnings
        return result

    def errand(self, name: str, end: End, script: str, seconds: float) -> str:
        """Run a short script at an end and return what it printed; raise TransferError if it fails."""
        (result,) = run_errands([Errand(name, end.context, script)], seconds)
        if not result.done:
            said = " / ".join(line.strip() for line in result.stderr.splitlines() if line.strip()) or "no message"
            raise TransferError(sentence(f"'{name}' ({end.context.name}): {said}", result.remedy))
        return result.stdout

    @staticmethod
    def names(spool: Spool) -> Step:
        """Return the step that prints a list of names."""
        spool.rewind()
        # not a source: the progress of a list is no progress
        return Step(NAMES, StepKind.COMMAND, context=NAMES, argv=("cat", spool.path))

    @staticmethod
    def command(
        name: str, end: End, script: str, reads: str, output: Spool | None = None, ok: tuple[int, ...] = (0,)
    ) -> Step:
        """Return the step that runs a script at an end."""
        file = output.file if output is not None else None
        return Step(name, StepKind.COMMAND, end.role, command=script, input=reads, output=file, ok_codes=ok)

    def report(self, *steps: Step, names: Spool | None = None) -> None:
        """Run scripts side by side that read the same names, if any, and print to spools."""
        nothing = Spool()
        try:
            self.run([self.names(names or nothing), *steps])
        finally:
            nothing.close()

    def clean(self, root: str, names: Sequence[str], *, empty_root: bool) -> None:
        """Remove directories of transfers from the destination; what cannot be removed becomes a warning.

        With ``empty_root`` the root goes too, if there is nothing else in it.
        """
        script = _shell.clean_script(root, names, empty_root)
        try:
            (result,) = run_errands([Errand("clean", self.dest.context, script)], _CLEAN_SECONDS)
        except ContextError as exc:
            self.warnings.append(f"{root}/{names[0]} may be left: {exc}")
        else:
            if not result.done:
                said = " ".join(result.stderr.split())
                self.warnings.append(f"{self.dest.context.name}: {root}/{names[0]} may be left: {said}")
