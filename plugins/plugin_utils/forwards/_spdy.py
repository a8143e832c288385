# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SPDY/3.1 as a client of Kubernetes needs it: making frames, and reading them as they arrive.

Source: the SPDY protocol, draft 3.1 (chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1). Kubernetes uses it
without flow control (its library, moby/spdystream, neither sends WINDOW_UPDATE nor heeds it), so the brake on a
connection is that of TCP, and each forwarded connection has one of its own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

FRAME_HEADER = 8
"""Bytes before the content of a frame."""

_CONTROL = 0x80000000
_VERSION = 3
_FIN = 1
_LENGTH = 0xFFFFFF
_STREAM = 0x7FFFFFFF
_LONGEST_CONTROL = 1 << 20
"""No control frame of a port-forward comes near it: a peer that announces more does not speak SPDY."""
_CANCEL = 5


class SpdyError(Exception):
    """The peer does not speak SPDY/3.1."""


class Kind(IntEnum):
    """What a control frame is."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


def _sized(*words: str) -> bytes:
    return b"".join(struct.pack("!I", len(word)) + word.encode() for word in words)


_METHODS = ("options", "head", "post", "put", "delete", "trace")
_ACCEPTS = ("accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges")
_GENERAL = ("age", "allow", "authorization", "cache-control", "connection")
_CONTENTS = tuple(
    f"content-{what}" for what in ("base", "encoding", "language", "length", "location", "md5", "range", "type")
)
_REQUEST = ("date", "etag", "expect", "expires", "from", "host")
_CONDITIONS = ("if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since")
_RESPONSE = ("last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization")
_TRAILING = ("range", "referer", "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade")
_ENDING = ("user-agent", "vary", "via", "warning", "www-authenticate", "method", "get", "status", "200 OK")
_SPDY_OWN = ("version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_STATUSES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
)
_DATES = "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
_VALUES = (
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
_DICTIONARY = (
    _sized(*_METHODS, *_ACCEPTS, *_GENERAL, *_CONTENTS, *_REQUEST, *_CONDITIONS)
    + _sized(*_RESPONSE, *_TRAILING, *_ENDING, *_SPDY_OWN)
    + (_STATUSES + _DATES + _VALUES).encode()
)
"""What header blocks are compressed against (section 2.6.10.1); every byte counts."""


class Writer:
    """Makes the frames of one connection. Header blocks share one compression, so they must be sent as made."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=_DICTIONARY)

    def syn_stream(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """Open a stream; names of headers are lower case."""
        block = struct.pack("!I", len(headers)) + _sized(*(word for pair in headers.items() for word in pair))
        packed = self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        # stream, no associated stream, priority and slot
        return control(Kind.SYN_STREAM, struct.pack("!IIBB", stream, 0, 0, 0) + packed)


def control(kind: Kind, content: bytes) -> bytes:
    """Return a control frame without flags."""
    return struct.pack("!II", _CONTROL | _VERSION << 16 | kind, len(content)) + content


def data_header(stream: int, size: int) -> bytes:
    """Return what stands before ``size`` bytes of data."""
    return struct.pack("!II", stream, size)


def fin(stream: int) -> bytes:
    """End this direction of a stream."""
    return struct.pack("!II", stream, _FIN << 24)


def cancel(stream: int) -> bytes:
    """End both directions of a stream at once."""
    return control(Kind.RST_STREAM, struct.pack("!II", stream, _CANCEL))


def ping(number: int) -> bytes:
    """Ask for an answer (odd numbers are the client's), or give it."""
    return control(Kind.PING, struct.pack("!I", number))


@dataclass(frozen=True, slots=True)
class Data:
    """A part of a data frame; ``fin`` ends that direction of the stream. It holds as long as the buffer it lies in."""

    stream: int
    content: memoryview
    fin: bool


@dataclass(frozen=True, slots=True)
class Control:
    """A whole control frame. ``number`` is what it is about: the stream, or the number of a ping."""

    kind: int
    number: int
    fin: bool = False


_NOTHING = memoryview(b"")


class Reader:
    """Turns what arrives into events, in whatever pieces it comes; data is handed on without waiting for its end."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._stream = 0
        self._fin = False
        self._control: bytearray | None = None
        self._kind = 0

    def feed(self, received: memoryview) -> Iterator[Data | Control]:
        """Yield what ``received`` completes; take all of it before the next call. Raises SpdyError."""
        at, size = 0, len(received)
        while at < size or (self._left == 0 and self._in_frame):
            if not self._in_frame:
                taken = min(FRAME_HEADER - len(self._head), size - at)
                self._head += received[at : at + taken]
                at += taken
                if len(self._head) == FRAME_HEADER:
                    self._begin()
                continue
            taken = min(self._left, size - at)
            piece = received[at : at + taken] if taken else _NOTHING
            at += taken
            self._left -= taken
            if self._control is None:
                if taken or self._fin:
                    yield Data(self._stream, piece, self._fin and not self._left)
            else:
                self._control += piece
                if not self._left:
                    yield self._whole(bytes(self._control))
            if not self._left:
                self._head.clear()

    @property
    def _in_frame(self) -> bool:
        return len(self._head) == FRAME_HEADER

    def _begin(self) -> None:
        word, rest = struct.unpack("!II", self._head)
        self._left = rest & _LENGTH
        self._fin = bool(rest >> 24 & _FIN)
        if not word & _CONTROL:
            self._stream, self._control = word, None
            return
        if word >> 16 & 0x7FFF != _VERSION or self._left > _LONGEST_CONTROL:
            raise SpdyError("what the server sends is not SPDY/3.1")
        self._kind, self._control = word & 0xFFFF, bytearray()

    def _whole(self, content: bytes) -> Control:
        number = int.from_bytes(content[:4], "big")
        return Control(self._kind, number if self._kind == Kind.PING else number & _STREAM, self._fin)
