# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Linux offers and a stream needs: pipe sizes, moving pages between pipes, process descriptors."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import termios

PIPE_SIZE = 1 << 20
"""Bytes asked for per pipe: the largest an unprivileged process may have (``pipe(7)``, pipe-max-size)."""

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


def open_process(pid: int) -> int:
    """Return a descriptor that becomes readable when the child ``pid`` ends."""
    return os.pidfd_open(pid)
