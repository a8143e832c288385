# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection through ssh, or from a port of its far end: the bytes, and the end."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._linux import disconnect
from ._handed import Handed, is_closed
from ._mux import MuxConnection
from ._splice import Flow, LargePipes, close_all, relay
from ._ssh_master import SshMaster
from ._ssh_words import ChannelWatch

HALF_OPEN_SECONDS = 120.0
"""How long a client may stay silent after the far end has ended its direction."""
_ALIVE_SECONDS = 5.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""``struct linger`` of socket(7): on, no time to linger."""


@dataclass(frozen=True)
class Shared:
    """What the channels of one transport have in common."""

    master: SshMaster
    large: LargePipes
    forget: Callable[[Any], None]
    """Called by a channel when it is over."""


class SshChannel:
    """What all kinds of channel have in common: they are released once, by whoever relays, and cut by anybody."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._lock = threading.Lock()
        self._client: socket.socket | None = None
        self._cut = False
        self._closed = False

    def relay(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        """Move bytes until both directions have ended; see Channel."""
        with self._lock:
            self._client = client
            cut = self._cut
        try:
            client.setblocking(False)
            if cut:
                raise ConnectionAbortedError("the connection was cut")
            self._move(client, count)
            if self._cut:
                raise ConnectionAbortedError("the connection was cut")
        except OSError:
            reset_now(client)
            raise
        finally:
            with self._lock:
                self._client = None
                self._closed = True
                self._release()
            self._shared.forget(self)

    def close(self) -> None:
        """Cut it, from any thread; see Channel."""
        with self._lock:
            self._cut = True
            if self._closed:
                return
            if self._client is None:
                self._closed = True
                self._release()
            else:
                # nothing may look like an end, also if this process ends before the other thread gets any further
                _reset_at_last(self._client)
                with contextlib.suppress(OSError):
                    self._client.shutdown(socket.SHUT_RD)
                self._interrupt()
        self._shared.forget(self)

    def catch_up(self) -> None:
        """Count what has moved without anybody noticing."""

    def _end(self, to: socket.socket) -> None:
        """Tell one side that nothing more comes, if that is true."""
        if self._cut:
            raise ConnectionAbortedError("the connection was cut")
        to.shutdown(socket.SHUT_WR)

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        raise NotImplementedError

    def _interrupt(self) -> None:
        raise NotImplementedError

    def _release(self) -> None:
        raise NotImplementedError


class PipedChannel(SshChannel):
    """A channel of ssh: a pipe to it, a pipe from it, and the connection that it was asked for by."""

    def __init__(self, control: MuxConnection, up: int, down: int, shared: Shared) -> None:
        super().__init__(shared)
        self._control = control
        self._up = [up]
        self._down = [down]

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        up, down = (self._up[0], self._shared.large), (self._down[0], self._shared.large)
        ask = Flow(client.fileno(), up[0], partial(close_all, self._up), up)
        answer = Flow(down[0], client.fileno(), partial(self._ended_by_far, client), down)
        with contextlib.closing(ask), contextlib.closing(answer):
            relay(ask, answer, count, HALF_OPEN_SECONDS)

    def _ended_by_far(self, client: socket.socket) -> None:
        # ssh that is gone closes its pipes as well; one that is there has told the truth
        if not self._shared.master.is_up(time.monotonic() + _ALIVE_SECONDS):
            raise ConnectionResetError("the SSH connection was lost")
        self._end(client)

    def _interrupt(self) -> None:
        self._control.shutdown()

    def _release(self) -> None:
        close_all(self._up)
        close_all(self._down)
        self._control.close()


class HandedChannel(SshChannel):
    """A channel of ssh that writes to the client itself: a hop through this process would cost a third of the speed."""

    def __init__(self, control: MuxConnection, up: int, handed: Handed, watch: ChannelWatch, shared: Shared) -> None:
        super().__init__(shared)
        self._control = control
        self._up = [up]
        self._handed = handed
        self._watch = watch

    def catch_up(self) -> None:
        """Count what ssh has written."""
        with self._lock:
            if not self._closed:
                self._handed.catch_up()

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        up, answer = (self._up[0], self._shared.large), self._handed
        with contextlib.closing(answer):
            answer.begin(self._watch, count)
            ask = Flow(client.fileno(), up[0], lambda: self._ended_by_client(client, answer), up)
            with contextlib.closing(ask):
                relay(ask, answer, count, HALF_OPEN_SECONDS)

    def _ended_by_client(self, client: socket.socket, answer: Handed) -> None:
        # the error of a connection is told to one only, and that may have been ssh
        if not answer.done and is_closed(client):
            raise ConnectionResetError("the client ended the connection")
        close_all(self._up)

    def _interrupt(self) -> None:
        self._handed.interrupt()

    def _release(self) -> None:
        self._handed.close()
        close_all(self._up)
        self._control.close()


class SocketChannel(SshChannel):
    """A connection to a port of this machine."""

    def __init__(self, target: socket.socket, shared: Shared) -> None:
        super().__init__(shared)
        target.setblocking(False)
        self._target = target

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        first, second = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        large = self._shared.large
        try:
            asked, target = client.fileno(), self._target.fileno()
            ask = Flow(asked, target, partial(self._end, self._target), (first[1], large), first)
            answer = Flow(target, asked, partial(self._end, client), (second[1], large), second)
            with contextlib.closing(ask), contextlib.closing(answer):
                # here the far end is who asks
                relay(ask, answer, lambda came, went: count(went, came), HALF_OPEN_SECONDS)
        except OSError:
            _reset_at_last(self._target)
            raise
        finally:
            close_all([*first, *second])

    def _interrupt(self) -> None:
        _reset_at_last(self._target)
        with contextlib.suppress(OSError):
            self._target.shutdown(socket.SHUT_RD)

    def _release(self) -> None:
        self._target.close()


def reset_now(client: socket.socket) -> None:
    """Reset a connection, also if ssh has its socket, too: the end of what is not whole must not look like an end."""
    _reset_at_last(client)
    with contextlib.suppress(OSError):
        disconnect(client.fileno())


def _reset_at_last(connection: socket.socket) -> None:
    """Let a connection be reset when its last descriptor is closed, by whomever."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
