# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holds an SSH connection: an ssh of its own that others ask for channels (see _mux.py), started again when it ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..contexts._base import sentence
from ..contexts._ssh_diagnosis import diagnose
from ._errors import Unavailable
from ._mux import MuxConnection, MuxError, Refused
from ._ssh_login import SshLogin
from ._ssh_words import VERBOSE, SshWords, can_tell_ends

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two starts; doubled as long as no login succeeds."""

_ALIVE_SECONDS, _ALIVE_TIMES = 10, 3
_PREPARE_SECONDS = 20.0
_END_SECONDS = 5.0
_TURNS = 5
"""How often an ssh that has said nothing yet is asked; each takes less than a millisecond."""

_OPTIONS = {
    "ControlMaster": "yes",
    "ControlPersist": "no",
    "ClearAllForwardings": "yes",  # those of the user's configuration are for the user's own sessions
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "EscapeChar": "none",
    "Compression": "no",
    "LogLevel": "INFO",  # its words about a channel that was refused
    "ServerAliveInterval": str(_ALIVE_SECONDS),
    "ServerAliveCountMax": str(_ALIVE_TIMES),
}

# Ends with its parent thread, however that ends: prctl(2), PR_SET_PDEATHSIG. It survives exec; the parent may have gone
# before it was set.
_TETHERED = (
    "import ctypes, os, resource, sys\n"
    f"ctypes.CDLL(None).prctl(1, {int(signal.SIGTERM)}, 0, 0, 0)\n"
    "most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
    "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"  # ssh holds three descriptors for each channel
    "if os.getppid() == int(sys.argv[1]): os.execvp(sys.argv[2], sys.argv[2:])\n"
)

_ASKPASS = """#!/bin/sh
case "$1" in *"$MANIFOLD_PROMPT"*) exec cat {file} ;; esac
exit 1
"""


class LoginError(Exception):
    """A login was refused, or the host was not reached."""


class SshMaster:
    """An ssh without a command, and the thread that starts it and waits for its end."""

    def __init__(
        self,
        login: SshLogin,
        folder: Path,
        log: Callable[[str], None],
        prepare: Callable[[MuxConnection, float], None] | None = None,
    ) -> None:
        """``prepare`` is called after each login, before anybody else may use it, and has a deadline (time.monotonic).

        If it raises Refused the login counts as failed.
        """
        self._login = login
        self._prepare = prepare
        self._folder = folder
        self._log = log
        self._changed = threading.Condition()
        self._socket: Path | None = None
        self._tells_ends = False
        self._process: subprocess.Popen[bytes] | None = None
        self._failure = ""
        self._failures = 0
        self._logins = 0
        self._closing = False
        self.words = SshWords()
        self._options = dict(_OPTIONS)
        self._environment = {**os.environ, **login.environment, **self._answering_password()}
        self._thread = threading.Thread(target=self._keep, name="ssh", daemon=True)

    @property
    def restarts(self) -> int:
        """How often ssh logged in again."""
        return max(0, self._logins - 1)

    def start(self) -> None:
        """Start ssh for the first time."""
        self.words.start()
        self._thread.start()

    def await_login(self, deadline: float) -> None:
        """Wait for the first login; raise LoginError if it fails, Unavailable at the deadline."""
        with self._changed:
            left = max(0.0, deadline - time.monotonic())
            self._changed.wait_for(lambda: self._logins or self._failures or self._closing, left)
            if self._failures and not self._logins:
                raise LoginError(self._failure)
            if not self._logins:
                raise Unavailable(f"the login by SSH to {self._login.destination} has not ended in time")

    def connection(self, deadline: float) -> MuxConnection:
        """Return a connection to the ssh that is logged in, waiting for one; raise Unavailable at the deadline."""
        while True:
            socket, _tells_ends = self._logged_in(deadline)
            try:
                return MuxConnection(str(socket), deadline)
            except TimeoutError as exc:
                raise Unavailable(f"the ssh to {self._login.destination} does not answer") from exc
            except MuxError:
                self._lost(socket)

    def tells_ends(self, deadline: float) -> bool:
        """Return whether the ssh that is logged in says what becomes of its channels, waiting for one as above."""
        return self._logged_in(deadline)[1]

    def _logged_in(self, deadline: float) -> tuple[Path, bool]:
        with self._changed:
            self._changed.wait_for(lambda: self._socket or self._closing, max(0.0, deadline - time.monotonic()))
            if self._socket is not None:
                return self._socket, self._tells_ends
        words = f" (ssh: {self._failure})" if self._failure else ""
        raise Unavailable(f"there is no SSH connection to {self._login.destination}{words}")

    def is_up(self, deadline: float) -> bool:
        """Return whether ssh holds its connection, as it says itself."""
        socket = self._socket
        if socket is None:
            return False
        try:
            connection = MuxConnection(str(socket), deadline)
        except (OSError, TimeoutError):
            return False
        connection.close()
        return True

    def refusal(self) -> str:
        """Return what ssh said last about a channel that was refused; empty if it said nothing."""
        found = re.findall(r"^channel \d+: open failed: (.*?)\s*$", self.words.said(), re.MULTILINE)
        return found[-1] if found else ""

    def close(self) -> None:
        """End ssh and its channels. May be called twice."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            process = self._process
            self._changed.notify_all()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        if self._thread.ident is not None:
            self._thread.join(_END_SECONDS)
            if self._thread.is_alive() and process is not None:
                process.kill()
                self._thread.join(_END_SECONDS)
        self.words.close()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        if can_tell_ends(self._login.argv[0], self._environment):
            self._options.update([VERBOSE])
        pause = FIRST_PAUSE
        while not self._closing:
            logged_in = self._run_once()
            pause = FIRST_PAUSE if logged_in else min(2 * pause, LONGEST_PAUSE)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, pause)

    def _run_once(self) -> bool:
        """Run ssh from its start to its end; return whether it logged in."""
        socket = self._folder / f"c{self._logins + self._failures}"
        self.words.begin()
        try:
            process = self._spawn(socket)
        except OSError as exc:
            self._ended(socket, False, f"{self._login.argv[0]}: {exc.strerror}")
            return False
        with self._changed:
            self._process = process
            if self._closing:
                process.terminate()
        up = self._await_socket(process, socket)
        refused = self._prepared(process, socket) if up else ""
        if up and not refused:
            tells_ends = self._shows_ends(socket)
            lacking = "" if tells_ends else "; this ssh does not say how its channels end"
            self._log(f"logged in to {self._login.destination} by SSH{lacking}")
            with self._changed:
                self._socket, self._tells_ends, self._logins = socket, tells_ends, self._logins + 1
                self._changed.notify_all()
            self._hasten(socket)
        status = process.wait()
        logged_in = up and not refused
        self._ended(socket, logged_in, refused or self._last_words(status))
        return logged_in

    def _prepared(self, process: subprocess.Popen[bytes], socket: Path) -> str:
        """Prepare the connection; return why that cannot be, and end it then."""
        if self._prepare is None:
            return ""
        deadline = time.monotonic() + _PREPARE_SECONDS
        try:
            with contextlib.closing(MuxConnection(str(socket), deadline)) as control:
                self._prepare(control, deadline)
        except (Refused, OSError) as exc:
            process.terminate()
            return str(exc)
        return ""

    def _spawn(self, socket: Path) -> subprocess.Popen[bytes]:
        options = {**self._options, "ControlPath": str(socket).replace("%", "%%")}
        if self._login.password:
            options["NumberOfPasswordPrompts"] = "1"
        ssh, *rest = self._login.argv
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        # unlike options, these win wherever they stand
        rest = [word for word in rest if word != "-C" and not re.fullmatch(r"-v+|-q", word)]
        argv = [ssh, "-N", "-T", *words, *rest, self._login.destination]
        return subprocess.Popen(
            [*self._tether(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=self.words.fd,
            stderr=self.words.fd,
            env=self._environment,
            cwd=self._login.folder,
            start_new_session=True,
        )

    def _await_socket(self, process: subprocess.Popen[bytes], socket: Path) -> bool:
        """Wait until ssh is logged in, which it tells by its socket only; return False if it ended before."""
        pause = 0.002
        while True:
            if socket.exists():
                with contextlib.suppress(OSError):
                    MuxConnection(str(socket), time.monotonic() + _END_SECONDS).close()
                    return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(pause)
                return False
            pause = min(pause * 1.5, 0.05)

    def _shows_ends(self, socket: Path) -> bool:
        """Let ssh show whether it says what becomes of channels; nobody may use it before, or would be given a pipe.

        A connection to it was ended already. It notes that, if it does so at all, in the turn in which it answers the
        next one, or in the turn after that.
        """
        deadline = time.monotonic() + _END_SECONDS
        for _turn in range(_TURNS):
            with contextlib.suppress(OSError):
                MuxConnection(str(socket), deadline).close()
            if self.words.tell_ends:
                return True
        return False

    def _hasten(self, socket: Path) -> None:
        """Run nothing on the host, once.

        Both sides of SSH keep back a small packet while another one is not acknowledged (Nagle's algorithm), until the
        first session begins; forwarded ports are none. It costs a short connection 40 ms. A server that lets nobody run
        a command refuses, and is as slow as it would have been.
        """
        settings = ["-F", "none", "-T", "-o", "ControlMaster=no", "-S", str(socket).replace("%", "%%")]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [*self._tether(), self._login.argv[0], *settings, self._login.destination, "true"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                timeout=_END_SECONDS,
                check=False,
            )

    @staticmethod
    def _tether() -> list[str]:
        return [sys.executable, "-I", "-S", "-c", _TETHERED, str(os.getpid())]

    def _lost(self, socket: Path) -> None:
        """Note that the ssh with that socket does not answer any more."""
        with self._changed:
            if self._socket == socket:
                self._socket = None

    def _ended(self, socket: Path, logged_in: bool, words: str) -> None:
        with self._changed:
            self._socket = None
        self.words.end()
        with contextlib.suppress(OSError):
            socket.unlink()
        with self._changed:
            self._process = None
            self._failure = words
            self._failures += not logged_in
            self._changed.notify_all()
        if not self._closing:
            self._log(f"the SSH connection to {self._login.destination} {'ended' if logged_in else 'failed'}: {words}")

    def _last_words(self, status: int) -> str:
        said = self.words.said()
        found = diagnose(said)
        if found is not None:
            return sentence(found.cause, found.remedy)
        lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("channel ", "Warning: "))]
        return lines[-1].strip() if lines else f"ssh ended with status {status}"

    def _answering_password(self) -> dict[str, str]:
        """Return what makes ssh read the password: from a file in memory of this process, which it is told to find."""
        if not self._login.password:
            return {}
        self._secret = os.memfd_create("password", os.MFD_CLOEXEC)
        os.write(self._secret, self._login.password.encode() + b"\n")
        program = self._folder / "askpass"
        program.write_text(_ASKPASS.format(file=f"/proc/{os.getpid()}/fd/{self._secret}"))
        program.chmod(0o700)
        # before OpenSSH 8.4 it was asked only where there is a display and no terminal
        display = os.environ.get("DISPLAY") or "-"
        required = {"SSH_ASKPASS_REQUIRE": "force", "DISPLAY": display}
        return {"SSH_ASKPASS": str(program), "MANIFOLD_PROMPT": self._login.prompt, **required}
