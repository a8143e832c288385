# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of a process's own that is gone after it: removed by itself, or by the next if it was killed.

Its paths are short enough for the addresses of Unix sockets, and only this user may enter it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_LOCK = "lock"
_LONGEST = 60
"""Bytes of the path; ssh adds up to 18 to that of its socket while it binds it, and an address holds 107."""


class Burrow:
    """The directory; as long as this lives, nobody else takes it for abandoned."""

    def __init__(self) -> None:
        base = _base()
        _sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix="", dir=base))
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Remove it. May be called twice."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def _base() -> Path:
    """Return the directory that those of all processes of this user are in."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(given, "manifold-core", "ssh")
    if not given or len(os.fsencode(base)) > _LONGEST or not os.access(given, os.W_OK):
        base = Path(tempfile.gettempdir(), f"manifold-core-{os.getuid()}")
    if len(os.fsencode(base)) > _LONGEST:
        base = Path("/tmp", base.name)
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = base.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"the directory of SSH control sockets, {base}, is not yours alone")
    return base


def _sweep(base: Path) -> None:
    """Remove the directories of processes that were killed. One that was made just now has no lock file yet."""
    for lock in base.glob(f"*/{_LOCK}"):
        with contextlib.suppress(OSError):
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
            finally:
                os.close(fd)
