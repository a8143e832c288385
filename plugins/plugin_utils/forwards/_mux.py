# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The language in which ssh is asked to do something over a connection that another ssh holds.

It is OpenSSH's own, between ``ssh -S SOCKET`` and the master that listens there; see the file PROTOCOL.mux of its
sources. Its version 4 is spoken by every OpenSSH since 5.4 (2010). Two things are asked for: a channel to a port, whose
bytes go through descriptors that are handed over, and a port that listens at the far end. Both are answered for that
one request, which no listener of ``ssh -L`` can do: there a refusal looks like a connection that ends at once.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
import time

_VERSION = 4
_HELLO = 0x00000001
_ALIVE_CHECK, _OPEN_FORWARD, _NEW_STDIO_FORWARD = 0x10000004, 0x10000006, 0x10000008
_OK, _PERMISSION_DENIED, _FAILURE = 0x80000001, 0x80000002, 0x80000003
_ALIVE, _SESSION_OPENED, _REMOTE_PORT = 0x80000005, 0x80000006, 0x80000007
_REMOTE = 2
_UNIX_SOCKET = (1 << 32) - 2
"""Stands for a port where the host is the path of a Unix socket."""
_MAX_MESSAGE = 1 << 18


class Refused(Exception):
    """The master could not do what it was asked; the text is its own."""


class MuxError(ConnectionError):
    """There is no master any more, or it speaks another language."""


class MuxConnection:
    """A connection to a master. One request at a time; not to be shared by threads.

    Every method raises MuxError if the master is gone and TimeoutError at its ``deadline`` (time.monotonic).
    """

    def __init__(self, path: str, deadline: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._request = 0
        try:
            self._connect(path, deadline)
            self._send(struct.pack(">II", _HELLO, _VERSION), deadline)
            kind, body = self._receive(deadline)
            if kind != _HELLO or struct.unpack_from(">I", body) != (_VERSION,):
                raise MuxError("ssh speaks another version of its own multiplexing protocol")
        except BaseException:
            self._socket.close()
            raise

    def _connect(self, path: str, deadline: float) -> None:
        # while the backlog of a Unix socket is full only a blocking connect waits, for SO_SNDTIMEO at most
        seconds = max(0.001, deadline - time.monotonic())
        timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        try:
            self._socket.connect(path)
        except BlockingIOError as exc:
            raise TimeoutError("ssh does not answer") from exc
        except OSError as exc:
            raise MuxError(str(exc)) from exc

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when the channel of this connection, or the master, has ended."""
        return self._socket.fileno()

    def open_channel(self, host: str, port: int, source: int, target: int, deadline: float) -> int:
        """Connect to a port as the far end sees it; return when it has accepted, raise Refused if it does not.

        What ssh then reads from the descriptor ``source`` goes there, and what comes from there goes to ``target``. It
        has duplicates of both. The channel ends with this connection. Returns the number that ssh has given it.
        """
        request = self._next(_NEW_STDIO_FORWARD) + _string("") + _string(host) + struct.pack(">I", port)
        self._send(request, deadline)
        try:
            for fd in (source, target):
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
                self._socket.sendmsg([b"\0"], ancillary)
        except TimeoutError:
            raise
        except OSError as exc:
            raise MuxError(str(exc)) from exc
        answer = self._answer(_SESSION_OPENED, deadline)
        number: int = struct.unpack_from(">I", answer, 4)[0]
        return number

    def listen(self, bind: str, port: int, path: str, deadline: float) -> int:
        """Let the far end listen on a port; what connects there is connected to the Unix socket ``path`` here.

        Returns the port: the one that was allocated if ``port`` is 0. Raises Refused if it cannot be.
        """
        request = self._next(_OPEN_FORWARD) + struct.pack(">I", _REMOTE) + _string(bind)
        request += struct.pack(">I", port) + _string(path) + struct.pack(">I", _UNIX_SOCKET)
        self._send(request, deadline)
        answer = self._answer(_REMOTE_PORT if port == 0 else _OK, deadline)
        allocated: int = struct.unpack_from(">I", answer, 4)[0] if port == 0 else port
        return allocated

    def check(self, deadline: float) -> None:
        """Return if the master answers."""
        self._send(self._next(_ALIVE_CHECK), deadline)
        self._answer(_ALIVE, deadline)

    def await_answer(self, deadline: float) -> None:
        """Wait for the answer to a request that was given up."""
        self._receive(deadline)

    def shutdown(self) -> None:
        """End the connection and its channel, from any thread; it is still to be closed."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection and its channel."""
        self._socket.close()

    def _next(self, kind: int) -> bytes:
        self._request += 1
        return struct.pack(">II", kind, self._request)

    def _answer(self, expected: int, deadline: float) -> bytes:
        kind, body = self._receive(deadline)
        if kind in (_FAILURE, _PERMISSION_DENIED):
            raise Refused(_text(body, 4))
        if kind != expected:
            raise MuxError(f"ssh answered a request with {kind:#x}")
        return body

    def _send(self, message: bytes, deadline: float) -> None:
        self._limit(deadline)
        try:
            self._socket.sendall(struct.pack(">I", len(message)) + message)
        except TimeoutError:
            raise
        except OSError as exc:
            raise MuxError(str(exc)) from exc

    def _receive(self, deadline: float) -> tuple[int, bytes]:
        length = struct.unpack(">I", self._read(4, deadline))[0]
        if not 4 <= length <= _MAX_MESSAGE:
            raise MuxError(f"ssh sent a message of {length} bytes")
        message = self._read(length, deadline)
        return struct.unpack_from(">I", message)[0], message[4:]

    def _read(self, count: int, deadline: float) -> bytes:
        data = b""
        while len(data) < count:
            self._limit(deadline)
            try:
                more = self._socket.recv(count - len(data))
            except TimeoutError:
                raise
            except OSError as exc:
                raise MuxError(str(exc)) from exc
            if not more:
                raise MuxError("ssh has ended")
            data += more
        return data

    def _limit(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("ssh does not answer")
        self._socket.settimeout(left)


def _string(text: str) -> bytes:
    data = text.encode(errors="surrogateescape")
    return struct.pack(">I", len(data)) + data


def _text(body: bytes, at: int) -> str:
    length = struct.unpack_from(">I", body, at)[0]
    return body[at + 4 : at + 4 + length].decode(errors="replace")
