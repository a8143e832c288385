# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes hosts, pods, nodes and inventories for one test (or one demonstration) and takes them down again."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from testbed.inventory import Host, Inventory
from testbed.net.node import Node
from testbed.pods import Kubes, PodHost, delete_pod
from testbed.run import Run
from testbed.ssh.accounts import Account, Sudo, create_account, remove_account
from testbed.ssh.embedded import EmbeddedSshServer
from testbed.ssh.host import SshHost, SshServer, write_known_hosts
from testbed.ssh.keys import KeyPair, make_key
from testbed.ssh.relay import Relay
from testbed.ssh.sshd import Sshd, SshdOptions, current_user
from testbed.tier import Tier
from testbed.warm import WarmAnsible

SYSTEM_PYTHON = Path("/usr/bin/python3")


class _Closable(Protocol):
    def close(self) -> None: ...


_Part = TypeVar("_Part", bound=_Closable)


class Bed:
    """A context manager; what it made last is taken down first.

    :param tier: which servers and backends are used where a call does not say.
    :param kubes: Kubernetes APIs that are shared with other beds; without it the bed has its own.
    :param warm: forks the runs of ansible-playbook; without it the command itself is started each time.
    """

    def __init__(
        self, run: Run, tier: Tier = Tier.EMBEDDED, kubes: Kubes | None = None, warm: WarmAnsible | None = None
    ) -> None:
        self.run = run
        self.tier = tier
        self._warm = warm
        self._stack = contextlib.ExitStack()
        if kubes is None:
            kubes = self._close_later(Kubes(run))
        else:
            self._stack.callback(kubes.reset)
        self._kubes = kubes

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
        relay: bool = False,
    ) -> SshHost:
        """Start an SSH host: a real sshd on the node tier, else the embedded server.

        :param account: give the host a system user of its own instead of the current one (node tier).
        :param password: the host is reached by this password; on the node tier it implies ``account``,
            and it is what sudo asks for.
        :param sudo: what the account may do with sudo.
        :param max_sessions: sshd's ``MaxSessions``.
        :param config: further lines of sshd_config.
        :param relay: put a relay in front, which the client then uses; it is the host's ``relay``.
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
            return self._host(name, directory, server, options.user, key, relay=relay, password=password, account=user)
        if account or sudo is not Sudo.NONE or max_sessions is not None or config:
            raise ValueError("accounts, sudo and sshd settings need the node tier's sshd")
        embedded = EmbeddedSshServer(
            data,
            host_key=make_key(directory / "host_key").private_path,
            authorized=[key.public_line],
            password=password,
        )
        self._close_later(embedded)
        return self._host(name, directory, embedded, embedded.user, key, relay=relay, password=password)

    def pod(
        self,
        name: str = "web",
        *,
        tier: Tier | None = None,
        namespace: str = "default",
        containers: list[dict[str, Any]] | None = None,
        labels: dict[str, str] | None = None,
        image: str | None = None,
    ) -> PodHost:
        """Start a pod and wait until it is ready: real containers on the node tier, else plain processes."""
        kube, kubeconfig = self._kubes.of(Tier.NODE if (tier or self.tier) is Tier.NODE else Tier.EMBEDDED)
        self._stack.callback(delete_pod, kube, namespace, name)
        made = kube.pod(name, namespace, containers, labels, image)
        return PodHost(name, namespace, made.container, kube, kubeconfig, made.root)

    def node(self, name: str = "node1") -> Node:
        """Start a node without NICs; see :class:`testbed.net.node.Node`."""
        return self._close_later(Node(name, self.run.new_directory(name)))

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
            Inventory(
                self.run,
                hosts,
                variables=variables,
                groups=groups,
                text=text,
                filename=filename,
                warm=self._warm,
            )
        )

    def _host(
        self,
        name: str,
        directory: Path,
        server: SshServer,
        user: str,
        key: KeyPair,
        *,
        relay: bool,
        password: str | None,
        account: Account | None = None,
    ) -> SshHost:
        front = self._close_later(Relay(server.port)) if relay else None
        port = front.port if front else server.port
        known_hosts = directory / "known_hosts"
        write_known_hosts(known_hosts, server.host_key_line, [port])
        return SshHost(
            name=name,
            host="127.0.0.1",
            port=port,
            user=user,
            key_path=key.private_path,
            known_hosts_path=known_hosts,
            data=directory / "data",
            server=server,
            relay=front,
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
