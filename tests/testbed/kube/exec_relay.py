# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves the data of one exec between a process and its client, whatever protocol the client speaks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import queue
import select
import subprocess
import threading
from collections.abc import Iterator
from enum import Enum
from typing import IO, Any, Protocol

from testbed.kube.faults import Action, ClaimedFaults, Direction, Meter

_PIPE_SIZE = 1024 * 1024
_READ_SIZE = 256 * 1024
# How often something that waits for one event looks for the others.
_GLANCE_SECONDS = 0.05

# A client that does not answer our close is not waited for any longer than this.
_CLOSE_SECONDS = 10

SUCCESS: dict[str, Any] = {"metadata": {}, "status": "Success"}


class ClientLeft(Exception):
    """The client is no longer there to send to."""


class Output(Enum):
    """The two streams that go to the client."""

    STDOUT = 1
    STDERR = 2


class ClientStreams(Protocol):
    """The client's end of an exec."""

    def send(self, output: Output, data: memoryview) -> None:
        """Send data; raise ClientLeft if that is no longer possible."""

    def stdin(self) -> Iterator[memoryview]:
        """Yield what the client sends, an empty piece where its stdin ends; stop when it closes or leaves."""

    def left(self) -> bool:
        """Return whether the client has closed its connection, even if data of it is still unread."""

    def finish(self, status: dict[str, Any] | None) -> None:
        """Send the ``v1.Status`` (None: end without one) and end the streams in an orderly way."""

    def reset(self) -> None:
        """Reset the connection."""

    def hang_up(self) -> None:
        """End the connection, also for the thread that reads it."""


def exit_status(code: int) -> dict[str, Any]:
    """Return the ``v1.Status`` that reports an exit code, as a kubelet builds it."""
    if code == 0:
        return SUCCESS
    exit_code = 128 - code if code < 0 else code  # death by signal, as a container runtime reports it
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {exit_code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
    }


def failed_to_start(message: str) -> dict[str, Any]:
    """Return the ``v1.Status`` that reports a command which could not be started."""
    text = f"Internal error occurred: error executing command in container: {message}"
    return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": text, "code": 500}


class _End(Enum):
    """Why the relay ends, where it is not a fault's Action."""

    FINISHED = "the process's outputs have ended"
    LEFT = "the client has left"


class ExecRelay:
    """The relay of one exec. ``run()`` returns once the client's side is over.

    If the client leaves first, the process goes on as in a real container: its stdin ends, and its outputs
    stay open but are no longer read. ``abandoned`` then tells that somebody must keep the process.
    """

    def __init__(self, process: subprocess.Popen[bytes], client: ClientStreams, faults: ClaimedFaults) -> None:
        self._process = process
        self._client = client
        self._stdin_meter = faults.meter(Direction.STDIN)
        self._stdout_meter = faults.meter(Direction.STDOUT)
        self._ends: queue.SimpleQueue[_End | Action] = queue.SimpleQueue()
        self._over = threading.Event()
        self._wake_reader, self._wake_writer = os.pipe()
        self._outputs_open = 0
        self._lock = threading.Lock()
        self.abandoned = False

    def run(self) -> None:
        """Relay until the process has ended and all was sent, the client leaves, or a fault ends it."""
        outputs = [(self._process.stdout, Output.STDOUT), (self._process.stderr, Output.STDERR)]
        wanted = [(pipe, output) for pipe, output in outputs if pipe is not None]
        self._outputs_open = len(wanted)
        threads = [
            threading.Thread(target=self._pump_output, args=each, name=f"exec-{each[1].name.lower()}")
            for each in wanted
        ]
        threads.append(threading.Thread(target=self._pump_input, name="exec-stdin"))
        for thread in threads:
            thread.start()
        if not wanted:
            self._ends.put(_End.FINISHED)
        try:
            self._end(self._ends.get())
        finally:
            self._over.set()
            os.write(self._wake_writer, b"\0")
            # After an orderly end the client's own close is awaited, or unread data would reset the connection.
            threads[-1].join(_CLOSE_SECONDS)
            self._client.hang_up()
            for thread in threads:
                thread.join()
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            self._release_pipes()

    def _end(self, end: _End | Action) -> None:
        self.abandoned = end is not _End.FINISHED
        match end:
            case _End.FINISHED:
                self._client.finish(exit_status(self._process.wait()))
            case Action.END_WITHOUT_STATUS:
                self._client.finish(None)
            case Action.END_WITH_SUCCESS:
                self._client.finish(SUCCESS)
            case Action.RESET:
                self._client.reset()
            case _:
                self._client.hang_up()

    def _release_pipes(self) -> None:
        self._close_stdin()
        if not self.abandoned:
            for pipe in (self._process.stdout, self._process.stderr):
                if pipe is not None:
                    pipe.close()

    # -- towards the client

    def _pump_output(self, pipe: IO[bytes], output: Output) -> None:
        meter = self._stdout_meter if output is Output.STDOUT else Meter(None)
        try:
            for data in self._read(pipe.fileno()):
                if not self._pass_output(output, data, meter):
                    return
        except ClientLeft:
            self._ends.put(_End.LEFT)
            return
        with self._lock:
            self._outputs_open -= 1
            if self._outputs_open == 0 and not self._over.is_set():
                self._ends.put(_End.FINISHED)

    def _read(self, fd: int) -> Iterator[memoryview]:
        _widen(fd)
        os.set_blocking(fd, False)
        buffer = memoryview(bytearray(_READ_SIZE))
        while not self._over.is_set():
            try:
                size = os.readv(fd, [buffer])
            except BlockingIOError:
                self._wait(fd, select.POLLIN)
                continue
            except OSError as exc:
                if exc.errno == errno.EIO:  # how a terminal ends
                    return
                raise
            if size == 0:
                return
            yield buffer[:size]

    def _pass_output(self, output: Output, data: memoryview, meter: Meter) -> bool:
        """Send data as far as its fault allows; return whether there may be more."""
        allowed = meter.allow(len(data))
        if allowed:
            self._client.send(output, data[:allowed])
        if allowed == len(data):
            return True
        if not self._strike(meter):
            return False
        self._client.send(output, data[allowed:])
        return True

    # -- towards the process

    def _pump_input(self) -> None:
        stdin = self._process.stdin
        if stdin is not None:
            _widen(stdin.fileno())
            os.set_blocking(stdin.fileno(), False)
        for data in self._client.stdin():
            if self._over.is_set() or stdin is None or stdin.closed:
                continue  # read on, so that the client's close is seen and nothing unread resets the connection
            if not data or not self._pass_input(stdin.fileno(), data):
                self._close_stdin()
        self._ends.put(_End.LEFT)

    def _pass_input(self, fd: int, data: memoryview) -> bool:
        """Write data as far as its fault allows; return whether the process may be given more."""
        meter = self._stdin_meter
        allowed = meter.allow(len(data))
        if not self._write(fd, data[:allowed]):
            return False
        if allowed == len(data):
            return True
        return self._strike(meter) and self._write(fd, data[allowed:])

    def _write(self, fd: int, data: memoryview) -> bool:
        while data:
            try:
                data = data[os.write(fd, data) :]
            except BlockingIOError:
                self._wait(fd, select.POLLOUT)
                if self._over.is_set():
                    return False
            except BrokenPipeError:
                return False  # the process reads no more; what follows has nowhere to go
        return True

    def _close_stdin(self) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    # -- both

    def _strike(self, meter: Meter) -> bool:
        """Let the meter's fault happen; return True if the stream goes on afterwards."""
        fault = meter.fault
        assert fault is not None, "a meter holds data back only for its fault"
        fault.fired.set()
        if fault.action is Action.STALL:
            while not fault.released.wait(_GLANCE_SECONDS):
                if self._over.is_set() or self._client.left():
                    self._ends.put(_End.LEFT)
                    return False
            return True
        if fault.action is not Action.EARLY_EOF:
            self._ends.put(fault.action)
        return False

    def _wait(self, fd: int, events: int) -> None:
        """Wait until the pipe is ready, the relay is over or the client has left."""
        poll = select.poll()
        poll.register(fd, events)
        poll.register(self._wake_reader, select.POLLIN)
        while not poll.poll(1000):
            if self._client.left():
                self._ends.put(_End.LEFT)
                return


def _widen(fd: int) -> None:
    """Let a pipe hold 1 MiB: fewer switches between us and the process (Linux only, and there is a limit per user)."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
