# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a source waits for its fault: two FIFOs that every context sees, because all share this machine's kernel."""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path


class Gate:
    """A source writes a line to ``reached`` and then reads one from ``gate``.

    Both ends are held open here, so that nobody waits for the other to open one; what still waits at the gate
    when a cell is judged has therefore been left behind.
    """

    def __init__(self, directory: Path) -> None:
        self.reached = directory / "reached"
        self.gate = directory / "gate"
        self._fds = []
        for path in (self.reached, self.gate):
            os.mkfifo(path)
            path.chmod(0o666)
            self._fds.append(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))

    def wait(self, pid: int, seconds: float) -> bool:
        """Wait until the source is there; False if the process ended or the time passed before."""
        poll = select.poll()
        poll.register(self._fds[0], select.POLLIN)
        watched = None
        with contextlib.suppress(ProcessLookupError):
            watched = os.pidfd_open(pid)
            poll.register(watched, select.POLLIN)
        try:
            ready = {fd for fd, _event in poll.poll(seconds * 1000)}
        finally:
            if watched is not None:
                os.close(watched)
        return self._fds[0] in ready

    def open(self) -> None:
        """Let the source go on."""
        os.write(self._fds[1], b"go\n")

    def close(self) -> None:
        """Forget both; whoever still waits sees an end of file."""
        while self._fds:
            os.close(self._fds.pop())
