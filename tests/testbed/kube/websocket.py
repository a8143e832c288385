# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of one WebSocket (RFC 6455), with wsproto for the framing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from testbed.kube.errors import bad_request
from testbed.kube.http_server import Exchange

_READ_SIZE = 256 * 1024
NORMAL_CLOSURE = 1000


class Disconnected(Exception):
    """The client has left without closing the stream in an orderly way."""


@dataclass(frozen=True)
class Piece:
    """A part of a binary message as it came in; ``first`` and ``last`` tell where the message begins and ends."""

    data: memoryview
    first: bool
    last: bool


def is_websocket(exchange: Exchange) -> bool:
    """Return whether the client asks to upgrade to a WebSocket."""
    return str(exchange.headers.get("Upgrade", "")).lower() == "websocket"


def accept(exchange: Exchange, supported: tuple[str, ...]) -> WebSocket:
    """Answer the handshake with the first supported subprotocol that the client offers; raise 400 for none."""
    offered = [
        name.strip() for line in exchange.headers.get_all("Sec-WebSocket-Protocol", []) for name in line.split(",")
    ]
    chosen = next((name for name in supported if name in offered), None)
    key = exchange.headers.get("Sec-WebSocket-Key")
    if chosen is None or key is None:
        raise bad_request(f"none of the WebSocket subprotocols {offered} is supported, only {list(supported)}")
    connection = exchange.take_connection()
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n"
        % (generate_accept_token(key.encode()), chosen.encode())
    )
    return WebSocket(connection, chosen)


class WebSocket:
    """An open WebSocket. One thread may read while others send."""

    def __init__(self, connection: socket.socket, subprotocol: str) -> None:
        self.connection = connection
        self.subprotocol = subprotocol
        self._protocol = Connection(ConnectionType.SERVER)
        self._send_lock = threading.Lock()

    def send(self, data: bytes) -> None:
        """Send one binary message; raise Disconnected if the client has left."""
        self._send(BytesMessage(data=data))

    def close(self) -> None:
        """Say that nothing more will be sent; the client's answer is seen by pieces()."""
        with contextlib.suppress(Disconnected):
            self._send(CloseConnection(code=NORMAL_CLOSURE))

    def _send(self, event: Event) -> None:
        with self._send_lock:
            try:
                self.connection.sendall(self._protocol.send(event))
            except (OSError, LocalProtocolError) as exc:
                raise Disconnected(str(exc)) from exc

    def pieces(self) -> Iterator[Piece]:
        """Yield binary data as it arrives until the client closes; raise Disconnected if it does so without a word."""
        first = True
        while True:
            for event in self._receive():
                match event:
                    case BytesMessage(data=data, message_finished=last):
                        yield Piece(memoryview(data), first, last)
                        first = last
                    case TextMessage():
                        raise Disconnected("the client sent a text message on a binary stream")
                    case Ping():
                        self._send(event.response())
                    case CloseConnection():
                        with contextlib.suppress(Disconnected):  # it may be the answer to our own close
                            self._send(event.response())
                        return

    def _receive(self) -> Iterator[Event]:
        try:
            data = self.connection.recv(_READ_SIZE)
            if not data:
                raise Disconnected("end of the connection without a WebSocket close")
            self._protocol.receive_data(data)
            yield from self._protocol.events()
        except (OSError, RemoteProtocolError, LocalProtocolError) as exc:
            raise Disconnected(str(exc)) from exc
