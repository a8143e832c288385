# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of one SPDY/3.1 connection: streams that the client opens, over any byte transport."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from testbed.kube import connection
from testbed.kube.errors import ApiError
from testbed.kube.http_server import Exchange
from testbed.kube.spdy_frames import (
    MAX_DATA,
    Data,
    Frame,
    FrameParser,
    FrameWriter,
    GoAway,
    Ping,
    ProtocolError,
    RstStream,
    SynStream,
)
from testbed.kube.websocket import Disconnected, WebSocket

_READ_SIZE = 256 * 1024
# Data frames that may wait for their reader; then the connection is not read any further. Clients know no
# windows, so this is the only brake there is.
_QUEUED_FRAMES = 32
_GLANCE_SECONDS = 0.1
PROTOCOL_HEADER = "X-Stream-Protocol-Version"


def is_spdy(exchange: Exchange) -> bool:
    """Return whether the client asks to upgrade to SPDY."""
    return str(exchange.headers.get("Upgrade", "")).upper() == "SPDY/3.1"


def offered_protocols(exchange: Exchange) -> list[str]:
    """Return the stream protocols that a client offers, in its order; clients repeat the header."""
    return [str(value) for value in exchange.headers.get_all(PROTOCOL_HEADER, [])]


def accept_spdy(exchange: Exchange, protocol: str) -> socket.socket:
    """Answer an upgrade to SPDY with one stream protocol; raise 403, as a kubelet, if it is not offered."""
    offered = offered_protocols(exchange)
    if protocol not in offered:
        raise ApiError(403, "Forbidden", f"unable to upgrade: server supports {protocol!r}, client {offered}")
    taken = exchange.take_connection()
    taken.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n"
        b"%b: %b\r\n\r\n" % (PROTOCOL_HEADER.encode(), protocol.encode())
    )
    return taken


class Transport(Protocol):
    """What carries the bytes of a SPDY connection."""

    def receive(self) -> Iterator[bytes | memoryview]:
        """Yield bytes until the peer ends the connection."""

    def send(self, *parts: bytes | memoryview) -> None:
        """Send bytes; raise OSError or Disconnected."""

    def left(self) -> bool:
        """Return whether the peer has closed the connection."""

    def hang_up(self) -> None:
        """End the connection."""

    def reset(self) -> None:
        """Reset the connection."""


class SocketTransport:
    """SPDY on a plain connection, after an ``Upgrade: SPDY/3.1``."""

    def __init__(self, plain: socket.socket) -> None:
        self._socket = plain

    def receive(self) -> Iterator[bytes]:
        """Yield what arrives; a reset counts as an end."""
        try:
            while data := self._socket.recv(_READ_SIZE):
                yield data
        except OSError:
            return

    def send(self, *parts: bytes | memoryview) -> None:
        """Send bytes."""
        connection.send_all(self._socket, parts)

    def left(self) -> bool:
        """Return whether the peer has closed the connection."""
        return connection.hung_up(self._socket)

    def hang_up(self) -> None:
        """End the connection."""
        connection.hang_up(self._socket)

    def reset(self) -> None:
        """Reset the connection."""
        connection.reset(self._socket)


class WebSocketTransport:
    """SPDY tunnelled through the binary messages of a WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    def receive(self) -> Iterator[memoryview]:
        """Yield the content of the messages; their borders mean nothing."""
        try:
            for piece in self._websocket.pieces():
                yield piece.data
        except Disconnected:
            return

    def send(self, *parts: bytes | memoryview) -> None:
        """Send bytes as one message."""
        self._websocket.send(*parts)

    def left(self) -> bool:
        """Return whether the peer has closed the connection."""
        return connection.hung_up(self._websocket.connection)

    def hang_up(self) -> None:
        """Close the WebSocket and end its connection."""
        self._websocket.close()
        connection.hang_up(self._websocket.connection)

    def reset(self) -> None:
        """Reset the connection."""
        connection.reset(self._websocket.connection)


class StreamClosed(Exception):
    """The stream or its connection takes no more data."""


class Stream:
    """One stream that the client has opened. One thread reads it, one writes it."""

    def __init__(self, session: Session, stream_id: int, headers: dict[str, str]) -> None:
        self.stream_id = stream_id
        self.headers = headers
        self._session = session
        self._incoming: queue.Queue[bytes] = queue.Queue(_QUEUED_FRAMES)
        self._reading = True
        self._writable = True

    def read(self) -> Iterator[bytes]:
        """Yield data until the client ends its direction or the connection ends."""
        while True:
            try:
                data = self._incoming.get(timeout=_GLANCE_SECONDS)
            except queue.Empty:
                if self._session.ended.is_set():
                    return
                continue
            if not data or not self._reading:
                return
            yield data

    def write(self, data: bytes | memoryview) -> None:
        """Send data; raise StreamClosed if that is no longer possible."""
        while data:
            if not self._writable:
                raise StreamClosed(f"stream {self.stream_id} is closed")
            piece, data = data[:MAX_DATA], data[MAX_DATA:]
            self._session.send(FrameWriter.data_header(self.stream_id, len(piece)), piece)

    def finish(self) -> None:
        """End our direction."""
        if self._writable:
            self._writable = False
            self._session.send(FrameWriter.data_header(self.stream_id, 0, fin=True))

    def reset(self) -> None:
        """End both directions."""
        self._writable = self._reading = False
        self._session.send(FrameWriter.rst_stream(self.stream_id))

    def stop_reading(self) -> None:
        """End read() and drop what still arrives, so that it does not hold up the other streams."""
        self._reading = False
        with contextlib.suppress(queue.Full):  # then the reader is not waiting
            self._incoming.put_nowait(b"")

    def deliver(self, data: bytes) -> None:
        """Queue data for the reader (empty: its end); block the whole connection while the queue is full."""
        while self._reading and not self._session.ended.is_set():
            try:
                self._incoming.put(data, timeout=_GLANCE_SECONDS)
            except queue.Full:
                if self._session.left():
                    return
            else:
                return

    def was_reset(self) -> None:
        """Note that the client has ended both directions."""
        self._writable = False
        self.deliver(b"")


class Session:
    """A SPDY connection: ``serve()`` reads it until it ends and calls ``on_stream`` for every new stream."""

    def __init__(self, transport: Transport, on_stream: Callable[[Stream], None]) -> None:
        self._transport = transport
        self._on_stream = on_stream
        self._streams: dict[int, Stream] = {}
        self._writer = FrameWriter()
        self._send_lock = threading.Lock()
        self.ended = threading.Event()

    def serve(self) -> None:
        """Read frames until the client goes away; must run in one thread only."""
        parser = FrameParser()
        try:
            for data in self._transport.receive():
                for frame in parser.feed(data):
                    if isinstance(frame, GoAway):
                        return
                    self._take(frame)
        except (ProtocolError, StreamClosed, zlib.error):
            self._transport.hang_up()
        finally:
            self.ended.set()

    def _take(self, frame: Frame) -> None:
        match frame:
            case SynStream(stream_id=stream_id, headers=headers, fin=fin):
                self._open(stream_id, headers, fin)
            case Data(stream_id=stream_id, data=data, fin=fin):
                self._deliver(stream_id, data, fin)
            case RstStream(stream_id=stream_id):
                if stream := self._streams.pop(stream_id, None):
                    stream.was_reset()
            case Ping(ping_id=ping_id):
                self.send(FrameWriter.ping(ping_id))

    def _open(self, stream_id: int, headers: dict[str, str], fin: bool) -> None:
        stream = self._streams[stream_id] = Stream(self, stream_id, headers)
        with self._send_lock:  # the compressed header blocks must leave in the order they were made
            self._send(self._writer.syn_reply(stream_id))
        if fin:
            stream.deliver(b"")
        self._on_stream(stream)

    def _deliver(self, stream_id: int, data: bytes, fin: bool) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if data:
            stream.deliver(data)
        if fin:
            stream.deliver(b"")

    def send(self, *parts: bytes | memoryview) -> None:
        """Send a whole frame; raise StreamClosed if the connection has ended."""
        with self._send_lock:
            self._send(*parts)

    def _send(self, *parts: bytes | memoryview) -> None:
        try:
            self._transport.send(*parts)
        except (OSError, Disconnected) as exc:
            raise StreamClosed(str(exc)) from exc

    def left(self) -> bool:
        """Return whether the client has closed the connection."""
        return self._transport.left()

    def go_away(self) -> None:
        """Tell the client that this is all; it will end the connection."""
        self.send(FrameWriter.goaway(max(self._streams, default=0)))

    def hang_up(self) -> None:
        """End the connection; serve() then returns."""
        self._transport.hang_up()

    def reset(self) -> None:
        """Reset the connection; serve() then returns."""
        self._transport.reset()
