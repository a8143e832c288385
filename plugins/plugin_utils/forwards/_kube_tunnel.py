# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection into a pod: SPDY, inside a WebSocket or on its own. It never blocks; one thread uses it at a time.

OpenSSL does not let two threads use one connection, so both directions of a forwarded connection share a thread, which
waits for whatever is possible next (``poll``). Data goes from one socket to the other by way of one buffer: received
into it, sent out of it, the frames around it taken off or put on in place.
"""

from __future__ import annotations

import contextlib
import mmap
import select
import socket
import ssl
from collections import deque
from collections.abc import Iterator

from . import _spdy, _websocket

_RECEIVED = 1024 * 1024
"""Bytes that are received before they are passed on."""
_ENOUGH = 512 * 1024
"""TLS comes in records of 16 KiB: as many are joined, if they are there."""
SENT = 256 * 1024
"""Bytes of a frame, at most."""
_ROOM = _websocket.LONGEST_HEADER + _spdy.FRAME_HEADER

Event = _spdy.Data | _spdy.Control


class Tunnel:
    """The connection and its frames."""

    def __init__(self, connection: socket.socket, websocket: bool) -> None:
        connection.setblocking(False)
        self.fd = connection.fileno()
        self.websocket = websocket
        self.uses = 0
        """How many forwarded connections it has served."""
        self._socket = connection
        self._tls = isinstance(connection, ssl.SSLSocket)
        self._frames = _websocket.Reader() if websocket else None
        self._events = _spdy.Reader()
        self._writer = _spdy.Writer()
        # of the kernel, which gives pages only when they are used: most connections are small
        self._received = memoryview(mmap.mmap(-1, _RECEIVED))
        self._upload = memoryview(mmap.mmap(-1, _ROOM + SENT))
        self._outgoing: deque[memoryview] = deque()
        self._next_stream = 1
        self._next_ping = 1
        self._sound = True
        self._reads_by, self._writes_by = select.POLLIN, select.POLLOUT

    # -- in

    @property
    def waits_for_input(self) -> int:
        """The poll events on which there may be something to receive; nearly always POLLIN."""
        return self._reads_by

    def receive(self) -> list[Event]:
        """Return what has arrived; the data lies in a buffer, and holds until the next call.

        Raises ConnectionError when the connection has ended.
        """
        found: list[Event] = []
        try:
            filled = self._fill()
            received = self._received[:filled]
            for part in (received,) if self._frames is None else self._unwrapped(self._frames, received):
                for event in self._events.feed(part):
                    if isinstance(event, _spdy.Data) or not self._is_ours(event):
                        found.append(event)
        except (_spdy.SpdyError, _websocket.WebSocketError) as exc:
            raise self._lost(str(exc)) from exc
        return found

    def _fill(self) -> int:
        filled, buffer = 0, self._received
        self._reads_by = select.POLLIN
        while filled < _ENOUGH:
            try:
                count = self._socket.recv_into(buffer[filled:] if filled else buffer)
            except (BlockingIOError, ssl.SSLWantReadError):
                break
            except ssl.SSLWantWriteError:
                self._reads_by = select.POLLOUT
                break
            except OSError as exc:
                if not filled:
                    raise self._lost(exc.strerror or str(exc)) from exc
                break
            if not count:
                if not filled:
                    raise self._lost("the API server ended the connection")
                break  # the next call finds out
            filled += count
            if not self._tls:
                break
        return filled

    def _unwrapped(self, frames: _websocket.Reader, received: memoryview) -> Iterator[memoryview]:
        for part in frames.feed(received):
            if isinstance(part, memoryview):
                yield part
            elif part.opcode == _websocket.Opcode.PING:
                pong = _websocket.header(_websocket.Opcode.PONG, len(part.content)) + part.content
                self._outgoing.append(memoryview(pong))
            elif part.opcode == _websocket.Opcode.CLOSE:
                self._sound = False  # its end follows

    def _is_ours(self, event: _spdy.Control) -> bool:
        """Deal with what is about the connection; return whether it was."""
        if event.kind == _spdy.Kind.PING:
            if event.number % 2 == 0:  # the server's own, not an answer
                self.send(_spdy.ping(event.number))
        elif event.kind == _spdy.Kind.GOAWAY:
            self._sound = False
        elif event.kind in (_spdy.Kind.SYN_REPLY, _spdy.Kind.RST_STREAM):
            return False
        return True

    def _lost(self, why: str) -> ConnectionError:
        self._sound = False
        return ConnectionResetError(f"the connection to the pod was lost: {why}")

    # -- out

    @property
    def idle(self) -> bool:
        """Whether all that was to be sent has been sent."""
        return not self._outgoing

    @property
    def waits_for_output(self) -> int:
        """The poll events on which more can be sent; nearly always POLLOUT."""
        return self._writes_by

    def open_streams(self, port: int) -> tuple[int, int]:
        """Open the streams of one forwarded connection to a port of the pod; return those of data and of errors.

        Source: k8s.io/kubelet pkg/cri/streaming/portforward, k8s.io/client-go tools/portforward.
        """
        error, data = self._next_stream, self._next_stream + 2
        self._next_stream += 4
        about = {"port": str(port), "requestid": str(self.uses)}
        self.uses += 1
        opening = self._writer.syn_stream(error, {"streamtype": "error", **about})
        opening += _spdy.fin(error)  # nothing is said there
        self.send(opening + self._writer.syn_stream(data, {"streamtype": "data", **about}))
        return data, error

    @property
    def room(self) -> memoryview:
        """Where data may be put that is sent next; only while the tunnel is idle."""
        return self._upload[_ROOM:]

    def send_room(self, stream: int, size: int) -> None:
        """Send the first ``size`` bytes of the room as data of a stream."""
        head = _spdy.data_header(stream, size)
        if self.websocket:
            head = _websocket.header(_websocket.Opcode.BINARY, len(head) + size) + head
        start = _ROOM - len(head)
        self._upload[start:_ROOM] = head
        self._outgoing.append(self._upload[start : _ROOM + size])

    def send_data(self, stream: int, data: bytes) -> None:
        """Send data that stays as it is."""
        for start in range(0, len(data), SENT):
            piece = data[start : start + SENT]
            self.send(_spdy.data_header(stream, len(piece)) + piece)

    def send(self, frames: bytes) -> None:
        """Send whole frames."""
        if self.websocket:
            frames = _websocket.header(_websocket.Opcode.BINARY, len(frames)) + frames
        self._outgoing.append(memoryview(frames))

    def ping(self) -> None:
        """Let the connection be seen in use by whatever ends idle ones on the way."""
        self.send(_spdy.ping(self._next_ping))
        self._next_ping += 2

    def flush(self) -> None:
        """Send as much as can be sent now. Raises ConnectionError when the connection has ended."""
        self._writes_by = select.POLLOUT
        while self._outgoing:
            first = self._outgoing[0]
            try:
                sent = self._socket.send(first)
            except (BlockingIOError, ssl.SSLWantWriteError):
                return
            except ssl.SSLWantReadError:
                self._writes_by = select.POLLIN
                return
            except OSError as exc:
                raise self._lost(exc.strerror or str(exc)) from exc
            if sent == len(first):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = first[sent:]

    # -- its life

    def wait(self, seconds: float) -> None:
        """Wait until there may be something to receive, or to send."""
        poll = select.poll()
        poll.register(self.fd, self._reads_by | (0 if self.idle else self._writes_by))
        poll.poll(max(0.0, seconds) * 1000)

    @property
    def pending(self) -> bool:
        """Whether something was received and decrypted that poll knows nothing of."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def is_sound(self) -> bool:
        """Return whether a further connection may use it, as far as can be seen from here."""
        if self._sound and self.idle:
            with contextlib.suppress(ConnectionError):
                self.receive()  # what is left of the last connection
                self.flush()
                return self._sound and self.idle
        return False

    def cut(self) -> None:
        """End the connection, from any thread; who uses it sees it lost."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # not that of TLS, which is not for other threads

    def close(self) -> None:
        """End the connection in order. Not while another thread uses it."""
        self._sound = False
        with contextlib.suppress(OSError):
            if self.websocket and self.idle:
                self._socket.send(_websocket.close_frame())
            self.cut()
        self._socket.close()
        self._outgoing.clear()
