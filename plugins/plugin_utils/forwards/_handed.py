# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The direction of a connection that ssh moves by itself, because it was handed the client's socket."""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
import struct
import termios
import threading
from collections.abc import Callable

from ._ssh_words import ChannelWatch, Fate

_STATE_CLOSED = 7
"""TCP_CLOSE of include/net/tcp_states.h."""
_ACKNOWLEDGED_AT = 120
"""Where tcpi_bytes_acked stands in ``struct tcp_info`` (linux/tcp.h), since Linux 4.1."""
_INFO_SIZE = 128


class Handed:
    """From the far end to the client: looked after and counted here, and ended as soon as ssh has ended it.

    It takes the place of a Flow in ``relay``.
    """

    def __init__(self, client: socket.socket) -> None:
        """Have all it takes, so that nothing can be short once ssh has the socket; ``begin`` comes next."""
        self.target = client.fileno()
        self.done = False
        self.moved = 0
        """Stays 0: it counts for itself, since most of the time nobody is woken when something has moved."""
        self._client = client
        self._watch = ChannelWatch()
        self._count: Callable[[int, int], None] | None = None
        self._counted = 0
        self._cut = False
        self._lock = threading.Lock()
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def begin(self, watch: ChannelWatch, count: Callable[[int, int], None]) -> None:
        """Go by what becomes of a channel, and tell ``count`` what moves."""
        self._watch, self._count = watch, count
        watch.tell(self._wake)

    @property
    def awaits(self) -> tuple[int, int]:
        """The descriptor that tells that something is to be done, and the event."""
        return self._event, select.POLLIN

    def advance(self) -> None:
        """Pass the end on to the client; raise ConnectionResetError unless it is one."""
        if self._cut:
            raise ConnectionAbortedError("the connection was cut")
        os.eventfd_read(self._event)
        if self._watch.fate is Fate.OPEN:
            return
        if self._watch.fate is Fate.LOST:
            raise ConnectionResetError("the SSH connection was lost")
        self.catch_up()
        if self._watch.fate is Fate.CUT or is_closed(self._client):
            raise ConnectionResetError("the client ended the connection")
        self.done = True
        self._client.shutdown(socket.SHUT_WR)

    def catch_up(self) -> None:
        """Count what has moved since this was called last."""
        with self._lock:
            if self._event < 0 or self.done or self._count is None:
                return
            moved = max(0, sent_by(self._client) - self._counted)
            self._counted += moved
        if moved:
            self._count(0, moved)

    def interrupt(self) -> None:
        """Let ``advance`` be called, and raise an error; from any thread."""
        self._cut = True
        self._wake()

    def close(self) -> None:
        """Count what is left, and let go. May be called twice."""
        self.catch_up()
        self._watch.tell(None)
        with self._lock:
            if self._event >= 0:
                os.close(self._event)
                self._event = -1

    def _wake(self) -> None:
        with self._lock:
            if self._event >= 0:
                os.eventfd_write(self._event, 1)


def sent_by(connection: socket.socket) -> int:
    """Return how many bytes were ever written to a TCP connection whose sending has not ended."""
    while True:
        before, waiting = _acknowledged(connection), _waiting(connection)
        if _acknowledged(connection) == before:
            return before + waiting


def is_closed(connection: socket.socket) -> bool:
    """Return whether a TCP connection that did not end its sending is over: it was reset, or has timed out."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _STATE_CLOSED


def _acknowledged(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
    acknowledged: int = struct.unpack_from("=Q", info, _ACKNOWLEDGED_AT)[0]
    return acknowledged


def _waiting(connection: socket.socket) -> int:
    """Return how many bytes were written and not acknowledged yet (SIOCOUTQ of tcp(7), by another of its names)."""
    count = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, count)
    return count[0]
