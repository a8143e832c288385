# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One echo request (ping) without the program ping, which a node need not have."""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import struct
import time

_REQUEST = {4: 8, 6: 128}  # RFC 792, RFC 4443
_REPLY = {4: 0, 6: 129}


def echo(address: str, device: str, seconds: float) -> bool:
    """Return whether an address answers through a device within so many seconds. Needs root.

    :raises OSError: the request cannot be sent.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    with _raw(parsed.version, device) as raw:
        mark = os.urandom(16)
        identifier = int.from_bytes(mark[:2], "big")
        target = (str(parsed), 0) if parsed.version == 4 else (str(parsed), 0, 0, socket.if_nametoindex(device))
        raw.sendto(_request(parsed.version, identifier, mark), target)
        until = time.monotonic() + seconds
        while select.select([raw], [], [], max(0.0, until - time.monotonic()))[0]:
            packet = raw.recv(2048)
            # IPv4 gives its own header too, whose length is in its first byte, in words of four bytes
            message = packet[(packet[0] & 0x0F) * 4 :] if parsed.version == 4 else packet
            if message[:1] == bytes([_REPLY[parsed.version]]) and message[8:] == mark:
                return True
    return False


def _raw(version: int, device: str) -> socket.socket:
    if version == 4:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    else:
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode() + b"\0")
    return raw


def _request(version: int, identifier: int, data: bytes) -> bytes:
    head = struct.pack("!BBHHH", _REQUEST[version], 0, 0, identifier, 1)
    if version == 6:
        return head + data  # the kernel fills in the checksum, RFC 3542
    return struct.pack("!BBHHH", _REQUEST[version], 0, _checksum(head + data), identifier, 1) + data


def _checksum(data: bytes) -> int:
    """Return the checksum of RFC 1071 of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
