# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of one forward: a file of its own that only its user may read, and that does not grow without end."""

from __future__ import annotations

import contextlib
import datetime
import os
import threading
from pathlib import Path

LIMIT = 512 << 10
"""Bytes after which a log is begun anew; the one before is kept as ``.1``."""


class ForwardLog:
    """Writes lines with the time in front. May be used by several threads; a full disk stops no forward."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self.path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._fd = self._open(os.O_TRUNC)
        self._size = 0

    def _open(self, flags: int = 0) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)

    def __call__(self, text: str) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        line = f"{now}Z {' '.join(text.split())}\n".encode(errors="replace")
        with self._lock, contextlib.suppress(OSError):
            if self._size and self._size + len(line) > self._limit:
                self._turn()
            self._size += os.write(self._fd, line)

    def _turn(self) -> None:
        self.path.replace(self.path.with_name(self.path.name + ".1"))
        fresh = self._open(os.O_TRUNC)
        os.dup2(fresh, self._fd, inheritable=False)
        os.close(fresh)
        self._size = 0

    def take(self, fd: int) -> None:
        """Let what is written to ``fd`` (standard error) go to the log."""
        os.dup2(self._fd, fd)
