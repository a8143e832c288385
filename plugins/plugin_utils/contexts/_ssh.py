# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH host as a context: commands run as channels of a warm master connection of our own.

The master is never the process of a stream: a stream that ends must not take others with it. Its control
path hashes the whole command line, so that two contexts that differ in known hosts, key or proxy never share
a connection (Ansible's own hashes host, port and user only).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._base import Context, ContextError, ContextKind, Diagnosis, Launch
from ._become import BecomePlugin, wrap
from ._ciphers import cipher_options, light_exchange_options
from ._ssh_diagnosis import diagnose

PERSIST_SECONDS = 60
"""How long a master waits for the next task, as Ansible's own masters do."""

_MAX_SOCKET_PATH = 104 - 18
"""``sun_path`` less the suffix that ssh adds while it binds the socket."""


def _nothing() -> None:
    """Release nothing."""


@dataclass(frozen=True)
class SshCommand:
    """The ssh command line of one process to a host, without a remote command, as Ansible's plugin builds it."""

    executable: str
    argv: tuple[bytes, ...]
    """From the first program (ssh, or sshpass in front of it) to the last option."""
    destination: str
    control_directory: str
    env: Mapping[str, str] | None = None
    pass_fds: tuple[int, ...] = ()
    """Where sshpass reads the password."""
    started: Callable[[], None] = _nothing
    """Closes what was passed; called once, also when the process could not be started."""
    close: Callable[[], None] = _nothing
    """Frees what askpass reads the password from; called when no process needs it any more."""
    secret_digest: str = ""
    """Tells passwords apart in the control path without revealing them."""
    password: str = field(default="", repr=False)
    """For a process that outlives the task, which cannot read what was passed."""
    prompt: str = ""
    """A part of the prompt that the password answers; empty for the usual one."""

    @property
    def options_at(self) -> int:
        """The index in ``argv`` right behind ssh itself."""
        return self.argv.index(self.executable.encode()) + 1


class SshContext(Context):
    """Runs commands on an SSH host."""

    kind = ContextKind.SSH

    def __init__(
        self,
        name: str,
        build: Callable[[], SshCommand],
        shell: Any = None,
        become: BecomePlugin | None = None,
    ) -> None:
        super().__init__(name)
        self._build_command = build
        self._shell = shell
        self._become = become
        self._closers: list[Callable[[], None]] = []
        self._light: list[str] = []

    def _build(self) -> SshCommand:
        command = self._build_command()
        self._closers.append(command.close)
        return command

    def close(self) -> None:
        while self._closers:
            self._closers.pop()()

    def own_connection(self) -> tuple[SshCommand, list[bytes]]:
        """Return how somebody else is to make a connection, and ssh with its options for it.

        The cipher that costs least is among them. Nothing that was opened for a password stays open.
        """
        command = self._build()
        command.started()
        ssh, *words = command.argv[command.options_at - 1 :]
        chosen = [word.encode() for word in cipher_options(ssh, words, command.destination.encode())]
        return command, [ssh, *chosen, *words]

    @property
    def server(self) -> str:
        """The destination and its port."""
        command = self._build()
        command.started()
        words = [word.decode(errors="replace") for word in command.argv]
        port = [word for word in words if word.lower().startswith("port=")]
        return " ".join([command.destination, *port])

    def open_once(self, seconds: float = 60.0) -> None:  # noqa: ARG002 -- nothing is connected here
        """Choose what makes the login cheap; without a master, the launch makes a connection of its own.

        That launch must carry nothing secret. A password, of the login or of ``become``, would be.
        """
        command = self._build()
        command.started()
        if self._become is None and not command.secret_digest:
            ssh, *words = command.argv[command.options_at - 1 :]
            self._light = light_exchange_options(ssh, words, command.destination.encode())

    def open(self, seconds: float = 60.0) -> None:
        """Start the master connection unless it is up; raise ContextError if the host cannot be reached in time."""
        command = self._build()
        try:
            path = control_path(command)
            with _locked(path.with_name(path.name + ".lock")):
                if not self._is_up(command, path):
                    self._start_master(command, path, seconds)
        except OSError as exc:
            program = command.argv[0].decode(errors="replace")
            remedy = f"Check that {program} is installed here and that {command.control_directory} is yours."
            raise ContextError(self.name, "connecting by SSH", str(exc), remedy) from exc
        finally:
            command.started()

    def launch(self, command: str) -> Launch:
        dialog = None
        if self._become is not None:
            command, dialog = wrap(self._become, self._shell, command)
        ssh = self._build()
        options = [*self._light, "-T", "-e", "none", "-o", "ControlMaster=no", "-o", "ControlPersist=no"]
        argv = _with_options(ssh, [*options, "-o", f"ControlPath={control_path(ssh)}"])
        remote = command.encode(errors="surrogateescape")
        return Launch(
            argv=(*argv, ssh.destination.encode(), remote),
            env=ssh.env,
            pass_fds=ssh.pass_fds,
            dialog=dialog,
            started=ssh.started,
        )

    def diagnose(self, output: str, status: int | None) -> Diagnosis:
        return diagnose(output) or super().diagnose(output, status)

    @staticmethod
    def _is_up(command: SshCommand, path: Path) -> bool:
        if not path.exists():
            return False
        ssh = _with_options(command, ["-O", "check", "-o", f"ControlPath={path}"])[command.options_at - 1 :]
        argv = [*ssh, command.destination.encode()]
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0

    def _start_master(self, command: SshCommand, path: Path, seconds: float) -> None:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        persist = f"ControlPersist={PERSIST_SECONDS}"
        ssh, *words = command.argv[command.options_at - 1 :]
        options = ["-T", "-f", "-N", "-o", "ControlMaster=yes", "-o", persist, "-o", f"ControlPath={path}"]
        options += cipher_options(ssh, words, command.destination.encode())
        # The master keeps its stderr open while it lives: a file, unlike a pipe, does not make us wait for that.
        with tempfile.TemporaryFile() as messages:
            process = subprocess.Popen(
                (*_with_options(command, options), command.destination.encode()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                env=command.env,
                pass_fds=command.pass_fds,
                start_new_session=True,
            )
            try:
                status = process.wait(seconds)
            except BaseException as exc:
                process.kill()
                process.wait()
                if isinstance(exc, subprocess.TimeoutExpired):
                    cause = f"the login did not end within {seconds:g} seconds"
                    raise ContextError(self.name, "connecting by SSH", cause) from exc
                raise
            messages.seek(0)
            output = messages.read().decode(errors="replace")
        if status != 0:
            diagnosis = self.diagnose(output, status)
            raise ContextError(self.name, "connecting by SSH", diagnosis.cause, diagnosis.remedy)


def control_path(command: SshCommand) -> Path:
    """Return the socket of the master for a command line; its directory is made if it is missing."""
    identity = [
        *command.argv[command.options_at - 1 :],
        command.destination.encode(),
        os.environ.get("SSH_AUTH_SOCK", "").encode(),
    ]
    digest = hashlib.sha256(b"\0".join([*identity, command.secret_digest.encode()])).hexdigest()[:20]
    directory = Path(command.control_directory)
    if len(str(directory)) + len(digest) + 10 > _MAX_SOCKET_PATH:
        directory = Path(tempfile.gettempdir()) / f"manifold-{os.getuid()}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise PermissionError(f"the directory of SSH control sockets, {directory}, belongs to somebody else")
    return directory / f"manifold-{digest}"


def _with_options(command: SshCommand, options: Sequence[str]) -> tuple[bytes, ...]:
    """Put options right behind the program: of two values for one option ssh takes the first.

    ``-C`` is dropped: unlike ``-o`` it wins wherever it stands, and compression makes a bulk stream slower.
    """
    position = command.options_at
    rest = [argument for argument in command.argv[position:] if argument != b"-C"]
    ours = [option.encode() for option in (*options, "-o", "Compression=no")]
    return (*command.argv[:position], *ours, *rest)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, so that parallel tasks start one master between them."""
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
