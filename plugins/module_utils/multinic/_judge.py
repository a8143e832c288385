# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a NIC may be touched: what keeps a mistake in a list from cutting off the node. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import OwnFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import Claim, NameClaim
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import is_ours
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import IPV6_MTU
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import State


@dataclass(frozen=True)
class Observed:
    """What a node is like.

    :param files: ours, of every backend.
    :param claims: what files other than ours say of the wanted MAC addresses.
    :param named: what files other than ours say of our names.
    :param connected: the addresses by which the node is reached just now.
    """

    links: tuple[Link, ...] = ()
    files: tuple[OwnFile, ...] = ()
    claims: tuple[Claim, ...] = ()
    named: tuple[NameClaim, ...] = ()
    connected: tuple[str, ...] = ()

    def with_mac(self, mac: str) -> list[Link]:
        """Return the NICs that have a MAC address: one, if all is well."""
        return [link for link in self.links if link.is_nic and link.mac == mac]

    def owns(self, link: Link) -> bool:
        """Return whether a link is already ours: by its name, or by a file of ours for its MAC."""
        return is_ours(link.name) or any(file.record is not None and file.record.mac == link.mac for file in self.files)


@dataclass(frozen=True)
class Objection:
    """Why an interface is not configured."""

    state: State
    reason: str


def object_to(interface: Interface, observed: Observed, allow_up: bool) -> Objection | None:
    """Return why an interface cannot or must not be configured, or None."""
    found = observed.with_mac(interface.mac)
    if not found:
        return Objection(State.FAILED, f"no NIC of this node has the MAC address {interface.mac}")
    reason = why_not(found[0], observed, allow_up)
    if reason is not None:
        return Objection(State.REFUSED, reason)
    return _unable(interface, found[0])


def why_not(link: Link, observed: Observed, allow_up: bool = False) -> str | None:
    """Return why a NIC may not be taken, or None."""
    owned = observed.owns(link)
    reason = _twins(observed.with_mac(link.mac)) or (None if owned else _in_charge(link, observed.connected, owned))
    if reason is not None:
        return reason
    claiming = [claim.path for claim in observed.claims if claim.mac == link.mac]
    if claiming:
        return f"{link.name} ({link.mac}) is configured by {', '.join(claiming)}; take it out of there first"
    return None if owned or allow_up else _in_use(link)


def _twins(found: Sequence[Link]) -> str | None:
    if len(found) < 2:
        return None
    return f"{' and '.join(link.name for link in found)} have the same MAC address {found[0].mac}"


def _in_use(link: Link) -> str | None:
    """Return why a NIC that is not ours looks as if somebody used it; link-local addresses say nothing."""
    signs = []
    if link.master is not None:
        signs.append(f"is a port of {link.master}")
    if link.carries:
        signs.append(f"carries {', '.join(link.carries)}")
    addresses = [str(address) for address in (*link.addresses, *link.announced)]
    if link.up and addresses:
        signs.append(f"is up and has the address {', '.join(addresses)}")
    elif link.up and link.routes:
        signs.append(f"is up and has a route to {', '.join(route.destination for route in link.routes)}")
    if not signs:
        return None
    return f"{link.name} ({link.mac}) {' and '.join(signs)}; if it may be changed all the same, set allow_up"


def untouchable(link: Link, observed: Observed) -> str | None:
    """Return why a link must not be changed in any case: the node is reached by it, or it is not alone with its MAC."""
    return _twins(observed.with_mac(link.mac)) or _in_charge(link, observed.connected, observed.owns(link))


def _in_charge(link: Link, connected: Collection[str], owned: bool) -> str | None:
    """Return why a link must not be changed, whoever allows it.

    A NIC that is ours may have routes for the rule-based routing of its own address, and what routers announce.
    """
    for address in (*link.addresses, *link.announced):
        if str(address.ip) in connected:
            return f"{link.name} ({link.mac}) has {address.ip}, by which this node is reached just now"
    for route in link.routes:
        if route.destination == "default" and not (owned and (route.table != "main" or route.protocol == "ra")):
            return f"{link.name} ({link.mac}) carries the default route"
    return None


def _unable(interface: Interface, link: Link) -> Objection | None:
    """Return why a NIC cannot be what is wanted."""
    low, high = link.mtu_range
    if interface.mtu is not None and not low <= interface.mtu <= high:
        return Objection(State.FAILED, f"{link.name} takes an MTU of {low} to {high}, not {interface.mtu}")
    mtu = link.mtu if interface.mtu is None else interface.mtu
    if interface.address is not None and interface.address.version == 6 and mtu < IPV6_MTU:
        return Objection(State.FAILED, f"{link.name} has an MTU of {mtu} and IPv6 needs at least {IPV6_MTU}; set mtu")
    return None


def address_elsewhere(interface: Interface, others: Sequence[Link]) -> Objection | None:
    """Return why an address cannot be given: another link, which is not about to lose it, has it."""
    if interface.address is None:
        return None
    for link in others:
        if any(address.ip == interface.address.ip for address in (*link.addresses, *link.announced)):
            return Objection(State.REFUSED, f"{interface.address.ip} is already the address of {link.name}")
    return None
