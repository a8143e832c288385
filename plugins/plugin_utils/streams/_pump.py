# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves what a stage writes to where it is read, and keeps back the mark at its end.

A pump never lets the last MARK_LENGTH bytes of a stream through before its end is known: they may be the mark.
Data is spliced from pipe to pipe without being copied where nobody has to look at it, and read where it is
hashed, captured or written to several readers. A pump never blocks; whoever drives it waits for descriptors
(see _loop.py).
"""

from __future__ import annotations

import abc
import hashlib
import os
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from .._linux import bytes_in_pipe, splice
from ._marker import MARK_LENGTH
from ._throttle import Throttle

CHUNK = 1 << 20
"""The most that is moved at once, in bytes."""


class Hash(Protocol):
    """The part of a hashlib object that a pump uses."""

    def update(self, data: memoryview | bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class Wait(Enum):
    """What a pump waits for after it did what it could."""

    DATA = "data"
    """Its source has nothing to read."""
    SPACE = "space"
    """A target takes nothing more."""
    TIME = "time"
    """Its limit does not let anything through yet."""
    END = "end"
    """Nothing: the source ended."""
    REFUSED = "refused"
    """Nothing: every target was closed by its reader."""


class Pump(abc.ABC):
    """Drives one stream from a non-blocking source pipe; ``moved`` counts the data bytes that were passed on.

    ``hold`` is how many bytes are kept back in ``tail``: the length of a mark, or 0 for a stage that sends none.
    """

    def __init__(self, source: int, hold: int = MARK_LENGTH, throttle: Throttle | None = None) -> None:
        self.source = source
        self.hold = hold
        self.moved = 0
        self.tail = b""
        self._throttle = throttle

    def _allowed(self) -> int:
        """Return how many bytes may be taken from the source now."""
        return CHUNK if self._throttle is None else min(CHUNK, self._throttle.allowed())

    def _spend(self, count: int) -> None:
        if self._throttle is not None:
            self._throttle.spend(count)

    @property
    def targets(self) -> tuple[int, ...]:
        """The descriptors written to."""
        return ()

    @property
    def blocked(self) -> tuple[int, ...]:
        """The descriptors that take nothing more for now, when the pump waits for space."""
        return self.targets

    def drop(self, fd: int) -> None:  # noqa: B027 -- a pump of one target has nothing to go on with
        """Write no more to the target ``fd``."""

    @abc.abstractmethod
    def step(self) -> Wait:
        """Move what can be moved now, and say what it takes to go on."""

    @abc.abstractmethod
    def digest(self) -> str | None:
        """Return the SHA-256 of the bytes passed on, if this pump computes it."""


class _ReadingPump(Pump):
    """A pump that looks at its data."""

    def __init__(self, source: int, hold: int = MARK_LENGTH, throttle: Throttle | None = None) -> None:
        super().__init__(source, hold, throttle)
        self._buffer = bytearray(MARK_LENGTH + CHUNK)
        self._filled = 0  # bytes at the front of the buffer that are not passed on yet

    def _fill(self) -> Wait | None:
        """Read behind what is kept; return what it takes to go on, None if something was read."""
        allowed = self._allowed()
        if allowed <= 0:
            return Wait.TIME
        try:
            count = os.readv(self.source, [memoryview(self._buffer)[self._filled : self._filled + allowed]])
        except BlockingIOError:
            return Wait.DATA
        self._filled += count
        self._spend(count)
        return None if count else Wait.END

    def _keep_from(self, start: int) -> None:
        """Drop what lies before ``start`` and move the rest to the front."""
        rest = self._filled - start
        self._buffer[:rest] = self._buffer[start : self._filled]
        self._filled = rest
        self.tail = bytes(self._buffer[:rest])


class CapturePump(_ReadingPump):
    """Keeps what a last command prints, up to ``limit`` bytes; the rest is counted and dropped."""

    def __init__(self, source: int, limit: int, hold: int = MARK_LENGTH) -> None:
        super().__init__(source, hold)
        self.captured = bytearray()
        self.limit = limit

    def step(self) -> Wait:
        while True:
            waits = self._fill()
            if waits is not None:
                return waits
            ready = self._filled - self.hold
            if ready > 0:
                room = max(0, min(ready, self.limit - len(self.captured)))
                self.captured += self._buffer[:room]
                self.moved += ready
                self._keep_from(ready)
            else:
                self.tail = bytes(self._buffer[: self._filled])

    @property
    def cut(self) -> bool:
        """Whether more was printed than was kept."""
        return self.moved > len(self.captured)

    def digest(self) -> str | None:
        return None


class _Target:
    """One of the pipes a copying pump writes to."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.sent = 0  # bytes at the front of the buffer that went there
        self.open = True


class CopyPump(_ReadingPump):
    """Copies to one or more pipes, at the pace of the slowest, and can compute the SHA-256 of what it passed on.

    A target whose reader closes it is left out; the pump is refused when none is left.
    """

    def __init__(
        self,
        source: int,
        targets: Sequence[int],
        checksum: bool,
        hold: int = MARK_LENGTH,
        throttle: Throttle | None = None,
    ) -> None:
        super().__init__(source, hold, throttle)
        self._targets = [_Target(fd) for fd in targets]
        self._hash: Hash | None = hashlib.sha256() if checksum else None
        self._ready = 0  # bytes at the front of the buffer that may go

    @property
    def targets(self) -> tuple[int, ...]:
        return tuple(target.fd for target in self._targets if target.open)

    @property
    def blocked(self) -> tuple[int, ...]:
        return tuple(target.fd for target in self._targets if target.open and target.sent < self._ready)

    def drop(self, fd: int) -> None:
        for target in self._targets:
            if target.fd == fd:
                target.open = False

    def step(self) -> Wait:
        while True:
            if self._ready:
                self._send()
                if not self.targets:
                    return Wait.REFUSED
                if self.blocked:
                    return Wait.SPACE
                self._next_chunk()
            waits = self._fill()
            if waits is not None:
                return waits
            self._ready = max(0, self._filled - self.hold)
            if not self._ready:
                self.tail = bytes(self._buffer[: self._filled])
            elif self._hash is not None:
                self._hash.update(memoryview(self._buffer)[: self._ready])

    def _send(self) -> None:
        with memoryview(self._buffer) as view:
            for target in self._targets:
                try:
                    while target.open and target.sent < self._ready:
                        target.sent += os.write(target.fd, view[target.sent : self._ready])
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    target.open = False

    def _next_chunk(self) -> None:
        self.moved += self._ready
        self._keep_from(self._ready)
        self._ready = 0
        for target in self._targets:
            target.sent = 0

    def digest(self) -> str | None:
        return self._hash.hexdigest() if self._hash is not None else None


class SplicePump(Pump):
    """Moves pages from pipe to pipe; only the bytes held back are ever read."""

    def __init__(self, source: int, target: int, hold: int = MARK_LENGTH, throttle: Throttle | None = None) -> None:
        super().__init__(source, hold, throttle)
        self._target = target
        self._pending = b""  # bytes once held back that turned out to be data

    @property
    def targets(self) -> tuple[int, ...]:
        return (self._target,)

    def step(self) -> Wait:
        try:
            while True:
                while self._pending:
                    self._write_pending()
                waits = self._advance()
                if waits is not None:
                    return waits
        except BlockingIOError:
            return Wait.SPACE
        except BrokenPipeError:
            return Wait.REFUSED

    def _advance(self) -> Wait | None:
        available = bytes_in_pipe(self.source)
        if available > self.hold:
            if self.tail:
                self._pending, self.tail = self.tail, b""
                return None
            allowed = self._allowed()
            if allowed <= 0:
                return Wait.TIME
            count = splice(self.source, self._target, min(available - self.hold, allowed))
            self.moved += count
            self._spend(count)
            return None
        try:
            data = os.read(self.source, MARK_LENGTH)
        except BlockingIOError:
            return Wait.DATA
        if not data:
            return Wait.END
        kept = self.tail + data
        cut = max(0, len(kept) - self.hold)
        self._pending, self.tail = kept[:cut], kept[cut:]
        return None

    def _write_pending(self) -> None:
        count = os.write(self._target, self._pending)
        self._pending = self._pending[count:]
        self.moved += count

    def digest(self) -> str | None:
        return None
