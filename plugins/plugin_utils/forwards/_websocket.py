# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WebSocket frames (RFC 6455, section 5) as a client sees them: masked ones go out, plain ones come in.

The mask is zero: it is there to keep scripts of web pages from talking to caches (section 10.3), and this stream is
either encrypted or goes nowhere but to an API server.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

LONGEST_HEADER = 14
"""Bytes before the content of a frame of ours, at most."""

_FIN = 0x80
_MASKED = 0x80
_CONTROL = 0x08
_NO_MASK = bytes(4)
_LONGEST_CONTROL = 125


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class WebSocketError(Exception):
    """The server does not keep to the protocol."""


@dataclass(frozen=True, slots=True)
class Control:
    """A whole control frame."""

    opcode: int
    content: bytes


def header(opcode: Opcode, size: int) -> bytes:
    """Return what stands before a message of ``size`` bytes."""
    first = _FIN | opcode
    if size < 126:
        return struct.pack("!BB", first, _MASKED | size) + _NO_MASK
    if size < 1 << 16:
        return struct.pack("!BBH", first, _MASKED | 126, size) + _NO_MASK
    return struct.pack("!BBQ", first, _MASKED | 127, size) + _NO_MASK


def close_frame() -> bytes:
    """Return the frame that ends a connection in order (section 7.4.1: 1000)."""
    return header(Opcode.CLOSE, 2) + struct.pack("!H", 1000)


class Reader:
    """Takes the content out of the frames of a server, in whatever pieces they arrive; borders mean nothing."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._need = 2
        self._left = 0
        self._opcode = 0
        self._control = bytearray()

    def feed(self, received: memoryview) -> Iterator[memoryview | Control]:
        """Yield the content of data frames, which lies in ``received``, and control frames. Raises WebSocketError."""
        at, size = 0, len(received)
        while at < size:
            if self._need:
                taken = min(self._need - len(self._head), size - at)
                self._head += received[at : at + taken]
                at += taken
                if len(self._head) == self._need and not self._needs_more():
                    yield from self._empty()
                continue
            taken = min(self._left, size - at)
            piece = received[at : at + taken]
            at += taken
            self._left -= taken
            if not self._opcode & _CONTROL:
                yield piece
            else:
                self._control += piece
                if not self._left:
                    yield Control(self._opcode, bytes(self._control))
            if not self._left:
                self._next()

    def _needs_more(self) -> bool:
        """Read the header as far as it is here; return whether more of it follows."""
        size = self._head[1] & 0x7F
        extended = {126: 2, 127: 8}.get(size, 0)
        if len(self._head) < 2 + extended:
            self._need = 2 + extended
            return True
        self._opcode = self._head[0] & 0x0F
        self._left = int.from_bytes(self._head[2:], "big") if extended else size
        if self._head[1] & _MASKED or self._head[0] & 0x70:
            raise WebSocketError("a server must neither mask its frames nor use what was not agreed on")
        if self._opcode not in (Opcode.CONTINUATION, Opcode.BINARY, *(code for code in Opcode if code & _CONTROL)):
            raise WebSocketError(f"the server sent a frame of the kind {self._opcode:#x}")
        if self._opcode & _CONTROL and self._left > _LONGEST_CONTROL:
            raise WebSocketError("a control frame is too long")
        self._need = 0
        self._control.clear()
        return False

    def _empty(self) -> Iterator[Control]:
        """Deal with a frame that has no content."""
        if not self._left:
            if self._opcode & _CONTROL:
                yield Control(self._opcode, b"")
            self._next()

    def _next(self) -> None:
        self._head.clear()
        self._need = 2
