# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec over a WebSocket: ``v5.channel.k8s.io`` and ``v4.channel.k8s.io``.

Every message is one channel byte and data. In v5 the message ``[255, 0]`` ends stdin; in v4 it cannot end.
The exit status is a ``v1.Status`` on channel 3. See k8s.io/apimachinery ``pkg/util/remotecommand``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from testbed.kube import connection
from testbed.kube.exec_relay import ClientLeft, Output
from testbed.kube.websocket import Disconnected, WebSocket
from testbed.kube.websocket_frames import Piece

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")

_STDIN = 0
_ERROR = 3
_CLOSE = 255


class WebSocketStreams:
    """The client's end of an exec, over a WebSocket."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._channel = _STDIN

    def send(self, output: Output, data: memoryview) -> None:
        """Send data on the output's channel."""
        try:
            self._websocket.send(bytes((output.value,)), data)
        except Disconnected as exc:
            raise ClientLeft from exc

    def stdin(self) -> Iterator[memoryview]:
        """Yield stdin; resize messages and unknown channels are dropped."""
        try:
            for piece in self._websocket.pieces():
                yield from self._stdin_of(piece)
        except Disconnected:
            return

    def _stdin_of(self, piece: Piece) -> Iterator[memoryview]:
        data = piece.data
        if piece.first and data:
            self._channel, data = data[0], data[1:]
        if self._channel == _STDIN and data:
            yield data
        elif self._channel == _CLOSE and bytes(data) == bytes((_STDIN,)):
            yield memoryview(b"")

    def left(self) -> bool:
        """Return whether the client has hung up."""
        return connection.hung_up(self._websocket.connection)

    def finish(self, status: dict[str, Any] | None) -> None:
        """Send the status on channel 3 and close; stdin() ends with the client's answer."""
        try:
            if status is not None:
                self._websocket.send(bytes((_ERROR,)), json.dumps(status).encode())
        except Disconnected:
            return
        self._websocket.close()

    def reset(self) -> None:
        """Reset the connection."""
        connection.reset(self._websocket.connection)

    def hang_up(self) -> None:
        """End the connection, also for the thread that reads it."""
        connection.hang_up(self._websocket.connection)
