# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a link of the node is like right now: what the guard records and compares with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Iterable

from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_FOREVER = 2**32 - 1
_HOST_LOCAL = ("local", "broadcast", "anycast", "multicast")  # the kernel keeps these itself


@dataclass(frozen=True)
class Address:
    """An address of a link, other than link-local.

    :param key: what ``ip address add`` and ``del`` call it: ``192.0.2.1/24``, or ``192.0.2.1 peer 192.0.2.2/32``.
    :param options: what else ``ip address add`` is told.
    :param family: 4 or 6.
    :param dynamic: it has a lifetime: DHCP or a router's advertisement gave it.
    """

    key: tuple[str, ...]
    options: tuple[str, ...]
    family: int
    dynamic: bool


@dataclass(frozen=True)
class Link:
    """A link; ``index`` and ``mac`` tell which, the rest can be restored."""

    index: int
    mac: str
    name: str
    up: bool
    mtu: int
    altnames: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True)
class Route:
    """A route that leaves by a link.

    :param words: what ``ip route add`` is told, but for the device.
    :param link: the index of the link.
    :param source: the address of the node that it prefers, or None.
    """

    family: int
    words: tuple[str, ...]
    link: int
    protocol: str
    source: str | None


def links(system: System) -> dict[int, Link]:
    """Return all links by index, with their addresses in order."""
    found = json.loads(system.checked(["ip", "-json", "address", "show"]) or "[]")
    return {entry["ifindex"]: _link(entry) for entry in found if "ifindex" in entry}


def routes(system: System, of: dict[int, Link]) -> tuple[Route, ...]:
    """Return the routes that leave by one of the links, or prefer an address of one.

    Left out is what comes back by itself: the kernel's own for local addresses, and what routers advertise.
    Routes over several links at once are left out too.
    """
    indexes = {link.name: link.index for link in links(system).values()}
    addresses = {address.key[0].partition("/")[0] for link in of.values() for address in link.addresses}
    found = []
    for family in (4, 6):
        said = system.checked(["ip", f"-{family}", "-details", "-json", "route", "show", "table", "all"])
        for entry in json.loads(said or "[]"):
            if entry.get("dev") in indexes and _lasting(entry):
                route = _route(entry, family, indexes[entry["dev"]])
                if route.link in of or route.source in addresses:
                    found.append(route)
    return tuple(found)


def _link(entry: dict[str, Any]) -> Link:
    return Link(
        index=entry["ifindex"],
        mac=entry.get("address", ""),
        name=entry["ifname"],
        up="UP" in entry.get("flags", ()),
        mtu=entry["mtu"],
        altnames=tuple(entry.get("altnames", ())),
        addresses=tuple(
            _address(one, entry["ifname"])
            for one in entry.get("addr_info", ())
            if one.get("scope") != "link" and "local" in one
        ),
    )


def _address(entry: dict[str, Any], link: str) -> Address:
    prefix = entry["prefixlen"]
    peer = entry.get("address")
    key = (f"{entry['local']}/{prefix}",) if peer is None else (entry["local"], "peer", f"{peer}/{prefix}")
    options: list[str] = []
    if "broadcast" in entry:
        options += ["broadcast", entry["broadcast"]]
    if entry.get("label", link) != link:
        options += ["label", entry["label"]]
    for word, field in (("valid_lft", "valid_life_time"), ("preferred_lft", "preferred_life_time")):
        if entry.get(field, _FOREVER) != _FOREVER:
            options += [word, str(entry[field])]
    if entry.get("noprefixroute"):
        options.append("noprefixroute")
    family = 6 if entry["family"] == "inet6" else 4
    options += ["nodad"] if family == 6 else ["scope", entry["scope"]]
    return Address(key, tuple(options), family, bool(entry.get("dynamic")))


def _lasting(entry: dict[str, Any]) -> bool:
    link_local = entry["dst"].startswith("fe80::") and entry.get("protocol") == "kernel"
    return entry.get("type") not in _HOST_LOCAL and entry.get("protocol") not in ("ra", "redirect") and not link_local


def _route(entry: dict[str, Any], family: int, link: int) -> Route:
    words = [entry["dst"]] if entry.get("type", "unicast") == "unicast" else [entry["type"], entry["dst"]]
    if "via" in entry:
        words += ["via", entry["via"]["family"], entry["via"]["host"]]
    elif "gateway" in entry:
        words += ["via", entry["gateway"]]
    for word, field in (("table", "table"), ("proto", "protocol"), ("src", "prefsrc"), ("metric", "metric")):
        if field in entry:
            words += [word, str(entry[field])]
    if family == 4 and "scope" in entry:
        words += ["scope", entry["scope"]]
    if "onlink" in entry.get("flags", ()):
        words.append("onlink")
    for metric in entry.get("metrics", ()):
        for word, value in metric.items():
            words += [word, str(value)]
    return Route(family, tuple(words), link, entry.get("protocol", ""), entry.get("prefsrc"))


def by_mac(found: Iterable[Link], mac: str) -> Link | None:
    """Return the link with this MAC address, or None if there is none or more than one."""
    same = [link for link in found if link.mac == mac]
    return same[0] if len(same) == 1 else None
