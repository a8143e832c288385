# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short scripts run in contexts on behalf of a stream: commit a sink, end a stage, remove a temporary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from .._required import required
from ..contexts._base import Context, ContextError
from . import _shell
from ._loop import DeadlineReached, Loop
from ._marker import new_nonce
from ._pump import CapturePump
from ._stage import Phase, Stage, StageRefused

OUTPUT_LIMIT = 65536


@dataclass(frozen=True)
class Errand:
    """A script to run in a context; ``name`` says on whose behalf."""

    name: str
    context: Context
    script: str


@dataclass(frozen=True)
class ErrandResult:
    """What became of an errand; it is proven like a stage, by its mark."""

    rc: int | None
    """Exit status of the script; None if it is not known to have finished."""
    stdout: str = ""
    stderr: str = ""
    """What it printed there, or why it could not run."""
    remedy: str | None = None
    """What to do about one that could not run."""

    @property
    def done(self) -> bool:
        return self.rc == 0


def run_errands(errands: Sequence[Errand], seconds: float) -> list[ErrandResult]:
    """Run errands side by side and return their results in order; one that fails does not stop the others."""
    loop = Loop()
    running = [_Running(errand, loop) for errand in errands]
    deadline = time.monotonic() + seconds
    try:
        while True:
            try:
                for errand in running:
                    errand.start()
                loop.run(lambda: sum(errand.advance() for errand in running) == len(running), deadline)
            except StageRefused as exc:
                for errand in running:
                    if errand.stage is exc.stage:
                        errand.fail(exc.cause, exc.remedy)
            except DeadlineReached:
                for errand in running:
                    errand.fail(f"it took longer than {seconds:g} seconds")
                break
            else:
                break
        return [errand.result() for errand in running]
    finally:
        for errand in running:
            errand.stage.kill()
        loop.close()


class _Running:
    def __init__(self, errand: Errand, loop: Loop) -> None:
        nonce = new_nonce()
        self.stage = Stage(errand.name, errand.context, _shell.errand_script(nonce, errand.script), nonce, loop)
        self._started = False
        self._error: str | None = None
        self._result: ErrandResult | None = None

    def start(self) -> None:
        if self._started:
            return
        self._started = True
        try:
            self.stage.start(alone=True)
        except ContextError as exc:
            self.fail(exc.cause, exc.remedy)

    def advance(self) -> bool:
        """Let the script run once it is ready; return whether there is nothing left to wait for."""
        if self._result is not None:
            return True
        if self.stage.phase is Phase.READY:
            self.stage.release(CapturePump(self.stage.stdout, OUTPUT_LIMIT))
        if self.stage.phase is Phase.RUNNING and self.stage.lingers:
            self.stage.let_go()
        if self.stage.phase is Phase.DONE:
            self._result = self._read()
        return self._result is not None

    def _read(self) -> ErrandResult:
        mark = self.stage.mark
        stdout = required(self.stage.pump, "pump of an errand").captured.decode(errors="replace")
        if mark is None:
            return ErrandResult(None, stdout, self.stage.stderr or "the connection was lost")
        return ErrandResult(mark.rc, stdout, self.stage.stderr)

    def fail(self, cause: str, remedy: str | None = None) -> None:
        if self._result is None:
            self._result = ErrandResult(None, "", cause, remedy)

    def result(self) -> ErrandResult:
        return self._result or ErrandResult(None, "", "it was not run")
