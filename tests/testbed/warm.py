# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of ``ansible-playbook`` that are forked from a process in which half of its imports are done.

See ``warm_program.py`` for what is done before the fork and what is not. Python reads some variables when it starts;
a run whose values of these differ from the server's is not forked: :meth:`WarmAnsible.serves` says so.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

PROGRAM = Path(__file__).with_name("warm_program.py")
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "OPENSSL_")
_ALWAYS = {"LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
_ROOM_FOR_ARGUMENTS = 1 << 14
_ROOM_FOR_ENVIRONMENT = 1 << 16
_PADDING = "MANIFOLD_TESTBED_ROOM"


class WarmError(Exception):
    """The server of forked runs has ended."""


class ForkedRun:
    """A run that was forked: as much of ``subprocess.Popen`` as the test bed uses."""

    def __init__(self, status: int, stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb", buffering=0)
        self._told = b""
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the exit status, negative if a signal ended the run; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status; raise subprocess.TimeoutExpired when the time passes."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._status, select.POLLIN)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("ansible-playbook", timeout or 0)
            self.returncode = self._number()
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal the run unless its end is known."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        while b"\n" not in self._told:
            data = self._status.read(64)
            if not data:
                raise WarmError("the process that forks runs of ansible-playbook has ended")
            self._told += data
        line, _end, self._told = self._told.partition(b"\n")
        return int(line)


class WarmAnsible:
    """The server; it ends when it is closed, or with this process."""

    def __init__(self) -> None:
        self._environment = {**os.environ, **_ALWAYS}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(PROGRAM), "." * _ROOM_FOR_ARGUMENTS],
                stdin=theirs.fileno(),
                env={**self._environment, _PADDING: "." * _ROOM_FOR_ENVIRONMENT},
                start_new_session=True,
            )
        self._channel = ours

    def serves(self, argv: list[str], environment: Mapping[str, str]) -> bool:
        """Return whether a run with this environment is the same forked as started afresh."""
        asked, has = (
            {k: v for k, v in e.items() if k.startswith(_READ_AT_START)} for e in (environment, self._environment)
        )
        arguments = sum(len(os.fsencode(word)) + 1 for word in [sys.executable, *argv])
        variables = sum(len(os.fsencode(name + value)) + 2 for name, value in environment.items())
        return asked == has and arguments <= _ROOM_FOR_ARGUMENTS and variables <= _ROOM_FOR_ENVIRONMENT

    def start(self, argv: list[str], *, environment: Mapping[str, str], cwd: Path) -> ForkedRun:
        """Fork a run of the program ``argv[0]`` with piped output and no input."""
        request = json.dumps({"argv": argv, "cwd": str(cwd), "environment": dict(environment)}).encode()
        pipes = [os.pipe() for _each in ("stdout", "stderr", "status")]
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            socket.send_fds(self._channel, [request], array.array("i", [nothing, *(pipe[1] for pipe in pipes)]))
        finally:
            for descriptor in (nothing, *(pipe[1] for pipe in pipes)):
                os.close(descriptor)
        stdout, stderr, status = (pipe[0] for pipe in pipes)
        return ForkedRun(status, os.fdopen(stdout, "rb"), os.fdopen(stderr, "rb"))

    def close(self) -> None:
        """End the server; runs that still run are not touched."""
        self._channel.close()
        self._process.wait(10)
