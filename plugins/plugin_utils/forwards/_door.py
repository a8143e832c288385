# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes connections from listening sockets, each into a thread of its own, as many as this process can have."""

from __future__ import annotations

import errno
import resource
import selectors
import socket
import threading
import time
from collections.abc import Callable

from ._connection import Line, reset, serve
from ._spec import PortPair

_AT_A_TIME = 64
"""Connections taken before anything else is looked at."""
_RESERVE = 64
"""Descriptors kept for the log, the control socket, the transport and its like."""
_PER_CONNECTION = 3
"""Descriptors that a connection needs at least; where it needs more, it waits for them."""
_MOST = 8192
_PAUSE = 0.2
"""Seconds without taking any, after the system could not give one."""
_STACK = 512 << 10
_PASSED = (errno.ECONNABORTED, errno.EINTR, errno.EPROTO)
"""What accept(2) says of a connection that is gone before it was taken."""


def raise_limits() -> int:
    """Let this process open as many descriptors as it may; return how many connections that makes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    threading.stack_size(_STACK)
    return max(1, min(_MOST, (hard - _RESERVE) // _PER_CONNECTION))


class Door:
    """The listening sockets of a forward. All methods but ``ended`` belong to the main loop.

    While there are as many connections as can be, and while the system gives no more, new ones stay in the kernel's
    queue, where they wait; nothing spins.
    """

    def __init__(self, selector: selectors.BaseSelector, most: int, wake: Callable[[], None]) -> None:
        self._selector = selector
        self._most = most
        self._wake = wake
        self._listeners: dict[socket.socket, PortPair] = {}
        self._line: Line | None = None
        self._open = False
        self._again_at: float | None = None

    def begin(self, listeners: dict[socket.socket, PortPair], line: Line) -> None:
        """Take connections from now on."""
        self._listeners, self._line = listeners, line
        self._set(True)

    def close(self) -> None:
        """Listen no longer."""
        self._set(False)
        self._again_at = None
        for listener in self._listeners:
            listener.close()
        self._listeners = {}

    @property
    def left(self) -> float | None:
        """Seconds until ``look`` should be called, None if there is no need."""
        return None if self._again_at is None else max(0.0, self._again_at - time.monotonic())

    def look(self) -> None:
        """Take connections again, if there is room again and the pause is over."""
        if self._open or self._line is None or not self._listeners:
            return
        if self._line.tally.active < self._most and not self.left:
            self._again_at = None
            self._set(True)

    def _set(self, to: bool) -> None:
        if to is self._open:
            return
        self._open = to
        for listener, port in self._listeners.items():
            if to:
                self._selector.register(listener, selectors.EVENT_READ, lambda at=listener, of=port: self._take(at, of))
            else:
                self._selector.unregister(listener)

    def _take(self, listener: socket.socket, port: PortPair) -> None:
        line = self._line
        if line is None or not self._open:
            return
        for _each in range(_AT_A_TIME):
            if line.tally.active >= self._most:
                self._set(False)
                self.look()  # one may have ended just before anybody would have been woken for it
                return
            try:
                client, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _PASSED:
                    continue
                self._rest(f"taking a connection: {exc.strerror}")
                return
            self._start(client, port, line)

    def _start(self, client: socket.socket, port: PortPair, line: Line) -> None:
        number = line.tally.begin()
        thread = threading.Thread(target=self._serve, args=(client, port, number, line), daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            reset(client)
            line.tally.end()
            self._rest(f"serving connection {number}: {exc}")

    def _serve(self, client: socket.socket, port: PortPair, number: int, line: Line) -> None:
        try:
            serve(client, port, number, line)
        finally:
            line.tally.end()
            if not self._open:
                self._wake()

    def _rest(self, reason: str) -> None:
        """Take none for a moment: the system is short of something, and trying at once would only cost."""
        if self._line is not None:
            self._line.tally.failed(reason)
            self._line.log(reason)
        self._again_at = time.monotonic() + _PAUSE
        self._set(False)
