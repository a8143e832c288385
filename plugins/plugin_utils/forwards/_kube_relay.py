# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves bytes between a client's socket and a pair of streams, both ways, in one thread that waits for both.

What cannot be passed on is not taken: a client that does not read stops the pod, and the other way round; each has a
connection of its own, so nobody else notices.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

from ._kube_pair import Pair

KEPT = 256 * 1024
"""Bytes of the client that are kept, as long as nothing came back, for another try."""
_GRACE = 0.03
"""Seconds that a pod's node may take to say that it reaches no such port, before more than that is sent."""
_LAST_WORD = 2.0
"""Seconds between the end of the data and that of the errors, and for the last data to be sent."""
_FIRST_SILENCE, _LONGEST_SILENCE = 1.0, 15.0
"""Seconds of silence after which the connection shows that it is in use, and the pod is looked for: of one that ended
its network is gone too, and with it whatever would have told the pod's node that the connection is over."""


class ClientLeft(ConnectionResetError):
    """The client reset the connection."""


class Pods(Protocol):
    """What knows whether a pod is still there."""

    def is_gone(self, pair: Pair) -> bool:
        """Return whether the pod of a pair has ended."""

    def is_leaving(self, pair: Pair) -> bool:
        """Return whether nobody should connect to the pod of a pair any more."""


class Relay:
    """The relaying of one connection; it may start over with another pair."""

    def __init__(
        self,
        pair: Pair,
        client: socket.socket,
        count: Callable[[int, int], None],
        pods: Pods,
        stopped: Callable[[], bool],
    ) -> None:
        """``stopped`` tells, once the tunnel was cut, whether that was meant."""
        self._pods = pods
        self._silence = _FIRST_SILENCE
        self._stopped = stopped
        self._hung = False
        self._pair = pair
        self._client = client
        self._count = count
        self._kept: bytearray | None = bytearray()
        self.client_ended = False
        """Whether the client sends no more."""
        self._passed_end = False
        self._last_word: float | None = None
        self._began = time.monotonic()
        self._poll = select.poll()
        self._watched: dict[int, int] = {}

    @property
    def may_start_over(self) -> bool:
        """Whether nothing of the connection has happened anywhere yet, and all that the client sent is still here."""
        if self._pair.answered or self._kept is None:
            return False
        return self._pair.was_not_connected or not self._kept

    @property
    def is_clean(self) -> bool:
        """Whether the tunnel may serve another connection: both sides have ended this one, and said so."""
        return self._pair.over and self._pair.finished and self._pair.tunnel.idle

    def start_over(self, pair: Pair) -> None:
        """Go on with another pair, to which all is sent again."""
        self._watch(self._pair.tunnel.fd, 0)  # its number may be another one's by now
        self._pair, self._began, self._last_word, self._hung = pair, time.monotonic(), None, False
        if self._kept:
            pair.tunnel.send_data(pair.data, bytes(self._kept))
        if self.client_ended:
            pair.finish()

    def run(self) -> None:
        """Move bytes to the end of both directions.

        Raises ClientLeft, or another ConnectionError if the way to the pod was lost.
        """
        pair, tunnel = self._pair, self._pair.tunnel
        tunnel.flush()
        while not self._is_done():
            from_tunnel, from_client = self._wait()
            if from_client & (select.POLLERR | select.POLLNVAL):
                raise ClientLeft("the client ended the connection")
            if from_tunnel & (select.POLLHUP | select.POLLERR) and self._stopped():
                raise ConnectionAbortedError("the forward was stopped")
            if from_tunnel and not pair.pending:
                pair.receive()
            elif from_tunnel & (select.POLLHUP | select.POLLERR):
                self._hung = True  # and there is still something for the client
            if pair.pending:
                self._deliver()
            if from_client & (select.POLLIN | select.POLLHUP) and self._takes_more():
                self._collect()
            tunnel.flush()

    def _is_done(self) -> bool:
        pair = self._pair
        if pair.pending:
            return False
        if (failure := pair.failure) is not None:
            raise ConnectionResetError(failure)
        if not pair.data_ended:
            return False
        if not (pair.answered or self._kept or self.client_ended or self._passed_end) and self._pods.is_leaving(pair):
            raise ConnectionResetError(f"pod {pair.pod.name} is going away, and nothing was exchanged with it")
        if not self._passed_end:
            if not pair.error_ended and not self._waited_enough():
                return False  # a reset in the pod comes as an end, and only then as an error
            self._passed_end = True
            self._end_output()
        if pair.over:
            pair.finish()
            pair.tunnel.flush()
        if not pair.tunnel.idle or not (pair.over or self.client_ended):
            return self._waited_enough() if pair.over else False
        return pair.over or self._waited_enough()

    def _waited_enough(self) -> bool:
        now = time.monotonic()
        if self._last_word is None:
            self._last_word = now + _LAST_WORD
        return now >= self._last_word

    def _end_output(self) -> None:
        try:
            self._client.shutdown(socket.SHUT_WR)
        except OSError as exc:
            raise ClientLeft("the client ended the connection") from exc

    # -- waiting

    def _wait(self) -> tuple[int, int]:
        """Wait for what is possible next; return the events of the tunnel and of the client."""
        pair, tunnel = self._pair, self._pair.tunnel
        seconds = self._silence
        takes_more = self._takes_more()
        if not takes_more and self._may_take_later():
            seconds = max(0.0, self._began + _GRACE - time.monotonic()) + 0.001
        if self._last_word is not None:
            seconds = max(0.0, self._last_word - time.monotonic()) + 0.001
        if not pair.pending and tunnel.pending:
            seconds = 0.0
        # while something waits for the client, only the end of the tunnel is news, and only once
        receives = _if(not pair.pending, tunnel.waits_for_input)
        self._watch(tunnel.fd, receives | _if(not tunnel.idle, tunnel.waits_for_output), always=not self._hung)
        client = _if(bool(pair.pending), select.POLLOUT) | _if(takes_more, select.POLLIN)
        self._watch(self._client.fileno(), client, always=not self._passed_end)
        events = dict(self._poll.poll(seconds * 1000))
        if events:
            self._silence = _FIRST_SILENCE if not pair.answered else _LONGEST_SILENCE
        elif seconds == self._silence:
            self._look_after()
        from_tunnel = events.get(tunnel.fd, 0) or (1 if seconds == 0.0 else 0)
        return from_tunnel, events.get(self._client.fileno(), 0)

    def _look_after(self) -> None:
        """Do what is to be done in silence; raise ConnectionError if the pod has ended."""
        self._silence = min(2 * self._silence, _LONGEST_SILENCE)
        if self._pair.tunnel.idle:
            self._pair.tunnel.ping()
        if self._pods.is_gone(self._pair):
            raise ConnectionResetError(f"pod {self._pair.pod.name} has ended")

    def _watch(self, fd: int, events: int, always: bool = False) -> None:
        """Watch a descriptor; without any event it is watched for errors only, if ``always``, else not at all."""
        wanted = events if events or always else None
        if self._watched.get(fd) == wanted:
            return
        if wanted is None:
            del self._watched[fd]
            self._poll.unregister(fd)
        else:
            self._watched[fd] = wanted
            self._poll.register(fd, wanted)

    # -- from the pod to the client

    def _deliver(self) -> None:
        pending = self._pair.pending
        self._kept = None
        try:
            sent = self._client.sendmsg(pending) if len(pending) > 1 else self._client.send(pending[0])
        except BlockingIOError:
            return
        except OSError as exc:
            raise ClientLeft("the client ended the connection") from exc
        self._count(0, sent)
        taken = 0
        while taken < len(pending) and sent >= len(pending[taken]):
            sent -= len(pending[taken])
            taken += 1
        del pending[:taken]
        if sent:
            pending[0] = pending[0][sent:]

    # -- from the client to the pod

    def _takes_more(self) -> bool:
        """Return whether more of the client can be taken now."""
        if self.client_ended or self._pair.over or not self._pair.tunnel.idle:
            return False
        if self._kept is not None and len(self._kept) >= KEPT:
            if time.monotonic() < self._began + _GRACE:
                return False
            self._kept = None
        return True

    def _may_take_later(self) -> bool:
        return self._kept is not None and len(self._kept) >= KEPT and self._pair.tunnel.idle

    def _collect(self) -> None:
        tunnel = self._pair.tunnel
        room = tunnel.room
        try:
            size = self._client.recv_into(room)
        except BlockingIOError:
            return
        except OSError as exc:
            raise ClientLeft("the client ended the connection") from exc
        if not size:
            self.client_ended = True
            self._pair.finish()
            return
        if self._kept is not None:
            self._kept += room[:size]
        tunnel.send_room(self._pair.data, size)
        self._count(size, 0)


def _if(condition: bool, events: int) -> int:
    return events if condition else 0
