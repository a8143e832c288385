# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real OpenSSH server per host: own port on 127.0.0.1, host key, configuration, authorized keys, data folder."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from testbed.processes import (
    HOST_VARIABLE,
    RUN_VARIABLE,
    await_exit,
    children_of,
    kill_marked,
    send_signal,
)
from testbed.ssh.keys import make_key

PRIVILEGE_SEPARATION = Path("/run/sshd")
"""The empty folder that Debian's sshd changes its root to; its service unit would make it."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SshdError(Exception):
    """The server is missing, did not start or did not end."""


def find_sshd() -> str:
    """Return the path of sshd, which insists on being started by an absolute path."""
    found = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{PATH}")
    if found is None:
        raise SshdError("there is no sshd on this machine: install openssh-server")
    return found


class _Log:
    """What sshd writes to stderr, kept and searchable; a thread reads it."""

    def __init__(self, stream: IO[str], path: Path) -> None:
        self._lines: list[str] = []
        self._grown = threading.Condition()
        self._ended = False
        self._stream = stream
        self._path = path
        self._thread = threading.Thread(target=self._read, name="sshd-log", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._path.open("a") as copy:
            for line in self._stream:
                copy.write(line)
                copy.flush()
                with self._grown:
                    self._lines.append(line)
                    self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def wait(self, wanted: Callable[[str], bool], timeout: float) -> bool:
        """Wait for a line; False if the log ended or the time passed without it."""
        with self._grown:
            self._grown.wait_for(lambda: self._ended or any(map(wanted, self._lines)), timeout)
            return any(map(wanted, self._lines))

    def text(self) -> str:
        """Return everything logged since the server was last started."""
        with self._grown:
            return "".join(self._lines)

    def join(self) -> None:
        """Wait until every process that held the log has ended."""
        self._thread.join(10)
        self._stream.close()


@dataclass(frozen=True)
class SshdOptions:
    """What a host's sshd is to allow.

    ``user`` is who may log in; another user than the one who runs the tests needs root. ``passwords``
    allows password authentication beside keys. ``extra`` are further lines of sshd_config.
    """

    user: str
    passwords: bool = False
    max_sessions: int | None = None
    extra: tuple[str, ...] = field(default_factory=tuple)


class Sshd:
    """One sshd.

    :param directory: where configuration, keys and log go; must be readable for the user who logs in.
    :param data: the HOME that sessions see; it must exist.
    :param authorized: public key lines that may log in.
    """

    def __init__(self, directory: Path, data: Path, authorized: Iterable[str], options: SshdOptions) -> None:
        self.directory = directory
        self.data = data
        self.options = options
        self._mark = f"sshd-{secrets.token_hex(8)}"
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._log: _Log | None = None
        self._sshd = find_sshd()
        directory.mkdir(exist_ok=True)
        self._host_key = make_key(directory / "host_key")
        self.host_key_line = self._host_key.public_line
        keys = directory / "authorized_keys"
        keys.write_text("".join(f"{line}\n" for line in authorized))
        keys.chmod(0o644)
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        self._start()

    @property
    def port(self) -> int:
        """The port on loopback; it stays the same over a restart."""
        return self._port

    @property
    def log(self) -> str:
        """What the server logged since it was last started."""
        return "" if self._log is None else self._log.text()

    def wait_log(self, text: str, timeout: float = 10) -> bool:
        """Wait until the server has logged a text; return whether it did."""
        return self._log is not None and self._log.wait(lambda line: text in line, timeout)

    def restart(self) -> None:
        """End every session and connection, then listen on the same port again."""
        self.stop()
        self._start()

    def kill_sessions(self) -> None:
        """Cut every connection and kill what runs in its sessions; go on listening."""
        if self._process is not None:
            # the server's children are the connections; killing them drops the TCP connection at once
            connections = children_of(self._process.pid)
            descendants = [child for pid in connections for child in children_of(pid)]
            send_signal([*connections, *descendants], signal.SIGKILL)
            await_exit([*connections, *descendants], 10)
        kill_marked(HOST_VARIABLE, self._mark)

    def stop(self) -> None:
        """End the server, its connections and what runs in their sessions."""
        if self._process is None:
            return
        process, log = self._process, self._log
        # sessions first: the server's death would hand its children to another parent
        process.send_signal(signal.SIGSTOP)
        self.kill_sessions()
        process.kill()
        process.wait(10)
        self._process = None
        if log is not None:
            log.join()

    def close(self) -> None:
        """End everything. May be called twice."""
        self.stop()

    def _start(self) -> None:
        """Start the server on its port; on the first start take a free one, another if it was taken meanwhile."""
        attempts = 5 if self._port == 0 else 1
        for _attempt in range(attempts):
            port = self._port or _free_port()
            if self._launch(port):
                self._port = port
                return
        raise SshdError(f"sshd did not start:\n{self.log}")

    def _launch(self, port: int) -> bool:
        config = self.directory / "sshd_config"
        config.write_text(self._config(port))
        process = subprocess.Popen(
            [self._sshd, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
            env=dict(os.environ) | {HOST_VARIABLE: self._mark},
        )
        assert process.stderr is not None
        self._log = _Log(process.stderr, self.directory / "sshd.log")
        if self._log.wait(lambda line: line.startswith("Server listening on"), 20):
            self._process = process
            return True
        process.kill()
        process.wait(10)
        self._log.join()
        return False

    def _config(self, port: int) -> str:
        """Return the configuration; sshd takes the first value of a keyword, so the extra lines come first."""
        environment = {"HOME": str(self.data), HOST_VARIABLE: self._mark}
        if RUN_VARIABLE in os.environ:
            environment[RUN_VARIABLE] = os.environ[RUN_VARIABLE]
        settings = " ".join(f'"{name}={value}"' for name, value in environment.items())
        lines = [
            *self.options.extra,
            f"Port {port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self._host_key.private_path}",
            f"PidFile {self.directory / 'sshd.pid'}",
            f"AuthorizedKeysFile {self.directory / 'authorized_keys'}",
            f"AllowUsers {self.options.user}",
            f"PasswordAuthentication {'yes' if self.options.passwords else 'no'}",
            f"PermitRootLogin {'yes' if self.options.passwords else 'prohibit-password'}",
            "KbdInteractiveAuthentication no",
            "UsePAM no",
            "StrictModes no",  # the folders above may belong to whoever runs the tests
            "PrintMotd no",
            "AcceptEnv LANG LC_*",
            f"SetEnv {settings}",
            f"Subsystem sftp internal-sftp -d {self.data}",
        ]
        if not any(line.startswith("MaxStartups ") for line in self.options.extra):
            lines.append("MaxStartups 100")  # of this keyword sshd takes the last value
        if self.options.max_sessions is not None:
            lines.append(f"MaxSessions {self.options.max_sessions}")
        return "\n".join(lines) + "\n"


def current_user() -> str:
    """Return the name of the user who runs the tests, as the user database has it."""
    return pwd.getpwuid(os.geteuid()).pw_name


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
