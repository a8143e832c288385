# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program to its end, and ending it with its children when we are told to stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

GRACE = 60.0
"""Seconds that an interrupted program has to tidy up before it is killed."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Failed(Exception):
    """A program that has to succeed did not; ``output`` is what it wrote."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{Path(argv[0]).name} ended with {code}: {' '.join(argv)}")
        self.output = output


def stop_on_signals() -> None:
    """Make SIGTERM and SIGHUP end us as Ctrl-C does.

    SIGINT is taken back as well: a shell that starts us in the background has it ignored, and so it would be
    in every program of every test.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path | None = None) -> int:
    """Run a program in a process group of its own and return its exit status.

    What it writes goes to our own stdout, or to the end of ``log``. On Ctrl-C its whole group is
    interrupted once and waited for; a second Ctrl-C, or the end of the grace time, kills it.
    """
    sys.stdout.flush()
    process: subprocess.Popen[bytes] | None = None
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("ab")) if log else None
        try:
            with _held_back() as held:
                process = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                )
            if held:
                raise KeyboardInterrupt
            return process.wait()
        except KeyboardInterrupt:
            if process:
                _end(process)
            raise


@contextlib.contextmanager
def _held_back() -> Iterator[list[int]]:
    """Collect the signals that would end us while a program is being started: it would be left behind."""
    held: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        held.append(number)

    # handlers, not a blocked mask: the program would inherit the mask
    before = {number: signal.signal(number, hold) for number in _ENDING}
    try:
        yield held
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def output(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run a short program and return its stdout; raise Failed where it does not succeed."""
    done = subprocess.run(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(argv, done.returncode, done.stdout + done.stderr)
    return done.stdout


def must(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path) -> None:
    """Run a program of the set-up, its output kept in ``log``; raise Failed where it does not succeed."""
    code = run(argv, cwd=cwd, env=env, log=log)
    if code:
        raise Failed(argv, code, log.read_text(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(GRACE)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
