# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that exists only here: it answers ``ip`` as the kernel does, for tests that try very many nodes."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile, head, record_of
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface, InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import NAMES
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System


@dataclass
class SimulatedLink:
    """A link; the kernel's rules are in :class:`SimulatedNode`."""

    name: str
    mac: str
    up: bool = False
    mtu: int = 1500
    addresses: list[InterfaceAddress] = field(default_factory=list)
    kind: str = ""
    master: str | None = None
    lower: str | None = None
    max_mtu: int = 65535
    permanent: str | None = None


class SimulatedNode(System):
    """Answers the commands of ``ip`` that we use, and refuses what the kernel refuses.

    :param broken: arguments of commands that fail, as a text that they contain.
    """

    def __init__(self, root: Path, links: Sequence[SimulatedLink], routes: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(root)
        self.links = list(links)
        self.routes = list(routes)
        self.broken: list[str] = []
        self.commands: list[str] = []

    def which(self, command: str) -> str | None:
        return f"/usr/sbin/{command}" if command == "ip" else None

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        del timeout
        words = " ".join(argv)
        if words == "ip -json -details address show":
            return Ran(0, json.dumps([self._shown(number, link) for number, link in enumerate(self.links)]), "")
        if words == "ip -json route show table all":
            return Ran(0, json.dumps(self.routes), "")
        self.commands.append(words)
        try:
            if any(text in words for text in self.broken):
                raise ValueError("it is broken")
            self._change(list(argv[1:]))
        except ValueError as exc:
            return Ran(2, "", f"RTNETLINK answers: {exc}\n")
        return Ran(0, "", "")

    def named(self, name: str) -> SimulatedLink:
        """Return the link of that name."""
        for link in self.links:
            if link.name == name:
                return link
        raise ValueError(f'Cannot find device "{name}"')

    def _change(self, words: list[str]) -> None:
        if words[:3] == ["link", "set", "dev"]:
            self._set(self.named(words[3]), *words[4:])
        elif words[0] == "address":
            address = ipaddress.ip_interface(words[2])
            link = self.named(words[4])
            (self._add if words[1] == "replace" else self._delete)(link, address)
        else:
            raise ValueError(f"no such command: {words}")

    def _set(self, link: SimulatedLink, what: str, value: str = "") -> None:
        if what == "down":
            link.up = False
            link.addresses = [address for address in link.addresses if address.version == 4]
        elif what == "up":
            link.up = True
        elif what == "mtu":
            if not 68 <= int(value) <= link.max_mtu:
                raise ValueError("mtu greater than device maximum")
            link.mtu = int(value)
            if link.mtu < 1280:
                link.addresses = [address for address in link.addresses if address.version == 4]
        elif what == "name":
            if link.up:
                raise ValueError("Device or resource busy")
            if any(other.name == value for other in self.links):
                raise ValueError("File exists")
            link.name = value
        else:
            raise ValueError(f"no such change: {what}")

    def _add(self, link: SimulatedLink, address: InterfaceAddress) -> None:
        if address.version == 6 and link.mtu < 1280:
            raise ValueError("Permission denied")
        if address not in link.addresses:
            link.addresses.append(address)

    def _delete(self, link: SimulatedLink, address: InterfaceAddress) -> None:
        if address not in link.addresses:
            raise ValueError("Cannot assign requested address")
        same = [other for other in link.addresses if other.version == 4 and other.network == address.network]
        # the first address of a network takes the others along (promote_secondaries=0)
        gone = same if same and same[0] == address else [address]
        link.addresses = [other for other in link.addresses if other not in gone]

    def _shown(self, number: int, link: SimulatedLink) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "ifindex": number + 1,
            "ifname": link.name,
            "flags": ["BROADCAST", *(["UP"] if link.up else [])],
            "mtu": link.mtu,
            "address": link.mac,
            "max_mtu": link.max_mtu,
            "linkinfo": {"info_kind": link.kind} if link.kind else {},
            "addr_info": [
                {"local": str(each.ip), "prefixlen": each.network.prefixlen, "scope": "global"}
                for each in link.addresses
            ],
        }
        optional = {"master": link.master, "link": link.lower, "permaddr": link.permanent}
        return shown | {key: value for key, value in optional.items() if value is not None}


class PlainBackend(Backend):
    """Writes a file that says what is wanted, where netplan's would be."""

    name = "plain"

    def missing(self) -> str | None:
        return None

    def unused(self) -> str | None:
        return None

    def render(self, interface: Interface, name: str) -> tuple[ConfigFile, ...]:
        content = f"{head(interface, name)}address {interface.address} mtu {interface.mtu}\n"
        return (ConfigFile(self._path(name), content),)

    def own(self) -> tuple[OwnFile, ...]:
        found = []
        for name in NAMES:
            path = self.system.path(self._path(name))
            if path.exists():
                content = path.read_text()
                found.append(OwnFile(self._path(name), content, path.stat().st_mode & 0o777, record_of(content)))
        return tuple(found)

    def _path(self, name: str) -> str:
        return f"/etc/netplan/9{name[-1]}-{name}.yaml"


class Unguarded:
    """Stands for the guard of a change, and notes what was to be undone."""

    def __init__(self) -> None:
        self.undone: list[tuple[set[int], set[str]]] = []

    def fence(self) -> None:
        """Let every step be taken."""

    def undo(self, indexes: Iterable[int], paths: Iterable[str]) -> tuple[str, ...]:
        """Note it."""
        self.undone.append((set(indexes), set(paths)))
        return ()
