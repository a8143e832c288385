# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interface is called what: names are kept from run to run, whatever the order of the list."""

from __future__ import annotations

import re
from types import MappingProxyType
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
    fixed: Mapping[int, str] = MappingProxyType({}),
) -> dict[int, str]:
    """Return the name of each interface by its id; one for which no name is left is missing.

    What decides, in this order: what is fixed; ``name``; the file of its id, first one that is of its MAC as well;
    the file of its MAC; what its link is called, if that is one of our names; the lowest free name, in order of id.

    :param links: what the link with a MAC is called.
    :param kept: names that are not to be given, because something else keeps them.
    :param fixed: by id the names that have to stay.
    """
    by_id, by_mac = _recorded(records)
    by_both = {(record.id, record.mac): record.name for record in reversed(records)}
    return _give(
        interfaces,
        kept,
        lambda interface: fixed.get(interface.id),
        lambda interface: interface.name,
        lambda interface: by_both.get((interface.id, interface.mac)),
        lambda interface: by_id.get(interface.id),
        lambda interface: by_mac.get(interface.mac),
        lambda interface: links.get(interface.mac),
    )


def share_names(
    interfaces: Sequence[Interface],
    records: Sequence[Record],
    links: Mapping[str, str],
    kept: Collection[str] = (),
    fixed: Mapping[int, str] = MappingProxyType({}),
) -> dict[int, str]:
    """Return the same where there are not enough names: nobody loses the name that it has for somebody else.

    What decides, in this order: what is fixed; what its link is called; the file of its MAC; the file of its id;
    ``name``; the lowest free name. Of an interface with ``name`` nothing else counts than that one. A file of an id
    and of the MAC of another interface does not count for the id, since it goes once the other one is configured.
    """
    by_mac = _recorded(records)[1]
    macs = {interface.mac for interface in interfaces}
    by_id = _recorded([record for record in records if record.mac not in macs])[0]
    return _give(
        interfaces,
        kept,
        lambda interface: fixed.get(interface.id),
        lambda interface: links.get(interface.mac),
        lambda interface: by_mac.get(interface.mac),
        lambda interface: by_id.get(interface.id),
        lambda interface: interface.name,
    )


def _recorded(records: Sequence[Record]) -> tuple[dict[int, str], dict[str, str]]:
    """Return the names that files say, by id and by MAC; of two files the first counts."""
    return {each.id: each.name for each in reversed(records)}, {each.mac: each.name for each in reversed(records)}


def _give(
    interfaces: Sequence[Interface], kept: Collection[str], *wishes: Callable[[Interface], str | None]
) -> dict[int, str]:
    """Return the names after asking all for their first wish, then for their second; then the lowest that is free."""
    ordered = sorted(interfaces, key=lambda interface: interface.id)
    chosen: dict[int, str] = {}
    free = [name for name in NAMES if name not in kept]
    for wish in wishes:
        for interface in ordered:
            name = wish(interface)
            # who pinned a name does not want another
            if interface.id not in chosen and name in free and interface.name in (None, name):
                chosen[interface.id] = name
                free.remove(name)
    for interface in ordered:
        if interface.id not in chosen and interface.name is None and free:
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
