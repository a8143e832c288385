# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of one WebSocket (RFC 6455)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from collections.abc import Iterator

from testbed.kube.connection import send_all
from testbed.kube.errors import bad_request
from testbed.kube.http_server import Exchange
from testbed.kube.websocket_frames import Control, FrameError, FrameParser, Opcode, Piece, header

_READ_SIZE = 256 * 1024
_NORMAL_CLOSURE = 1000
# RFC 6455, section 1.3
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Disconnected(Exception):
    """The client has left without closing the stream in an orderly way."""


def is_websocket(exchange: Exchange) -> bool:
    """Return whether the client asks to upgrade to a WebSocket."""
    return str(exchange.headers.get("Upgrade", "")).lower() == "websocket"


def _accept_token(key: str) -> bytes:
    return base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT_GUID, usedforsecurity=False).digest())


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
        b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n" % (_accept_token(key), chosen.encode())
    )
    return WebSocket(connection, chosen)


class WebSocket:
    """An open WebSocket. One thread may read while others send."""

    def __init__(self, connection: socket.socket, subprotocol: str) -> None:
        self.connection = connection
        self.subprotocol = subprotocol
        self._send_lock = threading.Lock()
        self._closed = False

    def send(self, *parts: bytes | memoryview) -> None:
        """Send one binary message made of parts; raise Disconnected if the client has left."""
        self._send(Opcode.BINARY, *parts)

    def close(self) -> None:
        """Say that nothing more will be sent; the client's answer ends pieces()."""
        with contextlib.suppress(Disconnected):
            self._send(Opcode.CLOSE, struct.pack("!H", _NORMAL_CLOSURE))

    def _send(self, opcode: Opcode, *parts: bytes | memoryview) -> None:
        buffers = [header(opcode, sum(map(len, parts))), *parts]
        with self._send_lock:
            if self._closed:
                raise Disconnected("the WebSocket is closed")
            self._closed = opcode is Opcode.CLOSE
            try:
                send_all(self.connection, buffers)
            except OSError as exc:
                raise Disconnected(str(exc)) from exc

    def pieces(self) -> Iterator[Piece]:
        """Yield data as it arrives until the client closes; raise Disconnected if it does so without a word."""
        parser = FrameParser()
        while True:
            for event in self._receive(parser):
                match event:
                    case Piece():
                        yield event
                    case Control(opcode=Opcode.PING, data=data):
                        self._answer_ping(data)
                    case Control(opcode=Opcode.CLOSE):
                        self.close()  # does nothing if this is the answer to our own close
                        return

    def _answer_ping(self, data: bytes) -> None:
        with contextlib.suppress(Disconnected):  # we have closed our side, or the next read will tell
            self._send(Opcode.PONG, data)

    def _receive(self, parser: FrameParser) -> Iterator[Piece | Control]:
        try:
            data = self.connection.recv(_READ_SIZE)
            if not data:
                raise Disconnected("end of the connection without a WebSocket close")
            yield from parser.feed(data)
        except (OSError, FrameError) as exc:
            raise Disconnected(str(exc)) from exc
