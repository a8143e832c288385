# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves what a stage writes to where it is read, and keeps back the mark at its end.

A pump lets nothing through that may turn out to be the mark, which begins with a byte of its own and ends with the
stream. Data goes from pipe to pipe without being copied, and what is hashed is read once on its way; it is copied
where it is captured, buffered or written to several readers. A pump never blocks; whoever drives it waits for
descriptors (see _loop.py).
"""

from __future__ import annotations

import abc
import hashlib
import mmap
import os
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from .._linux import bytes_in_pipe, make_pipe, splice, tee
from ._marker import MARK_LENGTH, held_back
from ._throttle import Throttle

CHUNK = 1 << 20
"""The most that is moved at once, in bytes."""

_LOOK = 1 << 17
"""Bytes that are read at once to be hashed: they stay in the processor's cache."""

_TURNS = 16
"""How often a pump may go round before it lets others have their turn."""


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
    MORE = "more"
    """Nothing: it stopped to let others have their turn."""
    END = "end"
    """Nothing: the source ended."""
    REFUSED = "refused"
    """Nothing: every target was closed by its reader."""


class Pump(abc.ABC):
    """Drives one stream from a non-blocking source pipe; ``moved`` counts the data bytes that were passed on.

    ``hold`` is how many bytes are kept back: the length of a mark, or 0 for a stage that sends none.
    """

    def __init__(self, source: int, hold: int = MARK_LENGTH, throttle: Throttle | None = None) -> None:
        self.source = source
        self.hold = hold
        self.moved = 0
        self.captured = bytearray()
        """What was kept of the data, by a pump that does not pass it on."""
        self._tail = b""
        self._throttle = throttle

    @property
    def tail(self) -> bytes:
        """The last bytes seen, kept back because they may be the mark."""
        return self._tail

    def _held(self, seen: bytes) -> int:
        """Return how many of the last bytes seen have to be kept back."""
        return held_back(seen) if self.hold else 0

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
        """The targets that there is something for and that take nothing more now."""
        return ()

    def passed_to(self, fd: int) -> int:
        """Return how many bytes of the stream went to the target ``fd``."""
        del fd
        return self.moved

    def drop(self, fd: int) -> None:  # noqa: B027 -- not every pump writes to somebody
        """Write no more to the target ``fd``."""

    @abc.abstractmethod
    def step(self) -> Wait:
        """Move what can be moved now, and say what it takes to go on."""

    @abc.abstractmethod
    def digest(self) -> str | None:
        """Return the SHA-256 of the bytes passed on, if this pump computes it."""

    def close(self) -> None:  # noqa: B027 -- not every pump has something of its own
        """Close what the pump itself has opened; it may be called twice."""


class CapturePump(Pump):
    """Keeps what a last command prints, up to ``limit`` bytes; the rest is counted and dropped."""

    def __init__(self, source: int, limit: int, hold: int = MARK_LENGTH, throttle: Throttle | None = None) -> None:
        super().__init__(source, hold, throttle)
        self.limit = limit

    def step(self) -> Wait:
        for _turn in range(_TURNS):
            allowed = self._allowed()
            if allowed <= 0:
                return Wait.TIME
            try:
                data = os.read(self.source, min(1 << 16, allowed))
            except BlockingIOError:
                return Wait.DATA
            if not data:
                return Wait.END
            self._spend(len(data))
            seen = self._tail + data
            ready = len(seen) - self._held(seen)
            self.captured += seen[: max(0, min(ready, self.limit - len(self.captured)))]
            self.moved += ready
            self._tail = seen[ready:]
        return Wait.MORE

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
        self.sent = 0  # bytes of the stream that went there
        self.open = True


class CopyPump(Pump):
    """Copies to one or more pipes through a buffer, and can compute the SHA-256 of what it passes on.

    It reads ahead of the slowest target by what the buffer holds. A target whose reader closes it is left out; the
    pump is refused when none is left. Offsets count from the start of the stream; the buffer is a ring.
    """

    def __init__(
        self,
        source: int,
        targets: Sequence[int],
        checksum: bool,
        hold: int = MARK_LENGTH,
        throttle: Throttle | None = None,
        capacity: int = 2 * CHUNK,
    ) -> None:
        super().__init__(source, hold, throttle)
        self._targets = [_Target(fd) for fd in targets]
        self._hash: Hash | None = hashlib.sha256() if checksum else None
        self._hashed = 0
        self._capacity = max(capacity, 2 * MARK_LENGTH)
        # pages that are never touched cost nothing
        self._ring = memoryview(mmap.mmap(-1, self._capacity))
        self._read = 0
        self._ready = 0  # the offset up to which bytes may go
        self._ended = False

    @property
    def targets(self) -> tuple[int, ...]:
        return tuple(target.fd for target in self._targets if target.open)

    @property
    def blocked(self) -> tuple[int, ...]:
        return tuple(target.fd for target in self._targets if target.open and target.sent < self._ready)

    def passed_to(self, fd: int) -> int:
        return next((target.sent for target in self._targets if target.fd == fd), self.moved)

    def drop(self, fd: int) -> None:
        for target in self._targets:
            if target.fd == fd:
                target.open = False

    def step(self) -> Wait:
        for _turn in range(_TURNS):
            self._send()
            if not self.targets:
                return Wait.REFUSED
            self.moved = min(target.sent for target in self._targets if target.open)
            if self._ended:
                return Wait.SPACE if self.blocked else Wait.END
            room = self._capacity - (self._read - self.moved)
            if room == 0:
                return Wait.SPACE
            waits = self._fill(room)
            if waits is Wait.END:
                self._ended = True
            elif waits is not None:
                return waits
        return Wait.MORE

    def _fill(self, room: int) -> Wait | None:
        """Read into the free part of the buffer; return what it takes to go on, None if something was read."""
        allowed = min(room, self._allowed())
        if allowed <= 0:
            return Wait.TIME
        try:
            count = os.readv(self.source, self._slices(self._read, self._read + allowed))
        except BlockingIOError:
            return Wait.DATA
        self._read += count
        self._spend(count)
        last = b"".join(self._slices(max(self._ready, self._read - self.hold), self._read))
        self._ready = self._read - self._held(last)
        if self._hash is not None:
            for part in self._slices(self._hashed, self._ready):
                self._hash.update(part)
        self._hashed = self._ready
        return None if count else Wait.END

    def _send(self) -> None:
        for target in self._targets:
            try:
                while target.open and target.sent < self._ready:
                    target.sent += os.writev(target.fd, self._slices(target.sent, self._ready))
            except BlockingIOError:
                continue
            except BrokenPipeError:
                target.open = False

    def _slices(self, start: int, end: int) -> list[memoryview]:
        """Return the one or two parts of the ring that hold the stream from ``start`` to ``end``."""
        if start == end:
            return []
        first, last = start % self._capacity, end % self._capacity
        if first < last:
            return [self._ring[first:last]]
        return [self._ring[first:], self._ring[:last]] if last else [self._ring[first:]]

    @property
    def tail(self) -> bytes:
        return b"".join(self._slices(self._ready, self._read))

    def digest(self) -> str | None:
        return self._hash.hexdigest() if self._hash is not None else None


class SplicePump(Pump):
    """Moves pages from pipe to pipe; only the bytes held back are ever taken out of them.

    What has to be hashed is read from a pipe of the pump's own, which gets the same pages (tee(2)) before the target
    gets them.
    """

    def __init__(
        self, source: int, target: int, checksum: bool, hold: int = MARK_LENGTH, throttle: Throttle | None = None
    ) -> None:
        super().__init__(source, hold, throttle)
        self._target = target
        self._dropped = False
        self._pending = b""  # bytes once held back that turned out to be data
        self._full = False
        self._look = _Look() if checksum else None
        self._seen = 0  # bytes that are hashed and still in the source

    @property
    def targets(self) -> tuple[int, ...]:
        return () if self._dropped else (self._target,)

    @property
    def blocked(self) -> tuple[int, ...]:
        return (self._target,) if self._full else ()

    def drop(self, fd: int) -> None:
        self._dropped = self._dropped or fd == self._target

    def step(self) -> Wait:
        self._full = False
        if self._dropped:
            return Wait.REFUSED
        try:
            for _turn in range(_TURNS):
                while self._pending:
                    self._write_pending()
                waits = self._advance()
                if waits is not None:
                    return waits
        except BlockingIOError:
            self._full = True
            return Wait.SPACE
        except BrokenPipeError:
            return Wait.REFUSED
        return Wait.MORE

    def _advance(self) -> Wait | None:
        allowed = self._allowed()
        if allowed <= 0:
            return Wait.TIME
        available = bytes_in_pipe(self.source)
        if available > self.hold:
            if self._tail:
                self._pending, self._tail = self._tail, b""
            else:
                self._pass_on(min(available - self.hold, allowed))
            return None
        try:
            data = os.read(self.source, min(MARK_LENGTH, allowed))
        except BlockingIOError:
            return Wait.DATA
        if not data:
            return Wait.END
        self._spend(len(data))
        kept = self._tail + data
        cut = len(kept) - self._held(kept)
        self._pending, self._tail = kept[:cut], kept[cut:]
        return None

    def _pass_on(self, count: int) -> None:
        if self._look is not None:
            if self._seen == 0:
                self._seen = self._look.at(self.source, count)
            count = self._seen
        moved = splice(self.source, self._target, count)
        self._seen = max(0, self._seen - moved)
        self.moved += moved
        self._spend(moved)

    def _write_pending(self) -> None:
        count = os.write(self._target, self._pending)
        if self._look is not None:
            self._look.digest.update(self._pending[:count])
        self._pending = self._pending[count:]
        self.moved += count

    def digest(self) -> str | None:
        return None if self._look is None else self._look.digest.hexdigest()

    def close(self) -> None:
        if self._look is not None:
            self._look.close()


class _Look:
    """Hashes what is in a pipe and leaves it there."""

    def __init__(self) -> None:
        self.digest: Hash = hashlib.sha256()
        self._pipe = make_pipe()
        self._open = True
        self._view = memoryview(bytearray(_LOOK))

    def at(self, source: int, count: int) -> int:
        """Hash up to ``count`` of the next bytes of ``source``, and return how many."""
        read_end, write_end = self._pipe
        seen = left = tee(source, write_end, count)
        while left:
            got = os.readv(read_end, [self._view[:left]])
            self.digest.update(self._view[:got])
            left -= got
        return seen

    def close(self) -> None:
        if self._open:
            self._open = False
            for fd in self._pipe:
                os.close(fd)
