# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary files that a killed controller left beside a destination: whose they are, and whether they may go.

The name of a temporary carries the id of its operation and its owner, so a later run on the same controller can
tell for certain that the process is gone. One that belongs to another controller may be in use, and goes after a week.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

_PATTERN = re.compile(r"(\d{4}-\d\d-\d\d-\d{6})-[0-9a-f]{8}\.([0-9a-f]{8})-(\d{1,20})-(\d{1,20})", re.ASCII)
_FOREIGN_DAYS = 7


def owner() -> str:
    """Return who writes temporaries: this machine since its start, this process, and when that was started."""
    return f"{_machine()}-{os.getpid()}-{_started(os.getpid())}"


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return hashlib.sha256(f"{socket.gethostname()} {boot}".encode()).hexdigest()[:8]


def _started(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot; 0 if it is gone, or is to be."""
    try:
        # the name of a process, in brackets, may be no text
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0
    # proc(5): fields[0] is the state, the third field there, and starttime the 22nd
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def abandoned(suffixes: Iterable[str], now: datetime.datetime | None = None) -> list[str]:
    """Return those of the names, without the destination's part, that no run will finish."""
    moment = now or datetime.datetime.now()
    return [suffix for suffix in suffixes if _is_abandoned(suffix, moment)]


def _is_abandoned(suffix: str, now: datetime.datetime) -> bool:
    match = _PATTERN.fullmatch(suffix)
    if match is None:
        return False
    if match[2] == _machine():
        return _started(int(match[3])) != int(match[4])
    try:
        begun = datetime.datetime.strptime(match[1], "%Y-%m-%d-%H%M%S")
    except ValueError:
        return False  # no such time: it only looks like one of ours
    return now - begun > datetime.timedelta(days=_FOREIGN_DAYS)
