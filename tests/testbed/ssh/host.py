# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test holds of an SSH host, whichever server is behind it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from testbed.ssh.relay import Relay


class SshServer(Protocol):
    """What both servers can do while a test runs."""

    host_key_line: str

    @property
    def port(self) -> int:
        """The port on loopback; it stays the same over a restart."""

    def restart(self) -> None:
        """End every session and connection, then listen on the same port again."""

    def kill_sessions(self) -> None:
        """Cut every connection and kill what runs in its sessions; go on listening."""

    def close(self) -> None:
        """End everything. May be called twice."""


@dataclass
class SshHost:
    """An SSH host as a client sees it.

    ``data`` is the folder that a session starts in (its HOME). ``password`` is set where the host is to be
    reached by password instead of by key.
    """

    name: str
    host: str
    port: int
    user: str
    key_path: Path | None
    known_hosts_path: Path
    data: Path
    server: SshServer
    relay: Relay | None = None
    password: str | None = None
    become_password: str | None = None
    python: str = sys.executable
    client_options: list[str] = field(default_factory=list)

    def isolation(self) -> list[str]:
        """Return the ssh options that keep the client away from the configuration of whoever runs the tests."""
        options = [
            "-F",
            "none",
            "-o",
            f"UserKnownHostsFile={self.known_hosts_path}",
            "-o",
            "GlobalKnownHostsFile=/dev/null",
            "-o",
            "StrictHostKeyChecking=yes",
            "-o",
            "IdentitiesOnly=yes",
        ]
        if self.password is not None:
            options += ["-o", "PreferredAuthentications=password", "-o", "PubkeyAuthentication=no"]
        return options + self.client_options

    def ssh_argv(self, *options: str) -> list[str]:
        """Return the argv of a real ``ssh`` up to and with the destination; append the command."""
        key = [] if self.key_path is None or self.password is not None else ["-i", str(self.key_path)]
        batch = ["-o", "BatchMode=yes"] if self.password is None else []
        return [
            "ssh",
            *self.isolation(),
            *batch,
            *key,
            "-p",
            str(self.port),
            *options,
            f"{self.user}@{self.host}",
        ]

    def run(self, command: str, stdin: bytes = b"", timeout: float = 60) -> subprocess.CompletedProcess[bytes]:
        """Run one command through the real ssh client and return what it gave."""
        return subprocess.run(
            [*self.ssh_argv(), command], input=stdin, capture_output=True, timeout=timeout, check=False
        )

    def inventory_vars(self) -> dict[str, Any]:
        """Return the host variables that let Ansible reach the host."""
        variables: dict[str, Any] = {
            "ansible_connection": "ansible.builtin.ssh",
            "ansible_host": self.host,
            "ansible_port": self.port,
            "ansible_user": self.user,
            "ansible_ssh_common_args": shlex.join(self.isolation()),
            "ansible_python_interpreter": self.python,
        }
        if self.password is not None:
            variables["ansible_password"] = self.password
        elif self.key_path is not None:
            variables["ansible_ssh_private_key_file"] = str(self.key_path)
        return variables


def write_known_hosts(path: Path, host_key_line: str, ports: list[int]) -> None:
    """Write a known_hosts file that accepts one host key on some ports of 127.0.0.1."""
    algorithm, key = host_key_line.split()[:2]
    path.write_text("".join(f"[127.0.0.1]:{port} {algorithm} {key}\n" for port in ports))
