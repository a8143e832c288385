# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test node as the code that runs on nodes sees it, and any interface that may be wanted of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from pathlib import Path

from ansible_collections.manifold.core.plugins.module_utils.multinic import _files
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface, InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System
from hypothesis import strategies as st

from testbed.net.node import Node


class NodeSystem(System):
    """The commands run on the node, the files are reached from outside."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.root)
        self._node = node

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        done = self._node.run(["env", "LC_ALL=C", *argv], timeout=timeout)
        return Ran(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def which(self, command: str) -> str | None:
        return self.run(["which", command]).stdout.strip() or None


def write(system: System, files: Iterable[ConfigFile]) -> list[str]:
    """Write the files as a run does, and return their paths."""
    written = []
    for file in files:
        _files.write(system.path(file.path), file.content.encode(), file.mode)
        written.append(file.path)
    return written


def _mac(octets: bytes) -> str:
    return ":".join(f"{octet:02x}" for octet in bytes([octets[0] & 0xFE]) + octets[1:])


_MACS = st.binary(min_size=6, max_size=6).map(_mac).filter(lambda mac: mac != "00:00:00:00:00:00")
_FOUR = st.builds(
    lambda address, length: ipaddress.IPv4Interface((address, length)),
    st.integers(0x01000001, 0x7EFFFFFE) | st.integers(0x80000001, 0xDFFFFFFE),
    st.integers(1, 32),
)
_SIX = st.builds(
    lambda address, length: ipaddress.IPv6Interface((address, length)),
    st.integers(0x2000 << 112, (0x4000 << 112) - 1) | st.integers(0xFC00 << 112, (0xFE00 << 112) - 1),
    st.integers(1, 128),
)


@st.composite
def _one(draw: st.DrawFn) -> Interface:
    address: InterfaceAddress | None = draw(st.none() | _FOUR | _SIX)
    least = 1280 if isinstance(address, ipaddress.IPv6Interface) else 68
    return Interface(draw(st.integers(0, 2**63 - 1)), draw(_MACS), address, draw(st.none() | st.integers(least, 65535)))


@st.composite
def slots(draw: st.DrawFn) -> dict[str, Interface]:
    """Return up to ten interfaces, each with another MAC, by their names."""
    interfaces = draw(st.lists(_one(), min_size=1, max_size=10, unique_by=lambda interface: interface.mac))
    numbers = draw(st.permutations(range(10)))
    return {f"multinic{number}": interface for number, interface in zip(numbers, interfaces, strict=False)}


def new_root(folder: Path) -> Path:
    """Return an empty root of a node's files."""
    root = folder / f"root{len(list(folder.iterdir()))}"
    root.mkdir()
    return root
