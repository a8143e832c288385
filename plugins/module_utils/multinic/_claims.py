# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of the node that are not ours name a NIC.

A MAC is looked for as text, in every notation that one of the readers of these files takes, so that no
format has to be understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterable

from ansible_collections.manifold.core.plugins.module_utils.multinic._foreign import foreign_files
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System


@dataclass(frozen=True)
class Claim:
    """A file that is not ours and names a NIC by its MAC address.

    :param path: absolute, as the node sees it.
    """

    mac: str
    path: str


@dataclass(frozen=True)
class NameClaim:
    """A file that is not ours and uses one of our names, for a NIC of its own or for what it builds upon ours.

    :param path: absolute, as the node sees it.
    """

    name: str
    path: str


def claims(system: System, macs: Iterable[str], own: Iterable[str]) -> tuple[Claim, ...]:
    """Return which files other than ours name one of the MACs, in any case and any usual notation.

    :param own: the paths of our files, of every backend.
    :raises NodeError: a file that may claim one cannot be read.
    """
    patterns = {mac: _notations(mac) for mac in macs}
    return tuple(Claim(mac, path) for mac, path in _search(system, patterns, own))


def name_claims(system: System, names: Iterable[str], own: Iterable[str]) -> tuple[NameClaim, ...]:
    """Return which files other than ours use one of the names.

    :param own: the paths of our files, of every backend.
    :raises NodeError: a file that may use one cannot be read.
    """
    word = r"(?<![0-9A-Za-z_-]){}(?![0-9A-Za-z_-])"
    patterns = {name: re.compile(word.format(re.escape(name)).encode()) for name in names}
    return tuple(NameClaim(name, path) for name, path in _search(system, patterns, own))


def _search(system: System, patterns: dict[str, re.Pattern[bytes]], own: Iterable[str]) -> Iterable[tuple[str, str]]:
    if not patterns:
        return
    for path, content in foreign_files(system, frozenset(own)):
        for what, pattern in patterns.items():
            if pattern.search(content):
                yield what, path


def _notations(mac: str) -> re.Pattern[bytes]:
    """Return what finds a MAC.

    ``fa:16:3e:0c:1a:6e`` is also found with ``-`` and with ``c`` for ``0c``, as ``fa16.3e0c.1a6e`` (systemd), as
    ``fa163e0c1a6e`` (in names like ``enxfa163e0c1a6e``), and as ``250;22;62;12;26;110`` (old keyfiles).
    """
    octets = mac.split(":")
    spelled = "[:-]".join(octet.replace("0", "0?", 1) if octet[0] == "0" else octet for octet in octets)
    bare = "".join(octets)
    dotted = r"\.".join(bare[at : at + 4] for at in (0, 4, 8))
    numbers = ";".join(str(int(octet, 16)) for octet in octets)
    # The node part of a UUID is no MAC, whatever it looks like.
    hexadecimal = rf"(?<![0-9a-f])(?:{spelled}|{dotted}|(?<![0-9a-f]{{4}}-){bare})(?![0-9a-f])"
    return re.compile(rf"{hexadecimal}|(?<![0-9]){numbers}(?![0-9])".encode(), re.IGNORECASE)
