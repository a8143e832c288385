# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any valid list of interfaces, any node."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import head
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import Claim, NameClaim
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface, InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import NAMES, TEMPORARY
from hypothesis import strategies as st

from unit.simulated_nics import SimulatedLink

MACS = [f"fa:16:3e:00:00:{number:02x}" for number in range(1, 14)]
ADDRESSES: list[InterfaceAddress] = [
    ipaddress.ip_interface(text)
    for text in (
        *(f"10.0.{net}.{host}/24" for net in range(3) for host in range(1, 6)),
        *(f"2001:db8:{net}::{host}/64" for net in range(2) for host in range(1, 4)),
    )
]
_IDS = st.integers(0, 14)
_MTUS = st.sampled_from([None, 1280, 1450, 1500, 9000])


@st.composite
def entries(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return a valid list of interfaces, as a user writes it."""
    count = draw(st.integers(0, 10))
    ids = draw(st.lists(_IDS, min_size=count, max_size=count, unique=True))
    macs = draw(st.permutations(MACS))[:count]
    addresses = draw(st.permutations(ADDRESSES))[:count]
    names = draw(st.permutations(NAMES))[:count]
    made = []
    for number in range(count):
        entry: dict[str, Any] = {"id": ids[number], "mac_address": macs[number], "mtu": draw(_MTUS)}
        if draw(st.booleans()):
            entry["address"] = str(addresses[number])
        if draw(st.integers(0, 3)) == 0:
            entry["name"] = names[number]
        made.append(entry)
    return made


@dataclass
class Start:
    """What a node is like before a run.

    :param files: what is in our files, by name: the content, or None for what somebody spoilt.
    """

    links: list[SimulatedLink]
    files: dict[str, str]
    routes: list[dict[str, Any]]


@dataclass(frozen=True)
class Others:
    """What others say of a node's NICs and of our names, and the addresses by which it is reached."""

    claims: tuple[Claim, ...] = ()
    named: tuple[NameClaim, ...] = ()
    connected: tuple[str, ...] = ()


@st.composite
def starts(draw: st.DrawFn, *, crowded: bool = False) -> Start:
    """Return a node: NICs that are new, ours, in the middle of a change or somebody's; files right, old and spoilt.

    :param crowded: with many NICs and with files for most of our names.
    """
    count = draw(st.integers(6 if crowded else 0, 12))
    names = draw(st.permutations([*NAMES, *TEMPORARY[:2], "orph0", *(f"eth{number}" for number in range(12))]))[:count]
    macs = [*draw(st.permutations(MACS))[:count]]
    if count > 1 and draw(st.integers(0, 9)) == 0:
        macs[1] = macs[0]
    links = []
    for name, mac in zip(names, macs, strict=True):
        mtu = draw(st.sampled_from([1500, 1450, 1280, 1000, 68]))
        addresses = draw(st.lists(st.sampled_from(ADDRESSES), max_size=3, unique_by=lambda address: address.ip))
        fitting = [address for address in addresses if mtu >= 1280 or address.version == 4]
        links.append(SimulatedLink(name, mac, draw(st.booleans()), mtu, fitting))
    files = {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=7 if crowded else 0, unique=True)):
        address = draw(st.sampled_from([None, *ADDRESSES]))
        recorded = draw(st.sampled_from([name, name, name, draw(st.sampled_from(NAMES))]))
        interface = Interface(draw(_IDS), draw(st.sampled_from(MACS)), address)
        files[name] = draw(st.sampled_from(["", head(interface, recorded), head(interface, recorded) + "old\n"]))
    routes = []
    if links and draw(st.integers(0, 3)) == 0:
        routes.append({"dst": "default", "gateway": "10.9.9.9", "dev": draw(st.sampled_from(links)).name})
    return Start(links, files, routes)


@st.composite
def talked_of(draw: st.DrawFn, *, crowded: bool = False) -> tuple[Start, Others]:
    """Return a node and what others say of it, mostly nothing."""
    start = draw(starts(crowded=crowded))
    if draw(st.integers(0, 2)):
        return start, Others()
    path = "/etc/netplan/10-foreign.yaml"
    here = [str(address.ip) for link in start.links for address in link.addresses]
    return start, Others(
        tuple(Claim(mac, path) for mac in draw(st.lists(st.sampled_from(MACS), max_size=1))),
        tuple(NameClaim(name, path) for name in draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True))),
        tuple(draw(st.lists(st.sampled_from(here), max_size=1))) if here else (),
    )
