# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One try at one forwarded connection: a pair of streams of a tunnel, and what became of it."""

from __future__ import annotations

import re
import time

from . import _spdy
from ._errors import Unavailable
from ._kube_target import Pod
from ._kube_tunnel import Event, Tunnel

_LONGEST_TEXT = 4096
_NOT_CONNECTED = re.compile(
    r"connection refused|failed to (connect|dial)|\bdial (tcp|unix)|not running|is closed|not found"
    r"|no such (file|container|sandbox|pod)|unable to do port forwarding",
    re.IGNORECASE,
)
"""What runtimes say when they have not reached the port; nothing of what the client sent has arrived anywhere then."""
_AFTERWARDS = re.compile(r"reset by peer|broken pipe|\b(read|write) (tcp|unix)", re.IGNORECASE)


class Pair:
    """The data stream and the error stream of one try."""

    def __init__(self, tunnel: Tunnel, pod: Pod, port: int) -> None:
        self.tunnel, self.pod, self.port = tunnel, pod, port
        self.data, self.error = tunnel.open_streams(port)
        self.pending: list[memoryview] = []
        """Data for the client. It lies in the tunnel's buffer: nothing is received until it is passed on."""
        self.answered = False
        """Whether a byte came from the pod."""
        self.data_ended = False
        self.error_ended = False
        self.finished = False
        """Whether our direction was ended."""
        self._text = bytearray()
        self._was_reset = False
        self._waiting = {self.data, self.error}

    def accept(self, deadline: float) -> None:
        """Wait until the pod's node has taken the streams. Raises Unavailable if it does not."""
        tunnel = self.tunnel
        try:
            while True:
                tunnel.flush()
                self.receive()
                if self._was_reset:
                    raise Unavailable("the pod's node takes no further connections on this one")
                if self.accepted:
                    return
                if (left := deadline - time.monotonic()) <= 0:
                    raise Unavailable("the pod's node did not answer in time")
                # data may come before the second stream is taken; the next receive() writes over where it lies
                self.pending = [memoryview(bytes(piece)) for piece in self.pending]
                tunnel.wait(left)
        except ConnectionError as exc:
            raise Unavailable(str(exc)) from exc

    def receive(self) -> None:
        """Take what has arrived; nothing may be pending. Raises ConnectionError when the connection has ended."""
        for event in self.tunnel.receive():
            self.take(event)

    def take(self, event: Event) -> None:
        """Take one event of the tunnel, if it is about this pair."""
        if isinstance(event, _spdy.Data):
            if event.stream == self.data:
                if event.content:
                    self.pending.append(event.content)
                    self.answered = True
                self.data_ended |= event.fin
            elif event.stream == self.error:
                self._text += event.content[: _LONGEST_TEXT - len(self._text)]
                self.error_ended |= event.fin
        elif event.number in (self.data, self.error):
            if event.kind == _spdy.Kind.RST_STREAM:
                self._was_reset = True
            else:
                self._waiting.discard(event.number)

    @property
    def accepted(self) -> bool:
        """Whether the pod's node has taken both streams."""
        return not self._waiting

    def finish(self) -> None:
        """End our direction."""
        if not self.finished:
            self.finished = True
            self.tunnel.send(_spdy.fin(self.data))

    @property
    def over(self) -> bool:
        """Whether the pod's side has nothing more to do with the connection, and said so."""
        return self.data_ended and self.error_ended

    @property
    def failure(self) -> str | None:
        """What went wrong, once that is known."""
        if self._text and (self.error_ended or self._was_reset or self.data_ended):
            return self._text.decode(errors="replace").strip()
        return "the pod's node reset the connection" if self._was_reset else None

    @property
    def was_not_connected(self) -> bool:
        """Whether it failed before anything of it reached the pod's program."""
        text = self._text.decode(errors="replace")
        return not self.answered and bool(_NOT_CONNECTED.search(text)) and not _AFTERWARDS.search(text)
