# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec over SPDY, protocol ``v4.channel.k8s.io``: one SPDY stream for each of error, stdin, stdout and stderr.

The client opens the streams, each with a ``streamtype`` header; the exit status is a ``v1.Status`` on the
error stream. See k8s.io/client-go ``tools/remotecommand``.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from typing import Any

from testbed.kube.backend import ExecRequest
from testbed.kube.exec_relay import ClientLeft, Output
from testbed.kube.spdy_session import Session, Stream, StreamClosed, Transport

PROTOCOL = "v4.channel.k8s.io"

# As long as a kubelet waits for the client to open its streams.
_STREAMS_SECONDS = 30


class SpdyStreams:
    """The client's end of an exec, over SPDY."""

    def __init__(self, transport: Transport) -> None:
        self._session = Session(transport, self._on_stream)
        self._opened: queue.SimpleQueue[Stream] = queue.SimpleQueue()
        self._streams: dict[str, Stream] = {}
        self._thread = threading.Thread(target=self._session.serve, name="spdy-session")
        self._thread.start()

    def _on_stream(self, stream: Stream) -> None:
        if stream.headers.get("streamtype") != "stdin":
            stream.stop_reading()
        self._opened.put(stream)

    def await_streams(self, request: ExecRequest) -> bool:
        """Wait until the client has opened what the request needs; return whether it did."""
        wanted = {"error"}
        wanted |= {name for name in ("stdin", "stdout") if getattr(request, name)}
        if request.tty:
            wanted.add("resize")
        elif request.stderr:
            wanted.add("stderr")
        with contextlib.suppress(queue.Empty):
            while not wanted <= self._streams.keys():
                stream = self._opened.get(timeout=_STREAMS_SECONDS)
                self._streams[stream.headers.get("streamtype", "")] = stream
            return True
        return False

    def send(self, output: Output, data: memoryview) -> None:
        """Send data on the output's stream."""
        try:
            self._streams[output.name.lower()].write(data)
        except StreamClosed as exc:
            raise ClientLeft from exc

    def stdin(self) -> Iterator[memoryview]:
        """Yield stdin and its end, then wait until the client ends the connection."""
        if stream := self._streams.get("stdin"):
            yield from (memoryview(data) for data in stream.read())
            yield memoryview(b"")
            stream.stop_reading()
        self._session.ended.wait()

    def left(self) -> bool:
        """Return whether the client has hung up."""
        return self._session.left()

    def finish(self, status: dict[str, Any] | None) -> None:
        """Send the status, end every stream and say goodbye."""
        with contextlib.suppress(StreamClosed):
            for name in ("stdout", "stderr"):
                if stream := self._streams.get(name):
                    stream.finish()
            if error := self._streams.get("error"):
                if status is not None:
                    error.write(json.dumps(status).encode())
                error.finish()

    def reset(self) -> None:
        """Reset the connection."""
        self._session.reset()

    def hang_up(self) -> None:
        """End the connection."""
        self._session.hang_up()

    def close(self) -> None:
        """End the connection and wait for the thread that reads it."""
        self._session.hang_up()
        self._thread.join()
