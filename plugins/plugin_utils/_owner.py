# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who wrote a file: a process that can be told for certain from every other one, whatever numbers are used again."""

from __future__ import annotations

import enum
import hashlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

OWNER = r"[0-9a-f]{8}-\d{1,20}-\d{1,20}"
"""What :func:`owner` returns, as a regular expression without groups."""

_PARTS = re.compile(r"([0-9a-f]{8})-(\d{1,20})-(\d{1,20})", re.ASCII)


class Fate(enum.Enum):
    """What became of an owner."""

    ALIVE = enum.auto()
    GONE = enum.auto()
    UNKNOWN = enum.auto()
    """It belongs to another machine or container, or to a time before this machine's last start, or to a user whose
    processes are hidden (``hidepid`` in proc(5))."""


def owner() -> str:
    """Return who this process is: its machine since that started, its number, and when it was started."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def fate_of(text: str) -> Fate:
    """Return what became of the process that was once told ``text`` by :func:`owner`."""
    match = _PARTS.fullmatch(text)
    if match is None or match[1] != _machine():
        return Fate.UNKNOWN
    if _is_hidden(int(match[2])):
        return Fate.UNKNOWN
    return Fate.ALIVE if _started(int(match[2])) == int(match[3]) else Fate.GONE


@dataclass(frozen=True)
class Boot:
    """One start of one machine."""

    machine: str | None
    """Stays the same over restarts; None if this machine has nothing to tell it from others by (machine-id(5))."""
    start: str

    def was_before(self, other: Boot) -> bool:
        """Return whether the other is a later start of the same machine, which no process of this one outlives."""
        return self.machine is not None and self.machine == other.machine and self.start != other.start


def this_boot() -> Boot:
    """Return the running start of this machine."""
    identity = _identity()
    return Boot(_digest(f"{socket.gethostname()} {identity}") if identity else None, _digest(_boot_id()))


def _identity() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _machine() -> str:
    # containers of one name share a kernel, but number their processes apart
    numbers = Path("/proc/self/ns/pid").readlink()
    return _digest(f"{socket.gethostname()} {numbers} {_boot_id()}")


def _is_hidden(pid: int) -> bool:
    """Return whether there is such a process, of which nothing can be seen."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return not os.access(f"/proc/{pid}/stat", os.R_OK)
    except (ProcessLookupError, OverflowError):
        pass  # nobody's
    return False


def _started(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot; 0 if it is gone, or is to be."""
    try:
        # the name of a process, in brackets, may be no text
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    # proc(5): fields[0] is the state, the third field there, and starttime the 22nd
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
