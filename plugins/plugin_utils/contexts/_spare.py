# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that are opened before it is known what will run there: to open one takes kubectl 0.1 s."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .._linux import make_pipe
from ._base import Launch

WAITING = 'IFS= read -r l && eval "$l"'
"""What runs there meanwhile. It reads the command from its input, byte by byte, and ends when that ends."""
_SECONDS = 30.0
"""What waited longer is not relied on: something in between may have let it drop."""


@dataclass
class Spare:
    """A process that waits at the other end for a command, with the descriptors that lead to it."""

    process: subprocess.Popen[bytes]
    stdin: int
    stdout: int
    stderr: int
    since: float = field(default_factory=time.monotonic)

    @property
    def usable(self) -> bool:
        """Whether it still waits."""
        return self.process.poll() is None and time.monotonic() - self.since < _SECONDS

    def end(self) -> None:
        """End it and close its descriptors."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for fd in (self.stdin, self.stdout, self.stderr):
            os.close(fd)


def start(launch: Launch) -> Spare:
    """Start a process that runs ``WAITING`` somewhere; raise OSError."""
    stdin, to_stdin = make_pipe()
    from_stdout, stdout = make_pipe()
    from_stderr, stderr = os.pipe2(os.O_CLOEXEC)
    try:
        process = subprocess.Popen(
            launch.argv,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=launch.env,
            pass_fds=launch.pass_fds,
            start_new_session=True,
        )
    except BaseException:
        for fd in (to_stdin, from_stdout, from_stderr):
            os.close(fd)
        raise
    finally:
        for fd in (stdin, stdout, stderr):
            os.close(fd)
    return Spare(process, to_stdin, from_stdout, from_stderr)


class Spares:
    """The connections that wait for commands in one place."""

    def __init__(self) -> None:
        self._waiting: list[Spare] = []

    def add(self, launch: Callable[[], Launch], count: int) -> None:
        """Have so many more; what cannot be started is told when a command is."""
        for _each in range(count):
            with contextlib.suppress(OSError):
                self._waiting.append(start(launch()))

    def used(self, launch: Launch, command: str) -> Launch:
        """Return the launch of a command by one that waits, or as it is if there is none."""
        while self._waiting and "\n" not in command:
            spare = self._waiting.pop(0)
            if spare.usable:
                return replace(launch, spare=spare, first=f"{command}\n".encode(errors="surrogateescape"))
            spare.end()
        return launch

    def end(self) -> None:
        """End all of them."""
        while self._waiting:
            self._waiting.pop().end()
