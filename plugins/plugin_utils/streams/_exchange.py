# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command in a context, its input and its answer in memory: what an ordinary connection plugin needs.

The same protocol as a stage of a pipeline: the answer counts only with its mark, and the input only if the command was
given all of it or stopped reading on purpose.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..contexts._base import Context, ContextError, sentence
from . import _shell
from ._errand import Errand, run_errands
from ._loop import DeadlineReached, Loop
from ._marker import MARK_LENGTH, Mark, held_back, mark_head, new_nonce, parse_mark
from ._pump import Pump, Wait
from ._stage import Phase, Stage, StageRefused

READY_SECONDS = 60.0
"""How long it may take until a command can run."""
_ABORT_SECONDS = 15.0
_TURNS = 16

Keep = Callable[[bytes], object]


@dataclass(frozen=True)
class Reply:
    """How a command ended; proven."""

    rc: int
    stderr: bytes


class ExchangeFailed(Exception):
    """A command could not be run, or its answer is not whole: cause and remedy."""

    def __init__(self, cause: str, remedy: str | None = None) -> None:
        super().__init__(sentence(cause, remedy))
        self.cause = cause
        self.remedy = remedy


def exchange(
    context: Context,
    label: str,
    script: Callable[[str], str],
    keep: Keep,
    data: bytes | None = None,
    seconds: float = READY_SECONDS,
) -> Reply:
    """Run the script that ``script`` makes for a nonce; ``keep`` is called with each piece of what it prints.

    ``data`` is its input; without it a command has none. Raises ExchangeFailed if it could not run within ``seconds``,
    or if its end was not seen; whatever of it still runs there is then ended. ``keep`` may raise too.
    """
    nonce = new_nonce()
    loop = Loop()
    stage = Stage(label, context, script(nonce), nonce, loop, label, stderr_limit=sys.maxsize)
    whole = False
    try:
        _start(stage, loop, seconds)
        stage.release(_ReplyPump(stage.stdout, nonce, keep))
        if data is not None:
            stage.give(data)
        loop.run(lambda: stage.phase is Phase.DONE or stage.lingers)
        reply = _judge(stage, data)
        whole = True
        return reply
    finally:
        try:
            if not whole and stage.phase in (Phase.RUNNING, Phase.DONE):
                abort = Errand("end", context, _shell.abort_script(nonce, None, stage.group))
                run_errands([abort], _ABORT_SECONDS)
        finally:
            stage.kill()
            loop.close()


def run_command(
    context: Context, argv: Sequence[str], data: bytes | None = None, seconds: float = READY_SECONDS
) -> tuple[int, bytes, bytes]:
    """Run a program in a context and return its exit status and what it printed on stdout and stderr.

    Raises ExchangeFailed, see ``exchange``.
    """

    def script(nonce: str) -> str:
        command = _shell.argv_command(argv)
        if data is None:
            return _shell.source_script(nonce, command, _shell.Surroundings(needs=(argv[0],)))
        return _shell.consumer_script(nonce, command, _shell.Surroundings(needs=(argv[0],)), context.counts_input)

    printed = bytearray()
    reply = exchange(context, "manifold command", script, printed.extend, data, seconds)
    return reply.rc, bytes(printed), reply.stderr


def _start(stage: Stage, loop: Loop, seconds: float) -> None:
    try:
        stage.context.open(seconds)
        stage.start()
        loop.run(lambda: stage.phase is not Phase.STARTING, time.monotonic() + seconds)
    except StageRefused as exc:
        raise ExchangeFailed(exc.cause, exc.remedy) from exc
    except ContextError as exc:
        raise ExchangeFailed(f"{exc.operation}: {exc.cause}", exc.remedy) from exc
    except DeadlineReached as exc:
        raise ExchangeFailed(f"the connection was not ready within {seconds:g} seconds") from exc


def _judge(stage: Stage, data: bytes | None) -> Reply:
    mark = stage.mark
    if mark is None:
        said = " / ".join(line.strip() for line in stage.stderr.splitlines()[-3:] if line.strip())
        raise ExchangeFailed(
            "its output was cut: it ended without proof that it is whole "
            f"(the connection's exit status is {stage.status}{', ' + said if said else ''})"
        )
    if data is not None and not mark.closed_early and (mark.lost_count or mark.bytes_given not in (None, len(data))):
        given = "an unknown number" if mark.bytes_given is None else mark.bytes_given
        raise ExchangeFailed(f"its input was cut: it was given {given} of {len(data)} bytes")
    return Reply(mark.rc, stage.stderr_bytes)


class _ReplyPump(Pump):
    """Hands on what a command prints up to its mark; what something that it left running prints later is dropped."""

    def __init__(self, source: int, nonce: str, keep: Keep) -> None:
        super().__init__(source)
        self._nonce = nonce
        self._keep = keep
        self._mark: Mark | None = None

    def step(self) -> Wait:
        for _turn in range(_TURNS):
            try:
                data = os.read(self.source, 1 << 16)
            except BlockingIOError:
                return Wait.DATA
            if not data:
                return Wait.END
            if self._mark is None:
                self._take(self._tail + data)
        return Wait.MORE

    def _take(self, seen: bytes) -> None:
        at = seen.find(mark_head(self._nonce))
        ready = at if at >= 0 else len(seen) - held_back(seen)
        if ready:
            self._keep(seen[:ready])
        self.moved += ready
        self._tail = seen[ready : ready + MARK_LENGTH] if at >= 0 else seen[ready:]
        self._mark = parse_mark(self._tail, self._nonce)

    def digest(self) -> str | None:
        return None
