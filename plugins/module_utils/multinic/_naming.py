# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface is called what: names are kept from run to run, whatever the order of the list."""

from __future__ import annotations

import re
from typing import Callable, Collection, Mapping, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Record
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import PREFIX, SLOTS, Interface

NAMES = tuple(f"{PREFIX}{slot}" for slot in range(SLOTS))
TEMPORARY = tuple(f"mnic{slot}" for slot in range(SLOTS))
"""What links are called while they swap names; ours too, if a run was cut short."""
_ORPHAN = "orph"
_SLOT_IN_PATH = re.compile(rf"(?<![a-z0-9])({PREFIX}[0-{SLOTS - 1}])(?![a-z0-9])")


def choose_names(
    interfaces: Sequence[Interface],
    records: Sequence[Record],
    links: Mapping[str, str],
    kept: Collection[str] = (),
    *,
    short: bool = False,
) -> dict[int, str]:
    """Return the name of each interface by its id; one for which no name is left is missing.

    What decides, in this order: ``name``; the file of its id; the file of its MAC; what its link is called, if
    that is one of our names; the lowest free name, in order of id.

    :param links: what the link with a MAC is called.
    :param kept: names that are not to be given, because something else keeps them.
    :param short: there are not enough names: what a link is called goes before files. Who is left out keeps its
        link's name, and another run would choose otherwise if somebody else had taken it by a file.
    """
    by_id = {record.id: record.name for record in reversed(records)}  # of two files the first counts
    by_mac = {record.mac: record.name for record in reversed(records)}
    chosen: dict[int, str] = {}
    free = [name for name in NAMES if name not in kept]
    rounds: tuple[Callable[[Interface], str | None], ...] = (
        lambda interface: by_id.get(interface.id),
        lambda interface: by_mac.get(interface.mac),
        lambda interface: links.get(interface.mac),
    )
    for interface in interfaces:
        # who pinned a name that is taken does not want another
        if interface.name in free:
            chosen[interface.id] = interface.name
            free.remove(interface.name)
    ordered = sorted((each for each in interfaces if each.name is None), key=lambda interface: interface.id)
    for preferred in (rounds[2], *rounds[:2]) if short else rounds:
        for interface in ordered:
            name = preferred(interface)
            if interface.id not in chosen and name in free:
                chosen[interface.id] = name
                free.remove(name)
    for interface in ordered:
        if interface.id not in chosen and free:
            chosen[interface.id] = free.pop(0)
    return chosen


def slot_of_path(path: str) -> str | None:
    """Return the name that a file of ours is for, as its path says."""
    found = _SLOT_IN_PATH.search(path.rsplit("/", 1)[-1])
    return found.group(1) if found else None


def is_ours(name: str) -> bool:
    """Return whether a link's name is one that only we give."""
    return name in NAMES or name in TEMPORARY


def orphan_name(taken: Collection[str]) -> str:
    """Return a name for a NIC that is given up: one that no configuration matches, until the system names it again."""
    number = 0
    while f"{_ORPHAN}{number}" in taken:
        number += 1
    return f"{_ORPHAN}{number}"
