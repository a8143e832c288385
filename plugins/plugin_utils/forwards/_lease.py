# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For whom a forward lives: processes, each watched by a descriptor that becomes readable when it ends."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable
from pathlib import Path

from ._errors import ForwardError
from ._spec import ForwardSpec, Lifetime


def open_play() -> int:
    """Return a descriptor of the process of the whole play (ansible-playbook), to which this worker belongs.

    Raises ForwardError if it is gone already.
    """
    parent = multiprocessing.parent_process()
    if parent is None or parent.pid is None:
        return os.pidfd_open(os.getpid())
    gone = ForwardError("the play has ended already, so there is nobody to forward for")
    try:
        fd = os.pidfd_open(parent.pid)
    except ProcessLookupError as exc:
        raise gone from exc
    if os.getppid() != parent.pid and not parent.is_alive():
        os.close(fd)  # the number may belong to somebody else by now
        raise gone
    return fd


def process_of(fd: int) -> int:
    """Return the number of the process of a descriptor, -1 if it ended."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    raise ValueError("the descriptor is not that of a process")


class Lease:
    """How long a forward lives: for its owners, or until its time is up, if it is persistent."""

    def __init__(self, spec: ForwardSpec, owners: Iterable[int]) -> None:
        self.owners: set[int] = set(owners)
        self.persistent = False
        self._end: float | None = None
        self.renew(spec.lifetime, spec.ttl)

    def renew(self, lifetime: Lifetime, ttl: float | None) -> None:
        """Let it live as one more asked for: who wants it to stay wins, and the time starts again."""
        if lifetime is Lifetime.PERSISTENT:
            self.persistent = True
            self._end = None if ttl is None else time.monotonic() + ttl

    def add(self, fd: int) -> bool:
        """Take one more owner; return whether it is a new one, else the descriptor is closed."""
        pid = process_of(fd)
        if any(process_of(known) == pid for known in self.owners):
            os.close(fd)
            return False
        self.owners.add(fd)
        return True

    def remove(self, fd: int) -> None:
        """Forget an owner that ended."""
        self.owners.discard(fd)
        os.close(fd)

    @property
    def left(self) -> float | None:
        """Seconds that are left, None if there is no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> str | None:
        """Why the forward has to end now; None if it has not."""
        if self.left == 0:
            return "its time (ttl) is up"
        if not self.persistent and not self.owners:
            return "the last play that asked for it has ended"
        return None
