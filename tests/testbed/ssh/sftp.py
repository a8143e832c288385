# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``sftp`` subsystem of the embedded SSH server: the real file system, relative paths from the data folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.sftp import SFTP_FAILURE, SFTP_OK

if TYPE_CHECKING:
    from typing_extensions import Buffer


def _guarded(action: Callable[[], object]) -> int:
    """Run a call of ``os`` and return its outcome as an SFTP status."""
    try:
        action()
    except OSError as exc:
        return paramiko.SFTPServer.convert_errno(exc.errno or 0)
    return SFTP_OK


class _FileHandle(paramiko.SFTPHandle):
    """An open file, read and written by offset on one descriptor."""

    def __init__(self, fd: int, flags: int) -> None:
        super().__init__(flags)
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self, offset: int, length: int) -> bytes | int:
        try:
            return os.pread(self._fd, length, offset)
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def write(self, offset: int, data: Buffer) -> int:
        return _guarded(lambda: os.pwrite(self._fd, data, offset))

    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._fd))

    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        return _guarded(lambda: _apply(self._fd, attr))


def _apply(target: int | Path, attr: paramiko.SFTPAttributes) -> None:
    """Set what ``attr`` holds on an open file or a path."""
    if attr.st_mode is not None:
        os.chmod(target, attr.st_mode & 0o7777)  # noqa: PTH101  # it may be a descriptor
    if attr.st_atime is not None and attr.st_mtime is not None:
        os.utime(target, (attr.st_atime, attr.st_mtime))
    if attr.st_uid is not None and attr.st_gid is not None:
        os.chown(target, attr.st_uid, attr.st_gid)
    if attr.st_size is not None:
        os.truncate(target, attr.st_size)


class RealFiles(paramiko.SFTPServerInterface):
    """Serves the file system as the server's own user sees it."""

    def __init__(self, server: paramiko.ServerInterface, root: Path, *args: Any, **kwargs: Any) -> None:
        super().__init__(server, *args, **kwargs)
        self._root = root

    def _real(self, path: str) -> Path:
        return self._root / path  # an absolute path replaces the root

    def canonicalize(self, path: str) -> str:
        return os.path.realpath(self._real(path))

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        found = []
        try:
            for entry in self._real(path).iterdir():
                with contextlib.suppress(FileNotFoundError):
                    found.append(paramiko.SFTPAttributes.from_stat(entry.lstat(), entry.name))
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)
        return found

    def _attributes(self, path: str, follow: bool) -> paramiko.SFTPAttributes | int:
        try:
            return paramiko.SFTPAttributes.from_stat(self._real(path).stat(follow_symlinks=follow))
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        return self._attributes(path, follow=True)

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        return self._attributes(path, follow=False)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        mode = 0o666 if attr.st_mode is None else attr.st_mode & 0o7777
        # the offset of each write is given by the client, and pwrite ignores it on an O_APPEND file
        try:
            fd = os.open(self._real(path), (flags & ~os.O_APPEND) | os.O_CLOEXEC, mode)
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)
        return _FileHandle(fd, flags)

    def remove(self, path: str) -> int:
        return _guarded(self._real(path).unlink)

    def rename(self, oldpath: str, newpath: str) -> int:
        if os.path.lexists(self._real(newpath)):
            return SFTP_FAILURE  # the protocol's rename does not replace
        return self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return _guarded(lambda: self._real(oldpath).rename(self._real(newpath)))

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return _guarded(lambda: self._real(path).mkdir(0o777 if attr.st_mode is None else attr.st_mode & 0o7777))

    def rmdir(self, path: str) -> int:
        return _guarded(self._real(path).rmdir)

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return _guarded(lambda: _apply(self._real(path), attr))

    def readlink(self, path: str) -> str | int:
        try:
            return str(self._real(path).readlink())
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def symlink(self, target_path: str, path: str) -> int:
        return _guarded(lambda: self._real(path).symlink_to(target_path))
