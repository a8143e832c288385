# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Linux offers and a stream needs: pipe sizes, moving pages between pipes, process descriptors, the CPU."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import functools
import os
import termios
from pathlib import Path

PIPE_SIZE = 1 << 20
"""Bytes asked for per pipe: the largest an unprivileged process may have (``pipe(7)``, pipe-max-size)."""

_BEYOND_SHELLS = 100
"""dash keeps its own descriptors at 10 and above, bash at 255 and just below."""

_SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


def make_pipe(size: int = PIPE_SIZE) -> tuple[int, int]:
    """Return the read and the write end of a pipe that holds ``size`` bytes, if the kernel grants it.

    The kernel refuses to grow a pipe once a user holds too many of them (pipe-user-pages-soft);
    a smaller pipe is slower and as correct.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, size)
    return read_end, write_end


def bytes_in_pipe(fd: int) -> int:
    """Return how many bytes wait in a pipe (``FIONREAD``)."""
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


def splice(source: int, target: int, count: int) -> int:
    """Move up to ``count`` bytes from one pipe to another without copying; raise BlockingIOError if none can go."""
    return os.splice(source, target, count, flags=_SPLICE_FLAGS)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def tee(source: int, target: int, count: int) -> int:
    """Let up to ``count`` bytes of one pipe be read from another too, without copying; see tee(2).

    Returns how many; raises BlockingIOError if the source is empty or the target full.
    """
    done: int = _libc().tee(source, target, ctypes.c_size_t(count), ctypes.c_uint(os.SPLICE_F_NONBLOCK))
    if done < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return done


def disconnect(fd: int) -> None:
    """Reset a TCP connection at once, whoever else has its socket: connect(2) with AF_UNSPEC. Raises OSError."""
    unspecified = bytes(16)  # struct sockaddr; AF_UNSPEC is 0
    if _libc().connect(fd, unspecified, len(unspecified)) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def nameless_file(label: str, data: bytes) -> int:
    """Return a descriptor of a file in memory that holds ``data`` and goes with its last descriptor.

    A child that inherits it opens it as ``/dev/fd/N`` as often as it likes. The number is one that shells do not use
    for themselves, so that the file gets through a shell to the programs that it starts.
    """
    fd = os.memfd_create(label)
    try:
        os.fchmod(fd, 0o600)
        while data:
            data = data[os.write(fd, data) :]
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _BEYOND_SHELLS)
    finally:
        os.close(fd)


def open_process(pid: int) -> int:
    """Return a descriptor that becomes readable when the child ``pid`` ends."""
    return os.pidfd_open(pid)


def has_aes_instructions() -> bool:
    """Return whether the processor computes AES itself (``flags`` of x86, ``Features`` of ARM in cpuinfo)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any("aes" in line.split() for line in lines if line.startswith(("flags", "Features")))


def writes_to_terminal(pid: int) -> bool:
    """Return whether the standard output of a process is a terminal."""
    try:
        fd = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.isatty(fd)
    finally:
        os.close(fd)
