# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes hosts, pods, nodes and inventories for one test (or one demonstration) and takes them down again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from testbed.inventory import Host, Inventory
from testbed.run import Run
from testbed.ssh.accounts import Account, Sudo, create_account, remove_account
from testbed.ssh.embedded import EmbeddedSshServer
from testbed.ssh.host import SshHost, SshServer, write_known_hosts
from testbed.ssh.keys import KeyPair, make_key
from testbed.ssh.sshd import Sshd, SshdOptions, current_user

SYSTEM_PYTHON = Path("/usr/bin/python3")


class _Closable(Protocol):
    def close(self) -> None: ...


_Part = TypeVar("_Part", bound=_Closable)


class Tier(Enum):
    """What a test needs of the machine; see the test bed's documentation."""

    UNIT = "unit"
    EMBEDDED = "embedded"
    NODE = "node"


class Bed:
    """A context manager; what it made last is taken down first.

    :param tier: which servers and backends are used where a call does not say.
    """

    def __init__(self, run: Run, tier: Tier = Tier.EMBEDDED) -> None:
        self.run = run
        self.tier = tier
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Bed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take everything down; the first error is raised after all of it was tried."""
        self._stack.close()

    def ssh_host(
        self,
        name: str = "alpha",
        *,
        tier: Tier | None = None,
        account: bool = False,
        password: str | None = None,
        sudo: Sudo = Sudo.NONE,
        max_sessions: int | None = None,
        config: Iterable[str] = (),
    ) -> SshHost:
        """Start an SSH host: a real sshd on the node tier, else the embedded server.

        :param account: give the host a system user of its own instead of the current one (node tier).
        :param password: the host is reached by this password; on the node tier it implies ``account``,
            and it is what sudo asks for.
        :param sudo: what the account may do with sudo.
        :param max_sessions: sshd's ``MaxSessions``.
        :param config: further lines of sshd_config.
        """
        directory = self.run.new_directory(name)
        data = directory / "data"
        data.mkdir()
        key = make_key(directory / "id")
        if (tier or self.tier) is Tier.NODE:
            user = None
            if account or password is not None or sudo is not Sudo.NONE:
                user = self._account(data, password, sudo)
            options = SshdOptions(
                user.name if user else current_user(),
                passwords=password is not None,
                max_sessions=max_sessions,
                extra=tuple(config),
            )
            server: SshServer = self._close_later(Sshd(directory / "sshd", data, [key.public_line], options))
            return self._host(name, directory, server, options.user, key, password, account=user)
        if account or sudo is not Sudo.NONE or max_sessions is not None or config:
            raise ValueError("accounts, sudo and sshd settings need the node tier's sshd")
        embedded = EmbeddedSshServer(
            data,
            host_key=make_key(directory / "host_key").private_path,
            authorized=[key.public_line],
            password=password,
        )
        return self._host(name, directory, self._close_later(embedded), embedded.user, key, password)

    def inventory(
        self,
        *hosts: Host,
        variables: Mapping[str, Mapping[str, Any]] | None = None,
        groups: Mapping[str, Iterable[str]] | None = None,
        text: str | None = None,
        filename: str = "hosts.yml",
    ) -> Inventory:
        """Write an inventory of the hosts; see :class:`testbed.inventory.Inventory`."""
        return self._close_later(
            Inventory(self.run, hosts, variables=variables, groups=groups, text=text, filename=filename)
        )

    def _host(
        self,
        name: str,
        directory: Path,
        server: SshServer,
        user: str,
        key: KeyPair,
        password: str | None,
        account: Account | None = None,
    ) -> SshHost:
        known_hosts = directory / "known_hosts"
        write_known_hosts(known_hosts, server.host_key_line, [server.port])
        return SshHost(
            name=name,
            host="127.0.0.1",
            port=server.port,
            user=user,
            key_path=key.private_path,
            known_hosts_path=known_hosts,
            data=directory / "data",
            server=server,
            password=password,
            become_password=account.password if account else None,
            python=_python_for(account),
        )

    def _account(self, home: Path, password: str | None, sudo: Sudo) -> Account:
        if os.geteuid() != 0:
            raise PermissionError("a user of its own, a password or sudo needs root to set it up")
        name = f"{self.run.tag}u{self.run.number()}"
        token = self.run.owe("testbed.ssh.accounts", "remove_account", name)
        account = create_account(name, home, password=password, sudo=sudo)
        self._stack.callback(self.run.done, token)
        self._stack.callback(remove_account, name)
        return account

    def _close_later(self, part: _Part) -> _Part:
        self._stack.callback(part.close)
        return part


def _python_for(account: Account | None) -> str:
    """Return a Python that the host's user can run: ours may be in a folder that only we can enter."""
    if account is not None and SYSTEM_PYTHON.exists():
        return str(SYSTEM_PYTHON)
    return sys.executable
