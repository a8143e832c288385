# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP relay on loopback that delays, stalls, cuts and resets the connections through it, at run time.

One thread serves all connections. ``up`` is the direction from the client to the target, ``down`` the other.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from testbed.ssh.line import Cut, Line

CHUNK = 1 << 20
"""Bytes read at once."""
BUFFER = 4 << 20
"""Bytes held per connection and direction where there is no delay."""
BUFFER_DELAYED = 64 << 20
"""The same with a delay: what a long, fast line would hold."""

Clock = Callable[[], float]

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""``struct linger`` of socket(7): on, no time to linger."""


class _Pipe:
    """One direction of one connection: what was read and is not yet due or not yet taken."""

    def __init__(self, source: socket.socket, sink: socket.socket, line: Line, clock: Clock) -> None:
        self._clock = clock
        self.source = source
        self.sink = sink
        self.line = line
        self.blocked = False
        self.discard = False
        self._queue: deque[tuple[float, memoryview]] = deque()
        self._held = 0
        self._ended_at: float | None = None
        self._done = False

    @property
    def done(self) -> bool:
        """Whether end of file has been passed on."""
        return self._done

    @property
    def wants_input(self) -> bool:
        """Whether the source is to be read."""
        if self._ended_at is not None:
            return False
        return self.discard or self._held < (BUFFER_DELAYED if self.line.delay else BUFFER)

    def due(self) -> float | None:
        """Return when there is something to pass on; None if only an event can change that."""
        if self.blocked or self._done or self.line.allowance(1) == 0:
            return None
        if self._queue:
            return self._queue[0][0]
        return self._ended_at

    def read(self) -> None:
        """Take what the source has; raise OSError if it was reset."""
        try:
            data = self.source.recv(CHUNK)
        except BlockingIOError:
            return
        when = self._clock() + self.line.delay
        if not data:
            self._ended_at = when
        elif not self.discard:
            self._queue.append((when, memoryview(data)))
            self._held += len(data)
            self.line.took(len(data))

    def write(self, now: float) -> None:
        """Pass on what is due; raise OSError if the sink was reset."""
        while self._queue and self._queue[0][0] <= now:
            when, data = self._queue[0]
            allowed = self.line.allowance(len(data))
            if allowed == 0:
                return
            try:
                sent = self.sink.send(data[:allowed])
            except BlockingIOError:
                self.blocked = True
                return
            self._held -= sent
            self.line.passed(sent)
            if sent == len(data):
                self._queue.popleft()
            else:
                self._queue[0] = (when, data[sent:])
        if not self._queue and self._ended_at is not None and self._ended_at <= now and not self._done:
            self.end()

    def end(self) -> None:
        """Pass on end of file."""
        self._done = True
        with contextlib.suppress(OSError):
            self.sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Pass on end of file now and nothing more; what still comes is thrown away."""
        self._queue.clear()
        self._held = 0
        self.discard = True
        self.blocked = False
        if not self._done:
            self.end()


class _Connection:
    """A client's socket, the target's, and the two pipes between them."""

    def __init__(self, client: socket.socket, target: socket.socket, up: Line, down: Line, clock: Clock) -> None:
        self.client = client
        self.target = target
        self.up = _Pipe(client, target, up, clock)
        self.down = _Pipe(target, client, down, clock)
        for sock in (client, target):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def pipes(self) -> tuple[_Pipe, _Pipe]:
        return self.up, self.down

    def serve(self, sock: socket.socket, events: int) -> None:
        """Handle what the selector said of one of the sockets."""
        for pipe in self.pipes:
            if events & selectors.EVENT_WRITE and pipe.sink is sock:
                pipe.blocked = False
            if events & selectors.EVENT_READ and pipe.source is sock and pipe.wants_input:
                pipe.read()

    def interest(self, sock: socket.socket) -> int:
        """Return the events to wait for on one of the sockets."""
        events = 0
        for pipe in self.pipes:
            if pipe.source is sock and pipe.wants_input:
                events |= selectors.EVENT_READ
            if pipe.sink is sock and pipe.blocked:
                events |= selectors.EVENT_WRITE
        return events

    def close(self, reset: bool) -> None:
        for sock in (self.client, self.target):
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                sock.close()


class Relay:
    """Listens on a free port of 127.0.0.1 and joins each connection to one to ``target_port``.

    :param clock: what delays are measured by, in seconds.
    :param listener: what it listens on instead; it is closed with the relay.
    """

    def __init__(self, target_port: int, clock: Clock = time.monotonic, listener: socket.socket | None = None) -> None:
        self._target_port = target_port
        self._clock = clock
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.up = Line(self._wake)
        self.down = Line(self._wake)
        self._listener = listener or socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self._connections: set[_Connection] = set()
        self._registered: dict[socket.socket, int] = {}
        self._changed = threading.Condition()
        self._reset = False
        self._closing = False
        self._accepted = 0
        self._thread = threading.Thread(target=self._loop, name="relay", daemon=True)
        self._thread.start()

    @property
    def accepted(self) -> int:
        """How many connections have been made through the relay."""
        with self._changed:
            return self._accepted

    def wait_accepted(self, count: int, timeout: float = 30) -> bool:
        """Wait until so many connections have been made in all; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: self._accepted >= count, timeout)

    def reset_now(self) -> None:
        """Reset every connection; return when that is done. New ones are served as before."""
        with self._changed:
            self._reset = True
            self._wake()
            self._changed.wait_for(lambda: not self._reset, 10)

    def set_delay(self, seconds: float) -> None:
        """Delay both directions, so that the round trip takes twice as long as ``seconds``."""
        self.up.delay = self.down.delay = seconds

    def close(self) -> None:
        """Reset every connection and stop listening. May be called twice."""
        if self._closing:
            return
        self._closing = True
        os.eventfd_write(self._wakeup, 1)
        self._thread.join(10)
        self._selector.close()
        self._listener.close()
        os.close(self._wakeup)

    def _wake(self) -> None:
        if not self._closing:
            os.eventfd_write(self._wakeup, 1)

    def _loop(self) -> None:
        while not self._closing:
            for key, events in self._selector.select(self._timeout()):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj == self._wakeup:
                    os.eventfd_read(self._wakeup)
                else:
                    connection, sock = key.data
                    self._serve(connection, partial(_Connection.serve, sock=sock, events=events))
            for connection in list(self._connections):
                self._serve(connection, self._advance)
            self._apply_faults()
            for connection in list(self._connections):
                self._watch(connection)
        for connection in list(self._connections):
            self._drop(connection, reset=True)

    def _timeout(self) -> float | None:
        dues = [due for connection in self._connections for pipe in connection.pipes if (due := pipe.due()) is not None]
        return max(0.0, min(dues) - self._clock()) if dues else None

    def _accept(self) -> None:
        try:
            client, _address = self._listener.accept()
        except OSError:
            return
        try:
            target = socket.create_connection(("127.0.0.1", self._target_port), timeout=10)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            client.close()
            return
        self._connections.add(_Connection(client, target, self.up, self.down, self._clock))
        with self._changed:
            self._accepted += 1
            self._changed.notify_all()

    def _serve(self, connection: _Connection, action: Callable[[_Connection], None]) -> None:
        """Do something with a connection that may have been dropped or may prove to be reset."""
        if connection not in self._connections:
            return
        try:
            action(connection)
        except OSError:
            self._drop(connection, reset=True)

    def _advance(self, connection: _Connection) -> None:
        now = self._clock()
        for pipe in connection.pipes:
            if not pipe.blocked and not pipe.discard:
                pipe.write(now)
        if all(pipe.done and not pipe.wants_input for pipe in connection.pipes):
            self._drop(connection, reset=False)

    def _apply_faults(self) -> None:
        for line in (self.up, self.down):
            how = line.take_cut()
            for connection in list(self._connections) if how else []:
                if how is Cut.RST:
                    self._drop(connection, reset=True)
                else:
                    for pipe in connection.pipes:
                        pipe.cut()
        with self._changed:
            if self._reset:
                for connection in list(self._connections):
                    self._drop(connection, reset=True)
                self._reset = False
                self._changed.notify_all()

    def _watch(self, connection: _Connection) -> None:
        for sock in (connection.client, connection.target):
            events = connection.interest(sock)
            known = self._registered.get(sock, 0)
            if events == known:
                continue
            if not known:
                self._selector.register(sock, events, (connection, sock))
            elif not events:
                self._selector.unregister(sock)
            else:
                self._selector.modify(sock, events, (connection, sock))
            self._registered[sock] = events

    def _drop(self, connection: _Connection, reset: bool) -> None:
        self._connections.discard(connection)
        for sock in (connection.client, connection.target):
            if self._registered.pop(sock, 0):
                self._selector.unregister(sock)
        connection.close(reset)
