# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A forwarded connection: bytes between a client's socket and a pod, both ways at once, in one thread."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from .._required import required
from ._errors import ForwardError, Unavailable
from ._kube_pair import Pair
from ._kube_relay import ClientLeft, Relay

_LINGER = 10.0
"""Seconds for a client to end its side, when there is nobody left to take what it sends."""
_GLANCE = 0.5
_DISCARDED = 64 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Origin(Protocol):
    """What makes the tries of a channel."""

    def lost(self, pair: Pair, why: str) -> None:
        """Note that a channel is going to try again."""

    def is_gone(self, pair: Pair) -> bool:
        """Return whether the pod of a pair has ended; may ask the API."""

    def is_leaving(self, pair: Pair) -> bool:
        """Return whether nobody should connect to the pod of a pair any more; may ask the API."""

    def again(self, failed: Pair, deadline: float) -> Pair:
        """Return another try; raise Unavailable or ForwardError."""

    def take_back(self, pair: Pair, clean: bool) -> None:
        """Take the tunnel of a pair; ``clean`` says that another connection may use it."""

    def ended(self, channel: KubeChannel) -> None:
        """Note that a channel has ended."""


class KubeChannel:
    """One forwarded connection. A pod that cannot be reached is tried again, or another one, until ``deadline``."""

    def __init__(self, pair: Pair, origin: Origin, deadline: float) -> None:
        self._pair: Pair | None = pair
        self._origin = origin
        self._deadline = deadline
        self._relaying = False
        self._closed = False
        self._tried_again = False
        self._lock = threading.Lock()

    def relay(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        """Move bytes until both directions have ended; see Channel."""
        client.setblocking(False)
        with self._lock:
            self._relaying = True
            pair = required(self._pair, "tunnel of a channel that is relayed")
        relay = Relay(pair, client, count, self._origin, lambda: self._closed)
        try:
            while True:
                try:
                    relay.run()
                    break
                except ClientLeft:
                    raise
                except ConnectionError as exc:
                    relay.start_over(self._another(relay, client, exc))
            self._give_back(clean=relay.is_clean)
            if not relay.client_ended:
                self._linger(client)
        finally:
            self._give_back(clean=False)
            self._origin.ended(self)

    def close(self) -> None:
        """Cut it, from any thread."""
        with self._lock:
            self._closed = True
            if self._relaying:  # the thread that relays ends it; what a client then sees is for who called that
                if self._pair is not None:
                    self._pair.tunnel.cut()
                return
        self._give_back(clean=False)
        self._origin.ended(self)

    def _give_back(self, clean: bool) -> None:
        with self._lock:
            pair, self._pair = self._pair, None
        if pair is not None:
            self._origin.take_back(pair, clean and not self._closed)

    def _another(self, relay: Relay, client: socket.socket, lost: ConnectionError) -> Pair:
        """Return another try for a connection of which nothing has happened yet; raise ``lost`` for any other."""
        if self._closed or not relay.may_start_over:
            raise lost
        failed, pause = required(self._pair, "tunnel that was lost"), _FIRST_PAUSE
        if not self._tried_again:
            self._tried_again = True
            self._origin.lost(failed, str(lost))
        self._give_back(clean=False)
        why: Exception = lost
        while True:
            left = self._deadline - time.monotonic()
            if left <= 0 or self._closed or _has_left(client, min(pause, left)):
                raise ConnectionResetError(str(why)) from why
            try:
                pair = self._origin.again(failed, self._deadline)
            except Unavailable as exc:
                why, pause = exc, min(2 * pause, _LONGEST_PAUSE)
                continue
            except ForwardError as exc:
                raise ConnectionResetError(str(exc)) from exc
            with self._lock:
                self._pair = pair
            return pair

    def _linger(self, client: socket.socket) -> None:
        """Drop what the client still sends: data that nobody reads would make the kernel reset what was sent to it."""
        poll = select.poll()
        poll.register(client, select.POLLIN)
        end = time.monotonic() + _LINGER
        while not self._closed and (left := end - time.monotonic()) > 0:
            if poll.poll(min(left, _GLANCE) * 1000) and not client.recv(_DISCARDED):
                return


def _has_left(client: socket.socket, seconds: float) -> bool:
    """Wait; return whether the client was gone meanwhile. One that only ended what it sends still wants an answer."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(seconds * 1000))
