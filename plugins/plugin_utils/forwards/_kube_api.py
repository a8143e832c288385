# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of an API server: objects by GET, and connections that are upgraded to another protocol."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from .._linux import nameless_file
from ..contexts._base import ContextError, sentence
from ..contexts._credentials import Login
from ..contexts._server import address_of
from ._errors import ForwardError, Unavailable

_AGENT = "manifold.core"
_LONGEST_ANSWER = 1 << 20
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A server that is gone without a word is noticed after a minute."""


class Unreachable(Unavailable):
    """The API server cannot be reached, or does not answer."""


class Refused(Exception):
    """The API server refused; ``code`` is the status of its answer, the text what it said."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ApiClient:
    """Reaches one API server with one login. Thread-safe; holds nothing open."""

    def __init__(self, context: str, login: Login, seconds: float) -> None:
        """Raise ForwardError for a login that cannot be used."""
        self._context = context
        self._login = login
        self._headers = (("User-Agent", _AGENT), *login.headers)
        if any(not text.isprintable() for pair in login.headers for text in pair):
            text = f"context '{context}': reading its credentials: a token or a name has characters that cannot be sent"
            raise ForwardError(sentence(text, "Check those of its kubeconfig."))
        self._seconds = seconds
        try:
            self._address = address_of(context, login.server)
        except ContextError as exc:
            raise ForwardError(str(exc)) from exc
        self._tls = _tls(context, login) if self._address.tls else None
        self._session: ssl.SSLSession | None = None
        self._lock = threading.Lock()

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return self._login.server

    def get(self, path: str, deadline: float) -> dict[str, Any]:
        """Return an object. Raises Refused for an answer that is none, Unreachable for no answer."""
        connection = self.connect(deadline)
        with contextlib.closing(connection):
            client = http.client.HTTPConnection(self._address.host, self._address.port)
            client.sock = connection
            try:
                client.putrequest("GET", self._address.path + path, skip_accept_encoding=True)
                for name, value in (*self._headers, ("Accept", "application/json"), ("Connection", "close")):
                    client.putheader(name, value)
                client.endheaders()
                answer = client.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as exc:
                raise self._no_answer(exc) from exc
            self._remember(connection)
            if answer.status != 200:
                raise _refused(answer.status, body)
            try:
                found: dict[str, Any] = json.loads(body)
            except ValueError as exc:
                raise self._no_answer("what answers there is no Kubernetes API: it sent no JSON") from exc
            return found

    def upgrade(self, method: str, path: str, headers: Mapping[str, str], deadline: float) -> Upgraded:
        """Return a connection on which the server speaks another protocol now. Raises as ``get`` does."""
        connection = self.connect(deadline)
        try:
            lines = [f"{method} {self._address.path}{path} HTTP/1.1", f"Host: {self._address.authority}"]
            lines += [f"{name}: {value}" for name, value in (*self._headers, *headers.items())]
            connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
            answer = http.client.HTTPResponse(_Unbuffered(connection), method=method)  # type: ignore[arg-type]
            answer.begin()
            self._remember(connection)
            if answer.status != 101:
                raise _refused(answer.status, answer.read(_LONGEST_ANSWER))
            return Upgraded(connection, answer.headers)
        except (OSError, http.client.HTTPException) as exc:
            connection.close()
            raise self._no_answer(exc) from exc
        except BaseException:
            connection.close()
            raise

    def connect(self, deadline: float) -> socket.socket:
        """Return a connection to the API server, over TLS if its URL says so, with the time that is left."""
        seconds = max(0.05, min(self._seconds, deadline - time.monotonic()))
        host = self._address.host
        try:
            plain = socket.create_connection((host, self._address.port), timeout=seconds)
        except OSError as exc:
            raise self._no_answer(exc) from exc
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE:
                plain.setsockopt(socket.IPPROTO_TCP, option, value)
            if self._tls is None:
                return plain
            return self._tls.wrap_socket(
                plain, server_hostname=self._login.server_name or host, session=self._last_session()
            )
        except ssl.SSLCertVerificationError as exc:
            plain.close()
            text = f"context '{self._context}': connecting to {self.server}: its certificate cannot be trusted: "
            remedy = "Check the certificate-authority (ansible_kubectl_ca_cert) and the tls-server-name of the cluster."
            raise ForwardError(sentence(text + exc.verify_message, remedy)) from exc
        except OSError as exc:
            plain.close()
            raise self._no_answer(exc) from exc

    def _last_session(self) -> ssl.SSLSession | None:
        with self._lock:
            return self._session

    def _remember(self, connection: socket.socket) -> None:
        """Keep the session of a connection for the next one; with TLS 1.3 it comes after the first answer."""
        if isinstance(connection, ssl.SSLSocket) and (session := connection.session) is not None:
            with self._lock:
                self._session = session

    def _no_answer(self, why: BaseException | str) -> Unreachable:
        if isinstance(why, TimeoutError):
            why = "it did not answer in time"
        elif isinstance(why, OSError):
            why = why.strerror or str(why)
        elif isinstance(why, http.client.HTTPException):
            why = f"it gave no answer that is HTTP ({type(why).__name__})"
        text = f"context '{self._context}': asking {self.server}: {why}"
        return Unreachable(sentence(text, "Check that the API server in the kubeconfig can be reached from here."))


@dataclass(frozen=True)
class Upgraded:
    """A connection that speaks another protocol now."""

    socket: socket.socket
    headers: Message
    """Those of the answer; names in any case."""


class _Unbuffered:
    """Lets http.client read an answer from a connection without a byte of what comes after it."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def makefile(self, _mode: str) -> socket.SocketIO:
        return socket.SocketIO(self._connection, "r")


def _tls(context: str, login: Login) -> ssl.SSLContext:
    try:
        made = ssl.create_default_context(cadata=login.ca) if login.ca else ssl.create_default_context()
        made.set_alpn_protocols(["http/1.1"])
        if not login.verify:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        if login.certificate:
            _use_certificate(made, login.certificate, login.key or "")
    except (ssl.SSLError, ValueError) as exc:
        text = f"context '{context}': reading its credentials: a certificate or key is not usable: {exc}"
        raise ForwardError(sentence(text, "Check those of its kubeconfig.")) from exc
    return made


def _use_certificate(made: ssl.SSLContext, certificate: str, key: str) -> None:
    """Hand over a client's certificate; OpenSSL reads it from a path, so it gets one that is in no folder."""
    fd = nameless_file("certificate", f"{certificate}\n{key}".encode())
    try:
        made.load_cert_chain(f"/dev/fd/{fd}", password=lambda: "")
    finally:
        os.close(fd)


def _refused(code: int, body: bytes) -> Refused:
    """Return what an answer says, which is a Status of the API or just text."""
    reason, message = "", ""
    with contextlib.suppress(ValueError, AttributeError):
        status = json.loads(body)
        reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    text = message or " ".join(body[:300].decode(errors="replace").split()) or http.client.responses.get(code, "")
    return Refused(code, reason, text)
