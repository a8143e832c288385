# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stage of a stream: a process in a context, from its start to the proof that it finished."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from enum import Enum

from .._linux import bytes_in_pipe, open_process
from .._required import required
from ..contexts._base import Context, Launch
from . import _shell
from ._loop import READ, WRITE, Loop
from ._marker import Mark, parse_mark
from ._pump import Pump, Wait
from ._shells import Shell, start_shell

STDERR_LIMIT = 16384
"""How many of the last bytes of a stage's stderr are kept."""

MARK_GRACE = 2.0
"""Seconds a transport may take to end after the mark: something a command left running holds it open."""

_THROTTLE_SECONDS = 0.02
"""How often a stream that reached its limit looks again."""

_COMMAND_NOT_FOUND = 127
"""A shell's exit status for a command that is not there (POSIX, XCU 2.8.2)."""

_REFUSALS = {_shell.NOT_READ: "the shell was given only a part of its script"}


class Phase(Enum):
    """How far a stage is."""

    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"


class StageRefused(Exception):
    """A stage could not start: cause and remedy; nothing has moved yet."""

    def __init__(self, stage: Stage, cause: str, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.stage = stage
        self.cause = cause
        self.remedy = remedy


class Stage:
    """A shell script running in a context, with its descriptors on this machine.

    The stage owns three pipes. What it prints on stdout goes to its ``pump``, which the owner sets before ``release``;
    a stage is done when its process has ended and its output was moved to the last byte.
    """

    def __init__(
        self,
        name: str,
        context: Context,
        script: str,
        nonce: str,
        loop: Loop,
        label: str | None = None,
        stderr_limit: int = STDERR_LIMIT,
        shell: Shell | None = None,
    ) -> None:
        """``shell``: one that was started ahead, with the same nonce; it is the stage's from now on."""
        self.name = name
        self._ahead = shell
        self._alone = False
        self._stderr_limit = stderr_limit
        self._label = label or _shell.label_of(name)
        self.context = context
        self.nonce = nonce
        self.phase = Phase.STARTING
        self.status: int | None = None
        """How the local process ended; None while it runs."""
        self.pump: Pump | None = None
        self.refused = False
        """Whether every reader of this stage's output closed it."""
        self.waits = Wait.DATA
        """What moving this stage's output waits for."""
        self.group = 0
        """The process group of the stage there, if it has one of its own."""
        self.notes: dict[str, list[str]] = {}
        """What the stage noticed while it checked, by what it is."""
        self.ready_after: float | None = None
        """Seconds from the start to the readiness of the command."""
        self.stdin: int | None = None
        self._script = script
        self._loop = loop
        self._outbox = b""
        self._gives = False
        self._preface = b""
        self._stderr = bytearray()
        self._stderr_fd: int | None = None
        self._stdout_fd: int | None = None
        self._pid_fd: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._launch: Launch | None = None
        self._password_sent = False
        self._preamble_sent = False
        self._marked_at: float | None = None
        self._started = 0.0
        self._drained = False
        self._timed = False
        self._full: set[int] = set()  # targets that are watched for space

    # -- starting ------------------------------------------------------------------------------------------------

    def start(self, *, alone: bool = False) -> None:
        """Start the process; raise ContextError if the program that reaches the context is not there.

        ``alone``: no other stage has to be ready before the command runs. It need not wait to be told then, which
        takes as long as a round trip, unless another shell may have to be started for the one it has got.
        """
        self._alone = alone and self._ahead is None
        self._run(lambda: self.context.launch(_shell.bootstrap(self.nonce, self._label)), self._ahead)
        if self._launch is not None and self._launch.dialog is None:
            self._send_preamble()

    def _run(self, launch: Callable[[], Launch], ahead: Shell | None = None) -> None:
        self._started = time.monotonic()
        shell = ahead or start_shell(self.context.name, launch)
        self.stdin, self._stdout_fd, self._stderr_fd = shell.stdin, shell.stdout, shell.stderr
        self._launch, self._process = shell.launch, shell.process
        self._pid_fd = open_process(self._process.pid)
        self._loop.watch(self._stderr_fd, READ, self._on_stderr)
        self._loop.watch(self._pid_fd, READ, self._on_exit)

    def _send_preamble(self) -> None:
        self._preamble_sent = True
        self._send(_shell.preamble(self._script, self.nonce) + (_shell.go() if self._alone else b""))

    def _send(self, data: bytes) -> None:
        self._outbox += data
        self._flush()

    def give(self, data: bytes) -> None:
        """Give the command its whole input; the end of it is told when the last byte has gone."""
        self._gives = True
        self._send(data)

    def _flush(self) -> int:
        if self.stdin is None:
            return 0
        try:
            while self._outbox:
                self._outbox = self._outbox[os.write(self.stdin, self._outbox) :]
        except BlockingIOError:
            self._loop.watch(self.stdin, WRITE, self._flush)
            return 0
        except BrokenPipeError:
            self._outbox = b""  # the process ended; its exit tells why
        self._loop.unwatch(self.stdin)
        if self._gives:
            self.end_input()
        return 0

    # -- what it says on stderr ----------------------------------------------------------------------------------

    def _on_stderr(self) -> int:
        if self._stderr_fd is None:
            return 0
        try:
            data = os.read(self._stderr_fd, 65536)
        except BlockingIOError:
            return 0
        if not data:
            self._loop.unwatch(self._stderr_fd)
        elif self.phase is Phase.STARTING:
            self._preface += data
            self._negotiate()
        else:
            self._stderr += data
            del self._stderr[: -self._stderr_limit]
        return 0

    def _negotiate(self) -> None:
        """Follow the start of the command: password prompt, change of user, readiness or refusal."""
        if not self._preamble_sent and not self._change_user():
            return
        pattern = rf"{self.nonce} (?:ready (\d+) (\d+)|refuse ([^\n]*))\n".encode()
        match = re.search(pattern, self._preface)
        if match is None:
            return
        if match[3] is not None:
            self._preface = self._preface[: match.start()]
            raise StageRefused(self, match[3].decode(errors="replace"))
        for note in re.finditer(rf"{self.nonce} note (\S+) ([^\n]*)\n".encode(), self._preface):
            self.notes.setdefault(note[1].decode(), []).append(note[2].decode(errors="replace"))
        self.group = int(match[2])
        self._stderr = bytearray(self._preface[match.end() :])
        self._preface = self._preface[: match.start()]
        self.phase = Phase.READY
        self.ready_after = time.monotonic() - self._started

    def _change_user(self) -> bool:
        """Answer the program that changes the user; return whether the command runs as that user now."""
        dialog = self._launch.dialog if self._launch else None
        if dialog is None:
            return True
        found = self._preface.find(dialog.success)
        if found >= 0:
            self._preface = self._preface[found + len(dialog.success) :]
            self._send_preamble()
            return True
        who = f"becoming {dialog.user} by {dialog.method}"
        if dialog.refused(self._preface):
            cause = "the password was refused" if self._password_sent else "a password is required"
            raise StageRefused(self, f"{who}: {cause}", "Check ansible_become_password of this context.")
        if not self._password_sent and dialog.asks(self._preface):
            if dialog.password is None:
                raise StageRefused(self, f"{who}: a password is required", "Set ansible_become_password.")
            self._password_sent = True
            self._send(dialog.password + b"\n")
        return False

    # -- running -------------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> int:
        """The descriptor that this stage's output is read from."""
        return required(self._stdout_fd, "output of a stage that was not started")

    def begin(self) -> None:
        """Start what could not be started before its turn; raise ContextError if the program is not there."""

    def release(self, pump: Pump, arguments: Sequence[str] = ()) -> None:
        """Let the command run, with arguments for its script, and move what it prints with ``pump``."""
        self.pump = pump
        self.phase = Phase.RUNNING
        if not self._alone:
            self._send(_shell.go(arguments))
        self._on_pump()

    def _on_pump(self) -> int:
        if self.pump is None or self._stdout_fd is None:
            return 0  # killed since
        before = self.pump.moved
        self._wait_for(self.pump, self.pump.step())
        return self.pump.moved - before

    def _on_time(self) -> int:
        self._timed = False
        return self._on_pump()

    def _wait_for(self, pump: Pump, wait: Wait) -> None:
        """Watch what the pump needs to go on."""
        self.waits = wait
        blocked = set(pump.blocked)
        for target in self._full - blocked:
            self._loop.unwatch(target)
        for target in blocked:
            self._loop.watch(target, WRITE, self._on_pump)
        self._full = blocked
        if wait in (Wait.DATA, Wait.MORE):
            self._loop.watch(self.stdout, READ, self._on_pump)
            # A pump that reads ahead has the mark long before its slowest reader has the last byte.
            if self._marked_at is None and not blocked and self.mark is not None:
                self._marked_at = time.monotonic()
        else:
            self._loop.unwatch(self.stdout)
        if wait is Wait.TIME and not self._timed:
            self._timed = True
            self._loop.later(_THROTTLE_SECONDS, self._on_time)
        self.refused = self.refused or wait is Wait.REFUSED
        # Once the process is gone, nothing that counts is still to come: what is left in the pipe is all.
        emptied = wait is Wait.DATA and not blocked and self.status is not None
        self._drained = emptied or wait in (Wait.END, Wait.REFUSED)
        self._settle()

    def drop_reader(self, target: int) -> None:
        """Write no more to a reader that failed; the others go on."""
        if self.pump is not None and target in self.pump.targets:
            self.pump.drop(target)
            if self.phase is Phase.RUNNING:
                self._on_pump()

    def _on_exit(self) -> int:
        self.status = required(self._process, "process").wait()
        self._loop.unwatch(required(self._pid_fd, "process descriptor"))
        if self._stderr_fd is not None:
            while bytes_in_pipe(self._stderr_fd) > 0:
                self._on_stderr()
        if self._ahead is not None and self.phase is Phase.STARTING:
            self._start_anew()
            return 0
        if self.phase is Phase.STARTING or (self.phase is Phase.READY and not self._alone):
            self._explain_exit()
        return self._on_pump()

    def _start_anew(self) -> None:
        """Start another shell for the one that was started ahead: what became of it is no failure of this stage."""
        self.kill()
        self._ahead, self.status = None, None
        self._outbox, self._preface = b"", b""
        self._password_sent = self._preamble_sent = False
        self.start()

    def _explain_exit(self) -> None:
        if self.phase is Phase.READY:
            raise StageRefused(self, f"it ended before its turn (the connection's exit status is {self.status})")
        cause = _REFUSALS.get(self.status or 0)
        if cause:
            raise StageRefused(self, cause)
        said = self.context.command_stderr(self._preface.decode(errors="replace"))
        diagnosis = self.context.diagnose(said, self.status)
        dialog = self._launch.dialog if self._launch else None
        if dialog is not None and self.status == _COMMAND_NOT_FOUND:
            cause = f"becoming {dialog.user} by {dialog.method}: {diagnosis.cause}"
            raise StageRefused(self, cause, "Install it there, or check ansible_become_exe of this context.")
        raise StageRefused(self, diagnosis.cause, diagnosis.remedy)

    def _settle(self) -> None:
        if self._drained and self.status is not None:
            self.phase = Phase.DONE
            if self._stderr_fd is not None:
                self._loop.unwatch(self._stderr_fd)

    @property
    def lingers(self) -> bool:
        """Whether the command ended long ago, yet something it left running keeps the connection open."""
        return self._marked_at is not None and time.monotonic() - self._marked_at > MARK_GRACE

    def let_go(self) -> None:
        """Take a stage that lingers as done: what it left running does not write to this stream any more."""
        self.kill()
        self.phase = Phase.DONE

    # -- afterwards ----------------------------------------------------------------------------------------------

    @property
    def mark(self) -> Mark | None:
        """What the stage said of itself after its last byte; None if the stream ended without that."""
        return parse_mark(self.pump.tail, self.nonce) if self.pump else None

    @property
    def stderr(self) -> str:
        """The last of what the command printed on stderr (before it ran: what its transport said)."""
        return self.stderr_bytes.decode(errors="replace")

    @property
    def stderr_bytes(self) -> bytes:
        """The same as it was printed."""
        data = self._preface if self.phase is Phase.STARTING else self._stderr
        # the transport's own remarks are text; what is none passes through untouched
        text = self.context.command_stderr(data.decode(errors="surrogateescape"))
        return text.encode(errors="surrogateescape")

    def end_input(self) -> None:
        """Close the standard input: to the command that is the end of its data."""
        if self.stdin is not None:
            self._loop.unwatch(self.stdin)
            os.close(self.stdin)
            self.stdin = None

    def kill(self) -> None:
        """End the local process and its group, and close every descriptor. Never fails, may be called twice."""
        if self._ahead is not None and self._process is None:
            self._ahead.end()
            self._ahead = None
        if self._process is not None and self.status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self.status = self._process.wait()
        self.end_input()
        if self.pump is not None:
            self.pump.close()
        for name in ("_stdout_fd", "_stderr_fd", "_pid_fd"):
            fd = getattr(self, name)
            if fd is not None:
                self._loop.unwatch(fd)
                os.close(fd)
                setattr(self, name, None)


class BareStage(Stage):
    """A program run without a shell: it cannot speak for itself, so its transport's word is all there is.

    It cannot be told to wait either, so it begins only when every other stage is ready.
    """

    def __init__(self, name: str, context: Context, argv: Sequence[str], nonce: str, loop: Loop) -> None:
        super().__init__(name, context, "", nonce, loop)
        self._argv = argv

    def start(self, *, alone: bool = False) -> None:
        """Only see whether the context can run programs like that; raise ContextError if it cannot."""
        del alone
        self.context.launch_argv(self._argv).started()
        self.phase = Phase.READY

    def begin(self) -> None:
        self._run(lambda: self.context.launch_argv(self._argv))
        self.ready_after = time.monotonic() - self._started

    def release(self, pump: Pump, arguments: Sequence[str] = ()) -> None:
        """Move what the program prints; it runs already, and there is nobody to take arguments."""
        del arguments
        self.pump = pump
        self.phase = Phase.RUNNING
        self._on_pump()

    def _explain_exit(self) -> None:
        """Leave it to the exit status: a program may end before it is its turn."""

    @property
    def mark(self) -> Mark | None:
        if self.status is None or self.pump is None:
            return None
        return Mark(self.status if self.status >= 0 else 128 - self.status, None, closed_early=False)
