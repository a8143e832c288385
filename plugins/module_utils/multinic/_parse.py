# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what users and sources wrote of interfaces; what is wrong with one entry does not stop the others."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Callable, Mapping, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._model import (
    PREFIX,
    SLOTS,
    Interface,
    InterfaceAddress,
    NodeConfig,
    Refused,
)

_MAC_KEYS = ("mac_address", "mac", "macAddress")
_KEYS = ("id", *_MAC_KEYS, "address", "cidr", "mtu", "name")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_NAME = re.compile(rf"{PREFIX}[0-{SLOTS - 1}]")
_NUMBER = re.compile(r"[0-9]{1,19}")
_LARGEST_ID = 2**63 - 1
_MTU = (68, 65535)
IPV6_MTU = 1280


class _Bad(Exception):
    """A part of an entry that is not valid."""


@dataclass
class _Entry:
    """An entry as far as it could be read."""

    index: int
    id: int | None = None
    mac: str | None = None
    address: InterfaceAddress | None = None
    mtu: int | None = None
    name: str | None = None
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        number = "" if self.id is None else f" (id {self.id})"
        return f"interfaces[{self.index}]{number}"


def parse(entries: Sequence[object]) -> NodeConfig:
    """Read a list of interfaces.

    An id, MAC, address or name that is there twice refuses all entries concerned, the otherwise broken ones too:
    nobody can say which of them was meant.
    """
    read = [_entry(index, raw) for index, raw in enumerate(entries)]
    for what, key in _UNIQUE:
        _refuse_shared(read, what, key)
    interfaces = []
    refused = []
    for entry in read:
        if entry.wrong or entry.id is None or entry.mac is None:
            reason = f"{entry}: {'; '.join(entry.wrong)}"
            refused.append(Refused(str(entry), entry.id, entry.mac, reason))
        else:
            interfaces.append(Interface(entry.id, entry.mac, entry.address, entry.mtu, entry.name))
    return NodeConfig(tuple(sorted(interfaces, key=lambda each: each.id)), tuple(refused))


def _entry(index: int, raw: object) -> _Entry:
    """Read one entry, noting all that is wrong with it."""
    entry = _Entry(index)
    if not isinstance(raw, Mapping):
        entry.wrong.append(f"it must be a mapping with id and mac_address, not {_kind(raw)}")
        return entry
    unknown = sorted(str(key) for key in raw if key not in _KEYS)
    if unknown:
        entry.wrong.append(f"unknown {', '.join(unknown)}; known are id, mac_address, address, cidr, mtu and name")
    with_parts = (_read_id, _read_mac, _read_address, _read_mtu, _read_name)
    for read in with_parts:
        try:
            read(entry, raw)
        except _Bad as bad:
            entry.wrong.append(str(bad))
    return entry


def _read_id(entry: _Entry, raw: Mapping[object, object]) -> None:
    value = raw.get("id")
    if value is None:
        raise _Bad("it has no id")
    entry.id = _number(value, "id", 0, _LARGEST_ID)


def _read_mac(entry: _Entry, raw: Mapping[object, object]) -> None:
    values = [raw[key] for key in _MAC_KEYS if raw.get(key) is not None]
    if not values:
        raise _Bad("it has no mac_address")
    macs = [_mac(value) for value in values]
    if len(set(macs)) > 1:
        raise _Bad(f"mac_address and its aliases differ: {', '.join(macs)}")
    entry.mac = macs[0]


def _mac(value: object) -> str:
    if not isinstance(value, str):
        remedy = "; put it in quotes, YAML reads some MAC addresses as numbers" if isinstance(value, int) else ""
        raise _Bad(f"mac_address must be a string, not {_kind(value)}{remedy}")
    mac = value.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac):
        raise _Bad(f"mac_address {value!r} is not six octets such as fa:16:3e:1c:1a:6e")
    if int(mac[:2], 16) & 1:
        raise _Bad(f"mac_address {mac} is a multicast address, which no NIC has")
    if mac == "00:00:00:00:00:00":
        raise _Bad(f"mac_address {mac} is no NIC's")
    return mac


def _read_address(entry: _Entry, raw: Mapping[object, object]) -> None:
    address, cidr = _text(raw, "address"), _text(raw, "cidr")
    if address is None:
        if cidr is not None:
            raise _Bad(f"it has the cidr {cidr} but no address")
        return
    network = None if cidr is None else _network(cidr)
    if "/" in address:
        wanted = _address(address)
        if network is not None and wanted.network != network:
            raise _Bad(f"address {address} and cidr {cidr} do not have the same prefix")
    elif network is None:
        raise _Bad(f"address {address} has neither a prefix length nor a cidr")
    else:
        plain = _address(address)
        if plain.version != network.version or plain.ip not in network:
            raise _Bad(f"address {address} is not in cidr {cidr}")
        wanted = _address(f"{address}/{network.prefixlen}")
    entry.address = _usable(wanted)


def _address(text: str) -> InterfaceAddress:
    try:
        found = ipaddress.ip_interface(text)
    except ValueError as exc:
        raise _Bad(f"address {text!r} is not an IPv4 or IPv6 address") from exc
    if "%" in text:
        raise _Bad(f"address {text!r} must not name a scope")
    return found


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise _Bad(f"cidr {text!r} is not a network such as 11.11.11.0/24") from exc
    if "/" not in text:
        raise _Bad(f"cidr {text!r} has no prefix length, as in 11.11.11.0/24")
    if ipaddress.ip_interface(text).ip != found.network_address:
        raise _Bad(f"cidr {text} is an address within a network; the network is {found}")
    return found


def _usable(wanted: InterfaceAddress) -> InterfaceAddress:
    """Return the address if a NIC can have it."""
    ip, network = wanted.ip, wanted.network
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        raise _Bad(f"address {ip} is an IPv4 address written as IPv6; write {ip.ipv4_mapped}")
    if ip.is_link_local:
        raise _Bad(f"address {ip} is link-local; such addresses are the system's to give")
    if ip.is_multicast or ip.is_loopback or ip.is_unspecified or int(ip) == 2**32 - 1:
        raise _Bad(f"address {ip} cannot be a NIC's")
    point_to_point = network.prefixlen >= ip.max_prefixlen - 1
    if not point_to_point and ip == network.network_address:
        raise _Bad(f"address {ip} is that of the network {network} itself")
    if not point_to_point and ip.version == 4 and ip == network.broadcast_address:
        raise _Bad(f"address {ip} is the broadcast address of {network}")
    return wanted


def _read_mtu(entry: _Entry, raw: Mapping[object, object]) -> None:
    value = raw.get("mtu")
    if value is None:
        return
    mtu = _number(value, "mtu", *_MTU)
    if entry.address is not None and entry.address.version == 6 and mtu < IPV6_MTU:
        raise _Bad(f"mtu {mtu} is too small for IPv6, which needs at least {IPV6_MTU}")
    entry.mtu = mtu


def _read_name(entry: _Entry, raw: Mapping[object, object]) -> None:
    name = _text(raw, "name")
    if name is None:
        return
    if not _NAME.fullmatch(name):
        raise _Bad(f"name {name!r} is not one of {PREFIX}0 to {PREFIX}{SLOTS - 1}")
    entry.name = name


def _number(value: object, what: str, low: int, high: int) -> int:
    """Return a whole number that may be written as a string, as templates and databases give it."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Bad(f"{what} must be a whole number, not {_kind(value)}")
    if not low <= value <= high:
        raise _Bad(f"{what} {value} is not within {low} and {high}")
    return value


def _text(raw: Mapping[object, object], key: str) -> str | None:
    value = raw.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _Bad(f"{key} must be a string, not {_kind(value)}")
    return value.strip()


def _kind(value: object) -> str:
    """Return what a value is, for a message; long ones are not repeated."""
    if value is None:
        return "empty"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:37] + '...'}"


_UNIQUE: tuple[tuple[str, Callable[[_Entry], object]], ...] = (
    ("id", lambda entry: entry.id),
    ("mac_address", lambda entry: entry.mac),
    ("address", lambda entry: None if entry.address is None else entry.address.ip),
    ("name", lambda entry: entry.name),
)


def _refuse_shared(entries: Sequence[_Entry], what: str, key: Callable[[_Entry], object]) -> None:
    """Note with each entry which others have the same id, MAC, address or name."""
    holders: dict[object, list[_Entry]] = {}
    for entry in entries:
        value = key(entry)
        if value is not None:
            holders.setdefault(value, []).append(entry)
    for value, sharing in holders.items():
        for entry in sharing if len(sharing) > 1 else ():
            others = ", ".join(str(other) for other in sharing if other is not entry)
            entry.wrong.append(f"{what} {value} is also that of {others}")
