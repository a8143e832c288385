# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder in which forwards are found again by name, by every process of this user on this machine.

``NAME.forward`` belongs to a supervisor, which holds a lock (flock(2)) on it as long as it lives: the kernel takes the
lock back however a process ends, so there are no process numbers to trust. Beside it are the control socket
``NAME.sock`` and ``NAME.log``, and ``NAME.lock`` while somebody starts or stops that forward.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ._errors import ForwardError

_HELD, _SOCKET, _LOG, _LOCK = ".forward", ".sock", ".log", ".lock"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_PAUSE = 0.02
"""Seconds between two looks at a lock: nothing tells when one is free, if one does not want to wait for ever."""
_LOG_SECONDS = 7 * 24 * 3600
"""How long the log of a forward that ended is kept."""


def default_directory(environment: Mapping[str, str], home: Path, machine: str) -> Path:
    """Return where forwards are kept: below the state home of the XDG specification, apart for each machine.

    Not in the runtime directory: it goes when a user logs out, and jobs of cron have none.
    """
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else home / ".local" / "state"
    return base / "manifold" / "forwards" / machine


def this_directory() -> Path:
    """Return where the forwards of this user on this machine are kept."""
    return default_directory(os.environ, Path.home(), os.uname().nodename or "localhost")


class ForwardFolder:
    """The folder of forwards."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder; raise ForwardError if it cannot be private."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.path.lstat()
            if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
                raise ForwardError(f"{self.path}: it belongs to somebody else. Remove it, or set XDG_STATE_HOME.")
            if found.st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as exc:
            remedy = "Check that its folder is yours, or set XDG_STATE_HOME."
            raise ForwardError(f"{self.path}: it cannot be made: {exc.strerror}. {remedy}") from exc

    def socket_of(self, name: str) -> Path:
        """Return the path of a forward's control socket."""
        return self.path / f"{name}{_SOCKET}"

    def log_of(self, name: str) -> Path:
        """Return the path of a forward's log."""
        return self.path / f"{name}{_LOG}"

    def names(self) -> list[str]:
        """Return the names of the forwards that there are, alive or not."""
        try:
            found = [path.name for path in self.path.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(_HELD) for name in found if name.endswith(_HELD))

    def is_alive(self, name: str) -> bool:
        """Return whether the supervisor of a forward lives."""
        try:
            fd = os.open(self.path / f"{name}{_HELD}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            # a shared lock: two who look at once must not take each other for the supervisor
            return not _locked(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def claim(self, name: str, deadline: float) -> Claim:
        """Become the supervisor of a name; raise ForwardError if somebody is until ``deadline`` (time.monotonic)."""
        path = self.path / f"{name}{_HELD}"
        fd = _lock_file(path, deadline)
        if fd is None:
            raise ForwardError(f"forward '{name}': it runs already")
        self.socket_of(name).unlink(missing_ok=True)  # that of a predecessor that was killed
        return Claim(self, name, fd)

    @contextlib.contextmanager
    def changing(self, name: str, deadline: float) -> Iterator[None]:
        """Be the only one who starts or stops that forward; raise ForwardError if another one is until ``deadline``."""
        path = self.path / f"{name}{_LOCK}"
        fd = _lock_file(path, deadline)
        if fd is None:
            raise ForwardError(
                f"forward '{name}': another play has been starting or stopping it all the time. Try again."
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(fd)

    def sweep(self) -> None:
        """Remove what dead supervisors left; a log stays for some days, for who wants to know why."""
        for name in self.names():
            with contextlib.suppress(OSError):
                fd = os.open(self.path / f"{name}{_HELD}", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                try:
                    if _locked(fd) and _is_at(fd, self.path / f"{name}{_HELD}"):
                        self.socket_of(name).unlink(missing_ok=True)
                        (self.path / f"{name}{_HELD}").unlink(missing_ok=True)
                finally:
                    os.close(fd)
        alive = set(self.names())
        for path in (*self.path.glob(f"*{_LOG}"), *self.path.glob(f"*{_LOG}.1")):
            with contextlib.suppress(OSError):
                of = path.name.removesuffix(".1").removesuffix(_LOG)
                if of not in alive and time.time() - path.stat().st_mtime > _LOG_SECONDS:
                    path.unlink()


class Claim:
    """The right to a name, which goes with this process."""

    def __init__(self, folder: ForwardFolder, name: str, fd: int) -> None:
        self._folder = folder
        self._name = name
        self._fd = fd

    def release(self) -> None:
        """Leave nothing but the log; the lock itself stays until this process ends."""
        self._folder.socket_of(self._name).unlink(missing_ok=True)
        (self._folder.path / f"{self._name}{_HELD}").unlink(missing_ok=True)


def _lock_file(path: Path, deadline: float) -> int | None:
    """Return a descriptor of a file that is locked, None if it was not free until ``deadline``."""
    while True:
        fd = os.open(path, _FLAGS, 0o600)
        # who had it may have removed it just before; then it is not the file that others look at
        if _locked(fd) and _is_at(fd, path):
            return fd
        os.close(fd)
        if time.monotonic() >= deadline:
            return None
        time.sleep(_PAUSE)


def _locked(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
