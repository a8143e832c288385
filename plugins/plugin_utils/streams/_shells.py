# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shells of stages: local processes that reach a context, where a shell waits for its script.

What a shell will run needs not be known when it is started, so some are started ahead: until one waits in a pod takes
as long as many a script.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .._linux import make_pipe
from ..contexts._base import Context, ContextError, Launch
from . import _shell
from ._marker import new_nonce

_FRESH_SECONDS = 10.0
"""How long a shell may have waited for its script. Whatever takes longer does not gain by it, and something between us
may have forgotten the connection."""


@dataclass
class Shell:
    """A process that runs, and the descriptors of this machine that lead to it. Whoever takes it closes them."""

    launch: Launch
    process: subprocess.Popen[bytes]
    stdin: int
    stdout: int
    stderr: int
    started: float
    """When (time.monotonic)."""
    nonce: str = ""
    """What ends the script that it waits for."""

    def end(self) -> None:
        """End it, and close what leads to it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for fd in (self.stdin, self.stdout, self.stderr):
            os.close(fd)


def start_shell(context: str, launch: Callable[[], Launch], nonce: str = "") -> Shell:
    """Start what ``launch`` returns; raise ContextError if the program that reaches the context is not there."""
    started = time.monotonic()
    descriptors: list[int] = []
    made: Launch | None = None
    try:
        for pipe in (make_pipe(), make_pipe(), os.pipe2(os.O_CLOEXEC)):
            descriptors += pipe
        made = launch()
        given, stdin, stdout, printed, stderr, said = descriptors
        process = _spawned(context, made, given, printed, said)
    except BaseException:
        for fd in descriptors:
            os.close(fd)
        raise
    finally:
        if made is not None:
            made.started()
    for fd in (given, printed, said):
        os.close(fd)
    for fd in (stdin, stdout, stderr):
        os.set_blocking(fd, False)
    return Shell(made, process, stdin, stdout, stderr, started, nonce)


def _spawned(context: str, launch: Launch, stdin: int, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
    try:
        return launch.start(stdin, stdout, stderr)
    except OSError as exc:
        program = launch.argv[0].decode(errors="replace")
        cause, remedy = exc.strerror or str(exc), f"Install {program} on this machine and put it on PATH."
        raise ContextError(context, f"starting {program}", cause, remedy) from exc


class Shells:
    """Shells that were started ahead, each for the next stage of its context. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Context, Shell]] = []
        self._closed = False

    def start(self, context: Context, label: str) -> None:
        """Start one without waiting for it; what fails is told when it is needed. Process lists show the label."""
        nonce = new_nonce()
        with contextlib.suppress(ContextError):
            shell = start_shell(context.name, lambda: context.launch(_shell.bootstrap(nonce, label)), nonce)
            with self._lock:
                if not self._closed:
                    self._waiting.append((context, shell))
                    return
            shell.end()

    def take(self, context: Context) -> Shell | None:
        """Return one that waits in a context, None if there is none."""
        while True:
            with self._lock:
                found = next((each for each in self._waiting if each[0] is context), None)
                if found is None:
                    return None
                self._waiting.remove(found)
            shell = found[1]
            if shell.process.poll() is None and time.monotonic() - shell.started < _FRESH_SECONDS:
                return shell
            shell.end()

    def end(self) -> None:
        """End those that nobody needed."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for _context, shell in waiting:
            shell.end()

    def close(self) -> None:
        """End them, and start no more."""
        with self._lock:
            self._closed = True
        self.end()
