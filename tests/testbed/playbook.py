# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running ``ansible-playbook`` as a user would: a process in a session of its own, watched and signalled."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from testbed.processes import await_exit, command_of, kill_marked, marked
from testbed.warm import ForkedRun, WarmAnsible

PLAY_VARIABLE = "MANIFOLD_TESTBED_PLAY"
"""Set to a play's own mark in ansible-playbook and in everything that it starts on this machine."""
CALLBACKS = Path(__file__).with_name("callback")


@dataclass(frozen=True)
class TaskResult:
    """What one task gave on one host. ``status`` is ok, failed, skipped or unreachable."""

    host: str
    task: str
    action: str
    status: str
    result: dict[str, Any]

    @property
    def changed(self) -> bool:
        """Whether the task said that it changed something."""
        return bool(self.result.get("changed"))


class PlaybookError(AssertionError):
    """A playbook did not do what the test took for granted; the text holds all of its output."""


@dataclass(frozen=True)
class PlaybookResult:
    """The end of a run. ``rc`` is negative if a signal ended ansible-playbook."""

    rc: int
    stdout: str
    stderr: str
    tasks: list[TaskResult] = field(repr=False)

    def check(self) -> PlaybookResult:
        """Return the result itself; raise PlaybookError unless the exit status is 0."""
        if self.rc != 0:
            raise PlaybookError(self.describe())
        return self

    def task(self, name: str, host: str | None = None) -> TaskResult:
        """Return the last result of the task of that name (on that host); raise PlaybookError if it never ran."""
        for done in reversed(self.tasks):
            if done.task == name and host in (None, done.host):
                return done
        raise PlaybookError(f"no result of task {name!r} on {host or 'any host'}\n{self.describe()}")

    def describe(self) -> str:
        """Return exit status and output, for a failure's message."""
        return f"ansible-playbook exited {self.rc}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class _Output:
    """One output stream, read by a thread as it grows."""

    def __init__(self, stream: IO[bytes], grown: threading.Condition) -> None:
        self._stream = stream
        self._grown = grown
        self._data = bytearray()
        self.ended = False
        self._thread = threading.Thread(target=self._read, name="play-output", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._stream.fileno(), 1 << 16):
                with self._grown:
                    self._data += data
                    self._grown.notify_all()
        with self._grown:
            self.ended = True
            self._grown.notify_all()

    def text(self) -> str:
        return self._data.decode(errors="replace")

    def finish(self) -> None:
        # whoever inherited the stream may outlive the play; what it writes later is not the play's output
        self._thread.join(2)
        if self.ended:
            self._stream.close()


class PlaybookRun:
    """A running ``ansible-playbook``.

    :param argv: arguments after the program's name.
    :param environment: the whole environment.
    :param results: where the results callback writes, see ``callback/testbed_results.py``.
    :param warm: forks the run, if it can; without it the command itself is started.
    """

    def __init__(
        self,
        argv: list[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        results: Path,
        warm: WarmAnsible | None = None,
    ) -> None:
        self._mark = secrets.token_hex(8)
        self._results = results
        self._forgiven = False
        self._grown = threading.Condition()
        command = [str(Path(sys.executable).with_name("ansible-playbook")), *argv]
        marks = {PLAY_VARIABLE: self._mark, "TESTBED_RESULTS": str(results), "PYTHONUNBUFFERED": "1"}
        self.process = _start(command, {**environment, **marks}, cwd, warm)
        assert self.process.stdout is not None and self.process.stderr is not None
        self._stdout = _Output(self.process.stdout, self._grown)
        self._stderr = _Output(self.process.stderr, self._grown)

    @property
    def pid(self) -> int:
        """The pid of ansible-playbook, which also leads its session and process group."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """What has been written so far."""
        return self._stdout.text()

    @property
    def stderr(self) -> str:
        """What has been written so far."""
        return self._stderr.text()

    def wait_output(self, text: str, timeout: float = 60) -> None:
        """Wait until stdout or stderr holds a text; raise PlaybookError if the play ends or time passes before."""
        self.wait_for(lambda: text in self.stdout or text in self.stderr, f"output {text!r}", timeout)

    def wait_for(self, condition: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Wait for a condition on the output, looked at whenever it has grown."""
        with self._grown:
            self._grown.wait_for(lambda: condition() or (self._stdout.ended and self._stderr.ended), timeout)
            if not condition():
                raise PlaybookError(f"waited in vain for {what}\n{self._so_far()}")

    def interrupt(self) -> None:
        """Do what a terminal does on Ctrl-C: SIGINT to the whole foreground process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGINT)

    def send_signal(self, number: signal.Signals) -> None:
        """Signal ansible-playbook alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL ansible-playbook alone, as the kernel's OOM killer would; its workers may live on."""
        self.process.kill()

    def wait(self, timeout: float = 300) -> PlaybookResult:
        """Wait for the end; when the time passes, kill everything and raise PlaybookError."""
        try:
            rc = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            so_far = self._so_far()
            self.kill_all()
            raise PlaybookError(f"ansible-playbook did not end within {timeout} s\n{so_far}") from None
        self._stdout.finish()
        self._stderr.finish()
        return PlaybookResult(rc, self.stdout, self.stderr, read_results(self._results))

    def processes(self) -> list[int]:
        """Return the pids of everything on this machine that the play started and that still runs."""
        return marked(PLAY_VARIABLE, self._mark)

    def await_processes(self, timeout: float) -> list[str]:
        """Wait until all that the play started has ended; return the command lines of what has not."""
        left = await_exit(self.processes(), timeout)
        return [f"{pid}: {command_of(pid)}" for pid in left] if left else []

    def kill_all(self) -> None:
        """Kill ansible-playbook and all it started; nothing of it counts as left behind any more."""
        self._forgiven = True
        kill_marked(PLAY_VARIABLE, self._mark)
        self.process.wait(10)
        self._stdout.finish()
        self._stderr.finish()

    def close(self) -> list[str]:
        """End the play if it runs; return the command lines of processes that it left behind (now killed)."""
        if self.process.poll() is None:
            self._forgiven = True
        left = [] if self._forgiven else self.await_processes(5)
        self.kill_all()
        return left

    def _so_far(self) -> str:
        return f"--- stdout so far\n{self.stdout}\n--- stderr so far\n{self.stderr}"


def _start(
    command: list[str], environment: dict[str, str], cwd: Path, warm: WarmAnsible | None
) -> subprocess.Popen[bytes] | ForkedRun:
    if warm is not None and warm.serves(command, environment):
        return warm.start(command, environment=environment, cwd=cwd)
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )


def read_results(path: Path) -> list[TaskResult]:
    """Read what the results callback wrote; a last line that a killed play left unfinished is dropped."""
    if not path.exists():
        return []
    *lines, _unfinished = path.read_text().split("\n")
    return [TaskResult(**json.loads(line)) for line in lines]
