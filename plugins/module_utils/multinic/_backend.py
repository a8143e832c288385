# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an interface is persisted on a node: what every backend can do.

Which files are ours is told by their path and by their first lines, which also carry what naming needs::

    # Managed by manifold.core (multinic); changes made here are undone.
    # id=1 mac=fa:16:3e:1c:1a:6e name=multinic0 address=11.11.11.37/24 mtu=1450

``address`` and ``mtu`` are there where they are wanted, so that a file tells by itself whether it, or its NIC, was
edited by hand.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface, InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_OWNER = "# Managed by manifold.core (multinic); changes made here are undone."
_RECORD = re.compile(
    r"^# id=(\d{1,19}) mac=([0-9a-f:]{17}) name=(multinic[0-9])(?: address=([0-9a-f.:]+/\d+))?(?: mtu=(\d{2,5}))?$",
    re.MULTILINE | re.ASCII,
)


@dataclass(frozen=True)
class Record:
    """What one of our files says it is for."""

    id: int
    mac: str
    name: str
    address: InterfaceAddress | None = None
    mtu: int | None = None

    def interface(self) -> Interface:
        """Return the interface that the file was written for, its name pinned."""
        return Interface(self.id, self.mac, self.address, self.mtu, self.name)


@dataclass(frozen=True)
class OwnFile:
    """One of our files as it is found on the node.

    :param content: its first 64 KiB, with what is not UTF-8 replaced.
    :param mode: its permissions; 0 where it is no regular file of ours (a symbolic link, or somebody else's), so
        that it never equals what we write.
    :param record: None where its head was destroyed by hand.
    """

    path: str
    content: str
    mode: int
    record: Record | None


def head(interface: Interface, name: str) -> str:
    """Return the first lines of a file of ours."""
    record = f"# id={interface.id} mac={interface.mac} name={name}"
    if interface.address is not None:
        record += f" address={interface.address}"
    if interface.mtu is not None:
        record += f" mtu={interface.mtu}"
    return f"{_OWNER}\n{record}\n"


def record_of(content: str) -> Record | None:
    """Return what a file of ours is for, or None if it does not say."""
    found = _RECORD.search(content)
    if found is None:
        return None
    number, mac, name, address, mtu = found.groups()
    try:
        parsed = None if address is None else ipaddress.ip_interface(address)
    except ValueError:
        return None
    return Record(int(number), mac, name, parsed, None if mtu is None else int(mtu))


class Backend(ABC):
    """netplan, NetworkManager or ifcfg.

    :param system: the node.
    """

    name: str

    def __init__(self, system: System) -> None:
        self.system = system

    @abstractmethod
    def missing(self) -> str | None:
        """Return why this node cannot use the backend, or None if it can."""

    def unused(self) -> str | None:
        """Return why it does not manage the links of this node, although it could, or None if it does."""
        return None

    @abstractmethod
    def render(self, interface: Interface, name: str) -> tuple[ConfigFile, ...]:
        """Return the files that persist an interface under a name. Pure."""

    @abstractmethod
    def own(self) -> tuple[OwnFile, ...]:
        """Return our files of this backend as they are on the node, in order of path."""

    def try_out(self, files: Sequence[ConfigFile], removed: Sequence[str]) -> list[str]:
        """Let the node's own tool read the files beside what is there, apart from the node; return warnings.

        :param removed: paths of ours that will be gone.
        :raises NodeError: these files would keep it from configuring the node at the next boot.
        """
        del files, removed
        return []

    def tell(self, written: Sequence[str], removed: Sequence[str]) -> list[str]:
        """Tell a running daemon of these files of ours, and of nothing else; return warnings.

        The link itself was already changed by ``ip``: a daemon must not take it down or flush it.
        """
        del written, removed
        return []

    def untell(self) -> Sequence[Sequence[str]]:
        """Return the commands that make a daemon read our files again after the guard has put them back.

        They run after the files and before the links: a daemon that forgets a file of ours may take addresses away.
        """
        return ()
