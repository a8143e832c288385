# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small operations on TCP connections that more than one thread uses."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections.abc import Sequence

_LINGER_OFF = struct.pack("ii", 1, 0)


def hung_up(connection: socket.socket) -> bool:
    """Return whether the peer has ended the connection, even if data of it is still unread."""
    poll = select.poll()
    poll.register(connection, getattr(select, "POLLRDHUP", 0))  # Linux only; elsewhere errors alone are seen
    return bool(poll.poll(0))


def reset(connection: socket.socket) -> None:
    """Let the connection end with RST, and wake the thread that reads it.

    With SO_LINGER of no time the kernel sends RST instead of FIN when the descriptor is closed, which the
    HTTP server does at the end of the request.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        connection.shutdown(socket.SHUT_RD)


def will_reset(connection: socket.socket) -> bool:
    """Return whether reset() was called."""
    with contextlib.suppress(OSError):
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_LINGER_OFF)) == _LINGER_OFF
    return False


def hang_up(connection: socket.socket) -> None:
    """End the connection in both directions and wake the threads that use it; a reset stays a reset."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD if will_reset(connection) else socket.SHUT_RDWR)


def send_all(connection: socket.socket, buffers: Sequence[bytes | memoryview]) -> None:
    """Send several buffers without joining them: the payload is large, and copying it costs more than sending it."""
    sent = connection.sendmsg(buffers)
    for buffer in buffers:
        if sent < len(buffer):
            connection.sendall(memoryview(buffer)[sent:])
        sent = max(0, sent - len(buffer))
