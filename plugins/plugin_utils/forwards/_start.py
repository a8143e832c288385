# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, finding and stopping forwards from a task's side."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from . import _control
from ._errors import ForwardError
from ._job import Job
from ._spec import Lifetime
from ._state import ForwardFolder
from ._status import ForwardStatus, State

_GRACE = 15.0
"""Seconds for a supervisor to start and to give up, beyond those in which it has to be ready."""
_STOP_SECONDS = 15.0
"""How long a forward may take to end, connections, children and all."""
_PAUSE = 0.05
_UP = (State.READY.value, State.WAITING.value)


@dataclass(frozen=True)
class Outcome:
    """What became of a forward."""

    status: ForwardStatus
    changed: bool
    before: ForwardStatus | None = None
    """The forward of that name that was there before."""


@dataclass
class _Heirs:
    """For whom a forward lived that is being replaced: its successor lives for them too."""

    owners: tuple[int, ...] = ()
    persistent: bool = False
    ttl: float | None = None


def find(folder: ForwardFolder, name: str) -> ForwardStatus | None:
    """Return how a forward is, None if there is none; raise ForwardError if it does not answer."""
    deadline = time.monotonic() + _STOP_SECONDS
    while folder.is_alive(name):
        try:
            with _control.Conversation(folder.socket_of(name)) as supervisor:
                return _status(supervisor.ask({"do": "status"}))
        except _control.NotThere as exc:
            if time.monotonic() > deadline:
                raise ForwardError(
                    f"forward '{name}': its process does not answer ({exc}). Kill it; it is in the log "
                    f"{folder.log_of(name)}."
                ) from exc
            time.sleep(_PAUSE)
    return None


def find_all(folder: ForwardFolder) -> list[ForwardStatus]:
    """Return how all forwards are, by name."""
    found = (find(folder, name) for name in folder.names())
    return [status for status in found if status is not None]


def stop(folder: ForwardFolder, name: str, reason: str = "it was asked to stop") -> ForwardStatus | None:
    """End a forward; return how it was, None if there was none. When this returns, nothing of it is left."""
    deadline = time.monotonic() + _STOP_SECONDS
    with folder.changing(name, deadline):
        before = _stop(folder, name, reason, deadline)[0]
        folder.sweep()
    return before


def ensure(folder: ForwardFolder, job: Job, *, restart: bool = False) -> Outcome:
    """Let a forward be as it is asked for, for the owners of the job; raise ForwardError if that fails.

    One of the same kind that runs is taken over, another one of that name is replaced.
    """
    name = job.spec.name
    with folder.changing(name, time.monotonic() + job.spec.wait_timeout + _GRACE):
        folder.sweep()
        deadline = time.monotonic() + _STOP_SECONDS
        joined = None if restart else _join(folder, job, deadline)
        if joined is not None:
            return joined
        before, heirs = _stop(folder, name, "it is replaced", deadline)
        try:
            return Outcome(_start(_with(job, heirs)), changed=True, before=before)
        finally:
            for fd in heirs.owners:
                os.close(fd)


def differs(folder: ForwardFolder, job: Job) -> tuple[ForwardStatus | None, bool]:
    """Return the forward of that name, and whether ``ensure`` would change anything."""
    found = find(folder, job.spec.name)
    return found, found is None or found.identity != job.identity or _lengthens(found, job)


def _lengthens(found: ForwardStatus, job: Job) -> bool:
    return job.spec.lifetime is Lifetime.PERSISTENT and found.lifetime != Lifetime.PERSISTENT.value


def _join(folder: ForwardFolder, job: Job, deadline: float) -> Outcome | None:
    """Become a further owner of what runs already; None if nothing does, or something else."""
    request = {
        "do": "own",
        "identity": job.identity,
        "lifetime": job.spec.lifetime.value,
        "ttl": job.spec.ttl,
        "connect_timeout": job.spec.connect_timeout,
    }
    while (before := find(folder, job.spec.name)) is not None and before.identity == job.identity:
        if before.state in _UP:
            with (
                contextlib.suppress(_control.NotThere),
                _control.Conversation(folder.socket_of(job.spec.name)) as supervisor,
            ):
                given = supervisor.ask(request, job.owners)
                if given.values["taken"]:
                    return Outcome(_status(given), changed=_lengthens(before, job), before=before)
        if time.monotonic() > deadline:
            return None
        time.sleep(_PAUSE)  # it is starting for a task that was ended, or is just ending itself
    return None


def _stop(folder: ForwardFolder, name: str, reason: str, deadline: float) -> tuple[ForwardStatus | None, _Heirs]:
    before, heirs = None, _Heirs()
    while folder.is_alive(name):
        try:
            with _control.Conversation(folder.socket_of(name)) as supervisor:
                given = supervisor.ask({"do": "stop", "reason": reason, "hand_over": True})
                before = _status(given)
                heirs = _Heirs(given.fds, given.values["persistent"], given.values["ttl"])
                supervisor.await_end(deadline - time.monotonic())
        except _control.NotThere as exc:
            if time.monotonic() > deadline:
                raise ForwardError(f"forward '{name}': its process does not end ({exc}). Kill it.") from exc
        if folder.is_alive(name):
            time.sleep(_PAUSE)
    return before, heirs


def _with(job: Job, heirs: _Heirs) -> Job:
    spec = job.spec
    if heirs.persistent and spec.lifetime is Lifetime.PLAY:
        spec = replace(spec, lifetime=Lifetime.PERSISTENT, ttl=heirs.ttl)
    return replace(job, spec=spec, owners=(*job.owners, *heirs.owners))


def _status(given: _control.Answer) -> ForwardStatus:
    return ForwardStatus.from_json(given.values["status"])


def _start(job: Job) -> ForwardStatus:
    """Start a supervisor and return how it is once it is ready; raise ForwardError if it will not be."""
    with tempfile.TemporaryFile() as errors, _process(job, errors) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("defect: the supervisor has no pipes")
        with contextlib.suppress(BrokenPipeError):
            data = memoryview(job.encode())
            while data:
                data = data[process.stdin.write(data) :]
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        line = _read_line(process.stdout, job.spec.wait_timeout + _GRACE)
        if line is None:
            raise ForwardError(
                f"forward '{job.spec.name}': its process does not answer. See its log in {job.directory}."
            )
        if not line:
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else "no message"
            raise ForwardError(f"forward '{job.spec.name}': its process ended before it was ready: {reason}")
    values = json.loads(line)
    if "error" in values:
        raise ForwardError(values["error"])
    return ForwardStatus.from_json(values["ready"])


@contextlib.contextmanager
def _process(job: Job, errors: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    boot = Path(__file__).with_name("_boot.py")
    argv: Sequence[str] = (sys.executable, "-P", str(boot), job.spec.name)
    process = subprocess.Popen(
        argv,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        pass_fds=job.owners,
        start_new_session=True,
        umask=0o077,
    )
    try:
        yield process
    finally:
        # the supervisor has left this child, and takes a closed pipe for the end of the task
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _read_line(pipe: IO[bytes], seconds: float) -> bytes | None:
    """Return a line, or what came before the end; None if nothing came in time."""
    deadline = time.monotonic() + seconds
    data = b""
    while not data.endswith(b"\n"):
        ready, _writable, _exceptional = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(pipe.fileno(), 1 << 16)
        if not piece:
            return b""
        data += piece
    return data
