# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection through a forward, from the moment it is taken: it waits for the far end, moves bytes, ends honestly.

A client never takes a connection that failed for one that ended: it is reset then, not closed.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from ._errors import ForwardError, Unavailable
from ._spec import PortPair
from ._tally import Tally
from ._transport import Channel, Transport

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_SHORT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)
"""What passes as soon as other connections have ended."""
_RESET_ON_CLOSE, _NO_LINGER = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""``struct linger`` of socket(7): on, with no time to linger; and off."""

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""A client whose machine is gone without a word is noticed after two minutes."""


@dataclass(frozen=True)
class Line:
    """What the connections of one forward have in common."""

    transport: Transport
    tally: Tally
    log: Callable[[str], None]
    connect_timeout: Callable[[], float]


def serve(client: socket.socket, port: PortPair, number: int, line: Line) -> None:
    """Serve one client to its end; whatever happens to it stays here."""
    try:
        prepare(client)
        deadline = time.monotonic() + line.connect_timeout()
        channel = open_channel(line, port, deadline, _still_there(client), client)
        try:
            channel.relay(client, line.tally.moved)
        finally:
            channel.close()
        _settle(client)
    except Exception as exc:  # one connection must not harm another, whatever its transport raises
        line.tally.failed(_reason(exc))
        line.log(f"connection {number} to port {port.target}: {_reason(exc)}")
        reset(client)
    finally:
        client.close()


def prepare(client: socket.socket) -> None:
    """Set a client's socket up for a relay. Until it has ended well, it is reset by whatever closes it.

    So it is, too, if this process is killed.
    """
    client.setblocking(True)
    if client.family == socket.AF_UNIX:
        return  # it came by way of the far end
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        client.setsockopt(socket.IPPROTO_TCP, option, value)


def _settle(client: socket.socket) -> None:
    """Let a socket be closed in peace: the kernel goes on sending what its peer has not got yet."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)


def reset(client: socket.socket) -> None:
    """Close a socket so that its peer sees an error and not the end of the data."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    client.close()


def open_channel(
    line: Line,
    port: PortPair,
    deadline: float,
    pause: Callable[[float], bool],
    client: socket.socket | None = None,
) -> Channel:
    """Connect to the far end, for a client or to see that it is there, again and again until ``deadline``.

    ``pause`` waits that many seconds, and says whether to go on. Raises ForwardError if there is no use in waiting, and
    Unavailable when the time is up.
    """
    seconds = _FIRST_PAUSE
    while True:
        try:
            channel = line.transport.connect(port, deadline, client)
        except (Unavailable, OSError) as exc:
            if isinstance(exc, OSError) and exc.errno not in _SHORT_OF and not isinstance(exc, ConnectionError):
                raise
            line.tally.missed(_reason(exc))
            left = deadline - time.monotonic()
            if left <= 0 or not pause(min(seconds, left)):
                raise
            seconds = min(seconds * 2, _LONGEST_PAUSE)
        except ForwardError as exc:
            line.tally.missed(_reason(exc))
            raise
        else:
            line.tally.reached()
            return channel


def _still_there(client: socket.socket) -> Callable[[float], bool]:
    """Return what waits unless the client is gone; one that only ended what it sends still wants an answer."""
    poll = select.poll()
    poll.register(client, select.POLLHUP | select.POLLERR)
    return lambda seconds: not poll.poll(seconds * 1000)


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
