# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A threaded HTTP/1.1 server that can hand a connection over to another protocol and can be closed fully."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from testbed.kube.connection import reset, will_reset
from testbed.kube.errors import ApiError, bad_request


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, handler: _Handler) -> None:
        self._handler = handler
        self.method = handler.command
        self.headers = handler.headers
        target = urlsplit(handler.path)
        self.path = target.path
        self.query_string = target.query
        self.query = parse_qs(target.query, keep_blank_values=True)
        self.answered = False
        self.on_answer: Callable[[int], None] | None = None
        """What is told the code of the answer."""
        self._answer_lost = False
        self._body: bytes | None = None

    def lose_answer(self) -> None:
        """Reset the connection in place of the answer."""
        self._answer_lost = True

    def parameter(self, name: str, default: str = "") -> str:
        """Return the last value of a query parameter."""
        return self.query.get(name, [default])[-1]

    def flag(self, name: str) -> bool:
        """Return whether a query parameter is true."""
        return self.parameter(name).lower() in ("true", "1")

    @property
    def body(self) -> bytes:
        """The request's body, read on first use."""
        if self._body is None:
            self._body = self._handler.read_body()
        return self._body

    def json(self) -> Any:
        """Return the body as JSON; raise a 400 ApiError if it is not."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError as exc:
            raise bad_request(f"the body of the request is not JSON: {exc}") from exc

    def send(self, code: int, body: bytes, content_type: str) -> None:
        """Answer with a whole body."""
        headers = {"Content-Type": content_type, "Content-Length": str(len(body))}
        self.start(code, headers)
        self._handler.wfile.write(body)

    def send_json(self, code: int, obj: Any, headers: dict[str, str] | None = None) -> None:
        """Answer with a JSON body."""
        body = json.dumps(obj, separators=(",", ":")).encode()
        self.start(code, {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})})
        self._handler.wfile.write(body)

    def start(self, code: int, headers: dict[str, str]) -> None:
        """Send status line and headers."""
        if self._body is None:
            self._handler.read_body()  # or it would be taken for the next request of this connection
            self._body = b""
        self.answered = True
        if self._answer_lost:
            reset(self._handler.connection)
            raise ConnectionResetError("a fault of the test bed")
        if self.on_answer is not None:
            self.on_answer(code)
        self._handler.send_response(code)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def start_chunks(self, content_type: str) -> Callable[[bytes], None]:
        """Start an answer of unknown length; return what sends a piece of it (an empty piece ends it)."""
        self.start(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"})

        def send(piece: bytes) -> None:
            self._handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

        return send

    def flush(self) -> None:
        """Send what has been written so far."""
        self._handler.wfile.flush()

    def client_left(self) -> bool:
        """Return whether the client has closed the connection of an answer that is still being sent."""
        connection: socket.socket = self._handler.connection
        if not select.select([connection], [], [], 0)[0]:
            return False
        try:
            return connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def take_connection(self) -> socket.socket:
        """Take the connection over for another protocol; it is closed when the request's handler returns.

        Clients send nothing after an upgrade request before it is answered, so no byte of the new protocol
        can be stuck in the HTTP reader.
        """
        self.answered = True
        self._handler.close_connection = True
        connection: socket.socket = self._handler.connection
        return connection


Application = Callable[[Exchange], None]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "testbed"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: _Server

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return bytes(body)

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()
            return
        self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError):  # a client that has left does not want the rest
            super().finish()

    def _serve(self) -> None:
        exchange = Exchange(self)
        try:
            self.server.application(exchange)
        except ApiError as exc:
            if exchange.answered:
                raise
            wait = {} if exc.retry_after is None else {"Retry-After": str(exc.retry_after)}
            exchange.send_json(exc.code, exc.status(), wait)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a test's output is not the place for an access log."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # close() waits for every connection's thread
    request_queue_size = 128

    def __init__(self, application: Application, port: int) -> None:
        self.application = application
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._connections_lock:
            self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        if will_reset(request):
            request.close()  # a shutdown would send FIN first, and the client would see an orderly end
        else:
            super().shutdown_request(request)

    def cut_connections(self) -> None:
        with self._connections_lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class HttpServer:
    """Serves an application on a port of 127.0.0.1 (a free one for 0) from its construction to close()."""

    def __init__(self, application: Application, port: int = 0) -> None:
        self._server = _Server(application, port)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="kube-http"
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening, cut every connection and wait for its thread."""
        self._server.shutdown()
        self._thread.join()
        self._server.cut_connections()
        self._server.server_close()
