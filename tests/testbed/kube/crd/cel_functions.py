# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CEL functions that Kubernetes adds and that rules here use: addresses, networks, strings and lists.

From k8s.io/apiserver, pkg/cel/library (ip.go, cidr.go, lists.go, regex.go) and cel-go's ext/strings.go.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Callable
from typing import Any

from celpy import celtypes
from celpy.evaluation import CELEvalError

from testbed.kube.crd.schema import go_pattern

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Ip:
    """A CEL value of the type ``net.IP``."""

    def __init__(self, address: _Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> celtypes.BoolType:  # type: ignore[override]
        return celtypes.BoolType(isinstance(other, Ip) and self.address == other.address)

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class Cidr:
    """A CEL value of the type ``net.CIDR``: an address and the length of its prefix."""

    def __init__(self, interface: _Network) -> None:
        self.interface = interface

    def __eq__(self, other: object) -> celtypes.BoolType:  # type: ignore[override]
        return celtypes.BoolType(isinstance(other, Cidr) and self.interface == other.interface)

    def __hash__(self) -> int:
        return hash(self.interface)

    def __str__(self) -> str:
        return str(self.interface)


def _address(text: str) -> _Address:
    address = ipaddress.ip_address(str(text))
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        raise ValueError(f"{text!r}: IPv4-mapped addresses and zones are not allowed")
    return address


def _interface(text: str) -> _Network:
    address, slash, length = str(text).partition("/")
    if not slash or not length.isdecimal() or (len(length) > 1 and length.startswith("0")):
        raise ValueError(f"{text!r} is not a network with a prefix length")
    _address(address)
    return ipaddress.ip_interface(str(text))


def _ip(value: Any) -> Any:
    if isinstance(value, Cidr):
        return Ip(value.interface.ip)
    try:
        return Ip(_address(value))
    except ValueError as exc:
        raise CELEvalError(f"IP Address {str(value)!r} parse error during conversion from string: {exc}") from exc


def _cidr(value: Any) -> Any:
    try:
        return Cidr(_interface(value))
    except ValueError as exc:
        raise CELEvalError(f"network address parse error during conversion from string: {exc}") from exc


def _can(parse: Callable[[Any], Any]) -> Callable[[Any], celtypes.BoolType]:
    def check(value: Any) -> celtypes.BoolType:
        try:
            parse(value)
        except ValueError:
            return celtypes.BoolType(False)
        return celtypes.BoolType(True)

    return check


def _family(value: Ip) -> celtypes.IntType:
    return celtypes.IntType(value.address.version)


def _of_address(test: Callable[[_Address], bool]) -> Callable[[Ip], celtypes.BoolType]:
    return lambda value: celtypes.BoolType(test(value.address))


def _global_unicast(address: _Address) -> bool:
    """Go's IsGlobalUnicast, which private addresses fulfil as well."""
    excluded = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not (excluded or str(address) == "255.255.255.255")


def _contains_ip(network: Cidr, value: Any) -> celtypes.BoolType:
    address = value.address if isinstance(value, Ip) else _ip(value).address
    return celtypes.BoolType(address in network.interface.network)


def _contains_cidr(network: Cidr, value: Any) -> celtypes.BoolType:
    other = (value if isinstance(value, Cidr) else _cidr(value)).interface.network
    ours: Any = network.interface.network
    return celtypes.BoolType(other.version == ours.version and other.subnet_of(ours))


def _masked(value: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(value.interface.network)))


def _prefix_length(value: Cidr) -> celtypes.IntType:
    return celtypes.IntType(value.interface.network.prefixlen)


def _string(value: Any) -> Any:
    return celtypes.StringType(str(value)) if isinstance(value, Ip | Cidr) else celtypes.StringType(value)


def _matches(text: str, pattern: str) -> celtypes.BoolType:
    return celtypes.BoolType(go_pattern(str(pattern)).search(str(text)) is not None)


def _find(text: str, pattern: str) -> celtypes.StringType:
    found = go_pattern(str(pattern)).search(str(text))
    return celtypes.StringType(found.group(0) if found else "")


def _strings(items: list[str]) -> celtypes.ListType:
    return celtypes.ListType([celtypes.StringType(item) for item in items])


def _is_sorted(items: Any) -> celtypes.BoolType:
    return celtypes.BoolType(all(bool(a <= b) for a, b in itertools.pairwise(items)))


def _sum(items: Any) -> Any:
    return sum(items, celtypes.IntType(0))


def _index_of(items: Any, wanted: Any) -> celtypes.IntType:
    if isinstance(items, str):
        return celtypes.IntType(items.find(wanted))
    return celtypes.IntType(next((index for index, item in enumerate(items) if bool(item == wanted)), -1))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ip": _ip,
    "isIP": _can(_address),
    "cidr": _cidr,
    "isCIDR": _can(_interface),
    "family": _family,
    "isUnspecified": _of_address(lambda address: address.is_unspecified),
    "isLoopback": _of_address(lambda address: address.is_loopback),
    "isLinkLocalUnicast": _of_address(lambda address: address.is_link_local),
    "isLinkLocalMulticast": _of_address(
        lambda a: a in ipaddress.ip_network("224.0.0.0/24" if a.version == 4 else "ff02::/16")
    ),
    "isGlobalUnicast": _of_address(_global_unicast),
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "masked": _masked,
    "prefixLength": _prefix_length,
    "string": _string,
    "matches": _matches,
    "find": _find,
    "lowerAscii": lambda text: celtypes.StringType(text.lower()),
    "upperAscii": lambda text: celtypes.StringType(text.upper()),
    "trim": lambda text: celtypes.StringType(text.strip()),
    "replace": lambda text, old, new: celtypes.StringType(text.replace(old, new)),
    "split": lambda text, separator: _strings(text.split(separator)),
    "substring": lambda text, *ends: celtypes.StringType(text[slice(*(map(int, (*ends, len(text))[:2])))]),
    "join": lambda items, separator="": celtypes.StringType(str(separator).join(items)),
    "isSorted": _is_sorted,
    "sum": _sum,
    "min": lambda *items: min(items[0] if len(items) == 1 else items),
    "max": lambda *items: max(items[0] if len(items) == 1 else items),
    "indexOf": _index_of,
}
"""By the name a rule uses; a method gets what it is called on as its first argument."""
