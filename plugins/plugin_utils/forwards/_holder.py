# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens at a port: read off /proc, as far as the kernel lets this user look."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import pwd
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTENS = "0A"
"""TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h)."""


@dataclass(frozen=True)
class _Listener:
    address: str
    port: int
    uid: int
    inode: str


def who_listens(address: str, port: int) -> str | None:
    """Return who listens at a port of an address, in words: a process, or at least its user; None if nobody is seen."""
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return None
    for listener in _listeners():
        theirs = ipaddress.ip_address(listener.address)
        same = theirs == wanted or theirs.is_unspecified or wanted.is_unspecified
        if listener.port == port and same:
            pid = _holder(listener.inode)
            return f"{_program(pid)} (process {pid})" if pid else f"a process of the user {_user(listener.uid)}"
    return None


def _listeners() -> Iterator[_Listener]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                # proc_net_tcp.txt: sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
                fields = line.split()
                if fields[3] == _LISTENS:
                    host, _colon, port = fields[1].rpartition(":")
                    yield _Listener(_address(host), int(port, 16), int(fields[7]), fields[9])


def _address(digits: str) -> str:
    """Return the address that the kernel prints as 32-bit numbers in its own byte order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _holder(inode: str) -> int | None:
    """Return a process that has the socket open."""
    wanted = f"socket:[{inode}]"
    for folder in Path("/proc").iterdir():
        if not re.fullmatch(r"\d+", folder.name):
            continue
        with contextlib.suppress(OSError):
            for entry in os.scandir(folder / "fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path) == wanted:  # noqa: PTH115 -- thousands of them
                        return int(folder.name)
    return None


def _program(pid: int) -> str:
    # not its arguments: they may hold secrets
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "a program"


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
