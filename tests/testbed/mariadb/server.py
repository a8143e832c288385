# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mariadbd as a process of the tests, on loopback and on a socket, with TLS."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql

from testbed.kube.tls import make_certificate

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_QUICK = ("--innodb-log-file-size=4M", "--innodb-flush-method=nosync", "--skip-name-resolve")
"""Nothing here has to outlive a loss of power."""


class MariaDbError(Exception):
    """The server could not be set up; the text holds what it said."""


class MariaDb:
    """A running server; ``root`` may do everything, without a password, by the socket alone.

    :param directory: an empty folder for its data, its socket and its certificate.
    :param tls: whether it offers TLS.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, *, tls: bool = True) -> None:
        self.directory = directory
        self._tls = tls
        self.socket = directory / "s"
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.certificate, self._key = make_certificate(directory)
        self._install()
        self.port = _free_port()
        self.start()

    def _install(self) -> None:
        argv = [
            _find("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.directory / 'data'}", f"--user={getpass.getuser()}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db", *_QUICK),
        ]
        done = subprocess.run(argv, capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            raise MariaDbError(f"mariadb-install-db: {(done.stderr or done.stdout).decode(errors='replace')}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        argv = [
            _find("mariadbd"),
            *("--no-defaults", f"--datadir={self.directory / 'data'}", f"--user={getpass.getuser()}"),
            *(f"--socket={self.socket}", f"--bind-address={self.host}", f"--port={self.port}", *_QUICK),
            *((f"--ssl-cert={self.certificate}", f"--ssl-key={self._key}") if self._tls else ["--skip-ssl"]),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.sql("SELECT 1")
                return
            except pymysql.err.OperationalError as exc:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise MariaDbError(f"mariadbd: {self._log.read_text(errors='replace')[-2000:]}") from exc
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)

    def stop(self) -> None:
        """End it at once; the data stay."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def sql(self, *statements: str, values: Sequence[object] = ()) -> tuple[tuple[Any, ...], ...]:
        """Run statements as root, the last one with values; return the rows of the last one."""
        with pymysql.connect(unix_socket=str(self.socket), user="root", autocommit=True) as connection:
            cursor = connection.cursor()
            for statement in statements[:-1]:
                cursor.execute(statement)
            cursor.execute(statements[-1], values)
            return tuple(cursor.fetchall())


def _find(program: str) -> str:
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise MariaDbError(f"there is no {program} on this machine: install mariadb-server")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
