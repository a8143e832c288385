# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of a node as ``ip -json`` tells of them."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

# What is made of other links, and has the MAC of one of them.
_STACKED = frozenset(("bridge", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "vrf", "hsr"))
# Routes that the kernel derives from addresses.
_DERIVED = frozenset(("local", "broadcast", "multicast", "anycast"))
_LINK_LOCAL = tuple(ipaddress.ip_network(text) for text in ("fe80::/10", "169.254.0.0/16", "ff00::/8"))


@dataclass(frozen=True)
class Route:
    """A route that leads over a link, other than those to link-local addresses.

    :param destination: ``default`` or a network.
    :param table: ``main``, or another one's name or number.
    :param protocol: who made it: ``kernel`` with an address, ``ra`` a router, ``static``, ``boot``.
    """

    destination: str
    table: str = "main"
    protocol: str = "boot"


@dataclass(frozen=True)
class Link:
    """A link of the node.

    :param mac: the permanent MAC address, six lower-case octets; the present one where the NIC has no other.
    :param kind: what the kernel says it is made of, as ``bridge``; empty for hardware.
    :param addresses: those other than link-local and other than what routers announce, as the kernel lists them.
    :param announced: addresses made from what routers announce; the kernel's to add and to remove.
    :param carries: names of links that are made of this one, as a VLAN's.
    """

    index: int
    name: str
    mac: str
    up: bool
    mtu: int
    kind: str = ""
    loopback: bool = False
    master: str | None = None
    addresses: tuple[InterfaceAddress, ...] = ()
    announced: tuple[InterfaceAddress, ...] = ()
    routes: tuple[Route, ...] = ()
    carries: tuple[str, ...] = ()
    mtu_range: tuple[int, int] = (68, 65535)

    @property
    def is_nic(self) -> bool:
        """Whether this can be a NIC: not the loopback and not made of other links."""
        return not self.loopback and self.kind not in _STACKED


def observe_links(system: System) -> tuple[Link, ...]:
    """Return the node's links in order of their index. :raises NodeError: ip does not tell."""
    routes = _routes(_read(system, "route", "show", "table", "all"))
    raw = _read(system, "-details", "address", "show")
    lower = [(each["link"], each["ifname"]) for each in raw if "link" in each and _kind(each) in _STACKED]
    links = [_link(each, routes, tuple(upper for name, upper in lower if name == each["ifname"])) for each in raw]
    return tuple(sorted(links, key=lambda link: link.index))


def _read(system: System, *arguments: str) -> list[dict[str, Any]]:
    argv = ["ip", "-json", *arguments]
    text = system.checked(argv)
    try:
        found = json.loads(text or "[]")
    except ValueError as exc:
        raise NodeError(f"{' '.join(argv)} did not print JSON; iproute2 4.13 or newer is needed") from exc
    # ip prints an empty mapping for what a filter leaves out
    return [each for each in found if each]


def _kind(raw: Mapping[str, Any]) -> str:
    return str(raw.get("linkinfo", {}).get("info_kind", ""))


def _link(raw: Mapping[str, Any], routes: Mapping[str, Sequence[Route]], carries: tuple[str, ...]) -> Link:
    flags = raw.get("flags", ())
    name = raw["ifname"]
    own, announced = _addresses(raw.get("addr_info", ()))
    return Link(
        index=raw["ifindex"],
        name=name,
        mac=str(raw.get("permaddr") or raw.get("address") or "").lower(),
        up="UP" in flags,
        mtu=raw["mtu"],
        kind=_kind(raw),
        loopback="LOOPBACK" in flags,
        master=raw.get("master"),
        addresses=tuple(own),
        announced=tuple(announced),
        routes=tuple(routes.get(name, ())),
        carries=carries,
        mtu_range=(raw.get("min_mtu") or 68, raw.get("max_mtu") or 65535),
    )


def _addresses(raw: Sequence[Mapping[str, Any]]) -> tuple[list[InterfaceAddress], list[InterfaceAddress]]:
    """Return the addresses that are ours to change, and those of routers; link-local ones are neither."""
    own: list[InterfaceAddress] = []
    announced: list[InterfaceAddress] = []
    for each in raw:
        if "local" not in each:
            continue
        address = ipaddress.ip_interface(f"{each['local']}/{each['prefixlen']}")
        if address.ip.is_link_local or each.get("scope") in ("link", "host"):
            continue
        # dhclient's IPv4 addresses are dynamic as well, but would not come back by themselves
        (announced if each.get("dynamic") and address.version == 6 else own).append(address)
    return own, announced


def _routes(raw: Sequence[Mapping[str, Any]]) -> dict[str, list[Route]]:
    """Return the routes by the name of the link that they lead over."""
    found: dict[str, list[Route]] = {}
    for each in raw:
        destination = str(each.get("dst", ""))
        if each.get("type", "unicast") in _DERIVED or _is_link_local(destination):
            continue
        route = Route(destination, str(each.get("table", "main")), str(each.get("protocol", "boot")))
        for hop in (each, *each.get("nexthops", ())):
            if "dev" in hop:
                found.setdefault(hop["dev"], []).append(route)
    return found


def _is_link_local(destination: str) -> bool:
    try:
        network = ipaddress.ip_network(destination, strict=False)
    except ValueError:
        return False  # "default"
    return any(
        network.version == known.version and network.network_address in known and network.prefixlen >= known.prefixlen
        for known in _LINK_LOCAL
    )
