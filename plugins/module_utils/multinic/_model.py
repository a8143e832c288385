# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wanted of a node: interfaces matched by MAC."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Union

SLOTS = 10
PREFIX = "multinic"

InterfaceAddress = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]


@dataclass(frozen=True)
class Interface:
    """One NIC as it is wanted.

    :param id: what the source calls it; 0 to 2**63 - 1, unique within the node.
    :param mac: six lower-case octets with colons, unique within the node.
    :param address: with its prefix length, unique within the node; None leaves the NIC without one.
    :param mtu: in bytes, 68 to 65535 and at least 1280 with IPv6; None leaves what the NIC has.
    :param name: pins one of ``multinic0`` to ``multinic9``; None lets :mod:`_naming` choose.
    """

    id: int
    mac: str
    address: InterfaceAddress | None = None
    mtu: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class Refused:
    """An entry that is not valid; it does not keep the others from being configured.

    :param entry: how messages name it, as in ``interfaces[2] (id 3)``.
    """

    entry: str
    id: int | None
    mac: str | None
    reason: str


@dataclass(frozen=True)
class NodeConfig:
    """The interfaces that are wanted of one node, in order of id, and the entries that were refused."""

    interfaces: tuple[Interface, ...] = ()
    refused: tuple[Refused, ...] = ()
