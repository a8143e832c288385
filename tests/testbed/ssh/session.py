# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command of the embedded SSH server: a plain process and the threads that move its bytes.

The behaviour follows OpenSSH's ``sshd``: the client's end of input closes the process's stdin; the exit
status goes out when the process has ended, end of data when nobody holds its stdout and stderr any more;
a lost connection closes the pipes but signals a process only where it has a terminal (the kernel's
SIGHUP), so one that neither reads nor writes lives on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

CHUNK = 1 << 20
"""Bytes asked for at once; what comes is bounded by the pipe and by the channel's window."""

_OPEN_TERMINAL = 'exec <"$0" >"$0" 2>&1; exec sh -c "$1"'
"""A session leader that opens a terminal without O_NOCTTY makes it its controlling one."""


@dataclass(frozen=True)
class TerminalSize:
    """What a ``pty-req`` asked for, in characters."""

    columns: int
    rows: int

    def apply(self, fd: int) -> None:
        """Set the size of the terminal behind ``fd``."""
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, self.columns, 0, 0))


class ExecSession:
    """Runs one command on a channel; ``on_end`` is called when both are done with."""

    def __init__(
        self,
        channel: paramiko.Channel,
        command: str | None,
        *,
        directory: Path,
        environment: dict[str, str],
        terminal: TerminalSize | None = None,
        on_end: Callable[[ExecSession], None],
    ) -> None:
        self.channel = channel
        self._command = command
        self._directory = directory
        self._environment = environment
        self._terminal = terminal
        self._on_end = on_end
        self._master: int | None = None

    def start(self) -> None:
        """Start the process and its threads; return at once."""
        threading.Thread(target=self._run, name="ssh-session", daemon=True).start()

    def resize(self, size: TerminalSize) -> None:
        """Follow a change of the client's window."""
        if self._master is not None:
            size.apply(self._master)

    def _run(self) -> None:
        try:
            process, stdin, outputs = self._spawn()
        except OSError as exc:
            with contextlib.suppress(OSError, paramiko.SSHException):
                self.channel.sendall_stderr(f"cannot start a process: {exc}\n".encode())
                self.channel.send_exit_status(255)
            self.channel.close()
            self._on_end(self)
            return
        threading.Thread(target=self._pump_in, args=(stdin,), name="ssh-stdin", daemon=True).start()
        if self._terminal is not None:
            threading.Thread(target=self._hang_up, args=(process,), name="ssh-hang-up", daemon=True).start()
        pumps = [
            threading.Thread(target=self._pump_out, args=(fd, send), name="ssh-output", daemon=True)
            for fd, send in outputs
        ]
        for pump in pumps:
            pump.start()
        self._report_status(process.wait())
        # A process of the session that still holds stdout or stderr keeps the channel open, as with sshd.
        for pump in pumps:
            pump.join()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self.channel.close()
        self._on_end(self)

    def _hang_up(self, process: subprocess.Popen[bytes]) -> None:
        """When the channel closes before the process has ended, do what closing a terminal does."""
        self.channel.status_event.wait()  # on a server's channel only its end sets this
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGHUP)

    def _spawn(self) -> tuple[subprocess.Popen[bytes], int, list[tuple[int, Callable[[bytes], None]]]]:
        """Start the process; return it, the fd to write its input to, and its outputs with their way out."""
        if self._terminal is not None:
            return self._spawn_on_terminal(self._terminal)
        argv = ["sh"] if self._command is None else ["sh", "-c", self._command]
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env=self._environment,
            start_new_session=True,
            bufsize=0,
        )
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        # The pumps own plain descriptors: each closes its own exactly once.
        stdin, stdout, stderr = (os.dup(pipe.fileno()) for pipe in (process.stdin, process.stdout, process.stderr))
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        return process, stdin, [(stdout, self.channel.sendall), (stderr, self.channel.sendall_stderr)]

    def _spawn_on_terminal(
        self, size: TerminalSize
    ) -> tuple[subprocess.Popen[bytes], int, list[tuple[int, Callable[[bytes], None]]]]:
        master, slave = os.openpty()
        size.apply(master)
        argv = ["sh", "-c", _OPEN_TERMINAL, os.ttyname(slave), self._command or "exec sh -i"]
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=slave,
                stderr=slave,
                cwd=self._directory,
                env=self._environment,
                start_new_session=True,
            )
        except OSError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        self._master = os.dup(master)
        return process, self._master, [(master, self.channel.sendall)]

    def _pump_in(self, fd: int) -> None:
        """Move the client's bytes to the process until either ends."""
        try:
            while data := self.channel.recv(CHUNK):
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
            if self._master is not None and not self.channel.closed:
                os.write(fd, b"\x04")  # a terminal knows no other end of input; the lost one gets a SIGHUP
        except OSError:
            # the process reads no more: the client is told, as OpenSSH tells it, and stops sending
            self._while_open(lambda: self._request("eow@openssh.com"))
        except (EOFError, paramiko.SSHException):
            pass  # the client is lost
        finally:
            self._master = None
            os.close(fd)

    def _pump_out(self, fd: int, send: Callable[[bytes], None]) -> None:
        """Move the process's bytes to the client until either ends; a lost client breaks the pipe."""
        try:
            # a terminal whose last user has gone reads as EIO, not as end of file
            while data := os.read(fd, CHUNK):
                send(data)
        except (OSError, EOFError, paramiko.SSHException):
            pass
        finally:
            os.close(fd)

    def _report_status(self, returncode: int) -> None:
        if returncode >= 0:
            self._while_open(lambda: self.channel.send_exit_status(returncode))
        else:
            name = signal.Signals(-returncode).name.removeprefix("SIG")
            self._while_open(lambda: self._request("exit-signal", name))

    def _while_open(self, send: Callable[[], None]) -> None:
        """Send something if the channel is open.

        What comes later may reach another one, to which the client has given its number (RFC 4254, section 5.3), and
        paramiko does not look.
        """
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException), self.channel.lock:
            if not self.channel.closed:
                send()

    def _request(self, kind: str, signal_name: str | None = None) -> None:
        """Send a channel request for which paramiko's server side has no call (RFC 4254, section 6.10)."""
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_REQUEST)
        message.add_int(self.channel.remote_chanid)
        message.add_string(kind)
        message.add_boolean(False)
        if signal_name is not None:
            message.add_string(signal_name)
            message.add_boolean(False)  # no core dump
            message.add_string("")
            message.add_string("")
        transport = self.channel.get_transport()
        transport._send_user_message(message)  # type: ignore[attr-defined]  # not in the stubs
