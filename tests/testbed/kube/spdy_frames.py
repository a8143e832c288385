# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frames of SPDY/3.1, as far as Kubernetes clients use them.

Source: the SPDY Protocol, draft 3.1 (chromium.org/spdy). Windows are left out on purpose: the clients'
library (moby/spdystream) neither sends WINDOW_UPDATE nor heeds it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

_VERSION = 3
_CONTROL = 0x80000000
_FIN = 0x01


class FrameType(IntEnum):
    """The types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7


_HEADER_SIZE = 8
MAX_DATA = 2**24 - 1


def _dictionary() -> bytes:
    """Return the dictionary that header blocks are compressed with (section 2.6.10.1 of the draft)."""
    words = (
        "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
        "age allow authorization cache-control connection content-base content-encoding content-language "
        "content-length content-location content-md5 content-range content-type date etag expect expires from "
        "host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location "
        "max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
        "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version "
        "HTTP/1.1 url public set-cookie keep-alive origin"
    )
    entries = (word.replace("_", " ").encode() for word in words.split())
    rest = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
        "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
        "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
        "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
        "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    return b"".join(struct.pack("!I", len(entry)) + entry for entry in entries) + rest.encode()


DICTIONARY = _dictionary()


class ProtocolError(Exception):
    """The peer does not speak SPDY/3.1."""


@dataclass(frozen=True)
class SynStream:
    """A new stream and its headers, with lower-case names."""

    stream_id: int
    headers: dict[str, str]
    fin: bool


@dataclass(frozen=True)
class Data:
    """Data of a stream; ``fin`` ends that direction."""

    stream_id: int
    data: bytes
    fin: bool


@dataclass(frozen=True)
class RstStream:
    """The end of a stream in both directions."""

    stream_id: int


@dataclass(frozen=True)
class Ping:
    """A ping, or the answer to one."""

    ping_id: int


@dataclass(frozen=True)
class GoAway:
    """The peer opens no more streams."""


Frame = SynStream | Data | RstStream | Ping | GoAway


class FrameParser:
    """Turns bytes into frames; frames of other types (SETTINGS, HEADERS, WINDOW_UPDATE) are skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        # One compression context for all header blocks of a direction.
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """Take bytes; return the frames that are complete now."""
        self._buffer += data
        frames: list[Frame] = []
        start = 0
        while len(self._buffer) - start >= _HEADER_SIZE:
            word, second = struct.unpack_from("!II", self._buffer, start)
            end = start + _HEADER_SIZE + (second & MAX_DATA)
            if len(self._buffer) < end:
                break
            payload = bytes(memoryview(self._buffer)[start + _HEADER_SIZE : end])
            frame = self._frame(word, second >> 24, payload)
            if frame is not None:
                frames.append(frame)
            start = end
        del self._buffer[:start]
        return frames

    def _frame(self, word: int, flags: int, payload: bytes) -> Frame | None:
        if not word & _CONTROL:
            return Data(word, payload, bool(flags & _FIN))
        if (word >> 16) & 0x7FFF != _VERSION:
            raise ProtocolError(f"SPDY version {(word >> 16) & 0x7FFF} is not supported")
        match word & 0xFFFF:
            case FrameType.SYN_STREAM:  # stream, associated stream, priority and slot, headers
                return SynStream(_stream_id(payload), self._headers(payload[10:]), bool(flags & _FIN))
            case FrameType.RST_STREAM:
                return RstStream(_stream_id(payload))
            case FrameType.PING:
                return Ping(int.from_bytes(payload[:4], "big"))
            case FrameType.GOAWAY:
                return GoAway()
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block)
        (count,) = struct.unpack_from("!I", plain)
        position, texts = 4, []
        for _word in range(2 * count):
            (size,) = struct.unpack_from("!I", plain, position)
            texts.append(plain[position + 4 : position + 4 + size].decode("latin-1"))
            position += 4 + size
        return dict(zip(texts[::2], texts[1::2], strict=True))


def _stream_id(payload: bytes) -> int:
    return int.from_bytes(payload[:4], "big") & 0x7FFFFFFF


class FrameWriter:
    """Builds frames; the header compression makes their order matter."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def syn_reply(self, stream_id: int) -> bytes:
        """Accept a stream, without headers."""
        block = self._deflate.compress(struct.pack("!I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(FrameType.SYN_REPLY, struct.pack("!I", stream_id) + block)

    @staticmethod
    def data_header(stream_id: int, size: int, fin: bool = False) -> bytes:
        """Return what stands before ``size`` bytes of data."""
        return struct.pack("!II", stream_id, (_FIN if fin else 0) << 24 | size)

    @staticmethod
    def rst_stream(stream_id: int) -> bytes:
        """End a stream in both directions (status CANCEL)."""
        return _control(FrameType.RST_STREAM, struct.pack("!II", stream_id, 5))

    @staticmethod
    def ping(ping_id: int) -> bytes:
        """Answer a ping."""
        return _control(FrameType.PING, struct.pack("!I", ping_id))

    @staticmethod
    def goaway(last_stream_id: int) -> bytes:
        """Say that no further stream is accepted (status OK)."""
        return _control(FrameType.GOAWAY, struct.pack("!II", last_stream_id, 0))


def _control(kind: FrameType, payload: bytes) -> bytes:
    return struct.pack("!II", _CONTROL | _VERSION << 16 | kind, len(payload)) + payload
