# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out whether commands can run in contexts, by running one that does nothing in all of them at once."""

from __future__ import annotations

import queue
import shlex
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from ..contexts._base import Context, ContextError, sentence
from ..contexts._status import ContextStatus, Status
from ._errand import Errand, ErrandResult, run_errands

AT_ONCE = 64
"""How many contexts are tried at a time; each needs about ten descriptors here."""

LOGINS_AT_ONCE = 8
"""How many of them on one server: sshd turns some away from ten on (MaxStartups, MaxSessions in sshd_config(5))."""

_GRACE = 5.0
"""Seconds past its time after which a context that does not answer is given up."""
_NOTHING = ":"

Resolve = Callable[[str], Context]
"""Gives the context of a name; raises ContextError."""


@dataclass(frozen=True)
class _Answer:
    """What became of one context; ``defect`` is an error that nobody foresaw."""

    index: int
    status: Status
    milliseconds: int | None = None
    reason: str | None = None
    defect: BaseException | None = None


def survey(
    names: Sequence[str], defaults: Collection[str], resolve: Resolve, seconds: float | None
) -> list[ContextStatus]:
    """Return how each context is, in order. Each may take ``seconds``; nothing is tried if that is None.

    Raises only what interrupts it, and defects.
    """
    crew = _Crew(seconds or 0.0)
    statuses: list[ContextStatus] = []
    for index, name in enumerate(names):
        status = ContextStatus(name, None, name in defaults)
        try:
            context = resolve(name)
        except ContextError as exc:
            statuses.append(replace(status, status=Status.INVALID, reason=_reason(exc)))
            continue
        statuses.append(replace(status, kind=context.kind))
        if seconds is None:
            context.close()
        else:
            crew.give(index, context)  # the first ones are tried while the others are still resolved
    for answer in crew.answers():
        statuses[answer.index] = replace(
            statuses[answer.index],
            status=answer.status,
            connection_time_ms=answer.milliseconds,
            reason=answer.reason,
        )
    return statuses


class _Crew:
    """Threads that try contexts side by side."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[_Answer] = queue.SimpleQueue()
        self._pending: list[int] = []
        self._workers = 0
        self._servers: dict[str, threading.Semaphore] = {}

    def give(self, index: int, context: Context) -> None:
        self._pending.append(index)
        server = context.server
        task = _Task(index, context, self._seconds, shared=server in self._servers)
        if server is not None:
            task.turn = self._servers.setdefault(server, threading.Semaphore(LOGINS_AT_ONCE))
        self._tasks.put(task)
        if self._workers < AT_ONCE:
            self._workers += 1
            threading.Thread(target=self._work, daemon=True).start()

    def answers(self) -> list[_Answer]:
        """Wait for all answers; what does not come in time is out of reach. Raises a defect."""
        for _each in range(self._workers):
            self._tasks.put(None)
        rounds = -(-len(self._pending) // AT_ONCE)
        deadline = time.monotonic() + rounds * (self._seconds + _GRACE)
        found: list[_Answer] = []
        while len(found) < len(self._pending):
            try:
                answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if answer.defect is not None:
                raise answer.defect
            found.append(answer)
        late = {*self._pending} - {answer.index for answer in found}
        return found + [_Answer(index, Status.UNREACHABLE, reason=_too_late(self._seconds)) for index in late]

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                with task.turn:
                    answer = task.run()
            except BaseException as exc:  # handed to the thread that waits for it
                answer = _Answer(task.index, Status.UNKNOWN, defect=exc)
            self._answers.put(answer)


@dataclass
class _Task:
    """A context to try."""

    index: int
    context: Context
    seconds: float
    shared: bool
    """Whether its server has been met before: then it is probably the same login, and a connection serves both."""
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)

    def run(self) -> _Answer:
        """Connect and run a command that does nothing."""
        started = time.monotonic()
        try:
            result = self._ask_cluster()
            if result is None:
                (self.context.open if self.shared else self.context.open_once)(self.seconds)
                left = max(0.1, started + self.seconds - time.monotonic())
                (result,) = run_errands([Errand("probe", self.context, _NOTHING)], left)
        except ContextError as exc:
            return _Answer(self.index, Status.UNREACHABLE, reason=_reason(exc))
        finally:
            self.context.close()
        elapsed = time.monotonic() - started
        if result.done:
            return _Answer(self.index, Status.READY, round(elapsed * 1000))
        said = " ".join(result.stderr.split()) or "the shell there does not work"
        reason = _too_late(self.seconds) if elapsed >= self.seconds else sentence(said, result.remedy)
        return _Answer(self.index, Status.UNREACHABLE, reason=reason)

    def _ask_cluster(self) -> ErrandResult | None:
        """Return the answer of a cluster that stands for itself; None if there is a pod to run a command in.

        A cluster that forbids to look for the pod has answered as well.
        """
        pod = self.context.unnamed_pod
        if pod is None:
            return None
        place = self.context.for_kubectl()
        line = shlex.join([*place.program, "get", "pod", pod, "--ignore-not-found", "-o", "name"])
        (result,) = run_errands([Errand("probe", place, line)], self.seconds)
        if result.done and result.stdout.strip():
            return None
        if result.done or result.rc is None:
            return result
        if "(Forbidden)" in result.stderr:
            return replace(result, rc=0)
        diagnosis = self.context.diagnose(result.stderr, result.rc)
        return replace(result, stderr=diagnosis.cause, remedy=diagnosis.remedy)


def _reason(exc: ContextError) -> str:
    return sentence(f"{exc.operation}: {exc.cause}", exc.remedy)


def _too_late(seconds: float) -> str:
    return f"it did not answer within {seconds:g} seconds"
