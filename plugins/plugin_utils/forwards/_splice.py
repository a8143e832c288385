# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves bytes between sockets and pipes without copying them: one direction of a connection, and both together."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Protocol

from .._linux import PIPE_SIZE, splice

_CHUNK = 1 << 20
_TURNS = 16
"""How often one direction may go on before the other one has its turn."""
_LONG = 1 << 20
"""Bytes after which a direction is worth a large pipe."""


class LargePipes:
    """Makes the pipes of long streams large, which saves a third of the time; a few at a time.

    A user's pipes may have 64 MiB together, unless the system says otherwise (pipe-user-pages-soft, pipe(7)); a process
    that took it all would leave other programs of the user with pipes of a page or two.
    """

    def __init__(self, most: int = 16) -> None:
        self._left = threading.BoundedSemaphore(most)

    def take(self, fd: int) -> bool:
        """Make a pipe large, if it can be; whoever was told so gives it back."""
        if not self._left.acquire(blocking=False):
            return False
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        return True

    def give_back(self) -> None:
        """Tell that a large pipe was closed, or will be at once."""
        self._left.release()


class Moving(Protocol):
    """One direction, as ``relay`` sees it."""

    target: int
    """The descriptor it ends at."""
    done: bool
    moved: int
    """Bytes that were moved since somebody set this to 0."""

    @property
    def awaits(self) -> tuple[int, int]:
        """The descriptor it waits for, and the event."""

    def advance(self) -> None:
        """Do what can be done now; raise OSError if an end is broken."""


class Flow:
    """One direction, from a descriptor to another; one of them is a pipe, or ``through`` is one (read, write end).

    Descriptors of sockets must not block. ``ended`` passes the end of the source on to the target. ``pipe`` is made
    large once the stream is a long one; who relays calls ``close`` at last.
    """

    def __init__(
        self,
        source: int,
        target: int,
        ended: Callable[[], None],
        pipe: tuple[int, LargePipes],
        through: tuple[int, int] | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.done = False
        self.moved = 0
        """Bytes that were moved since somebody set this to 0."""
        self._ended = ended
        self._through = through
        self._held = 0
        self._blocked = False
        self._until_long = _LONG
        self._pipe, self._large = pipe
        self._is_large = False
        self._look = select.poll()
        self._look.register(source, select.POLLIN)

    @property
    def awaits(self) -> tuple[int, int]:
        """The descriptor it waits for, and the event."""
        return (self.target, select.POLLOUT) if self._blocked else (self.source, select.POLLIN)

    def close(self) -> None:
        """Give back what is limited."""
        if self._is_large:
            self._large.give_back()
            self._is_large = False

    def advance(self) -> None:
        """Move what can be moved now; raise OSError if an end is broken."""
        if self._until_long > 0:
            self._until_long -= self._advance()
            if self._until_long <= 0:
                self._is_large = self._large.take(self._pipe)
        else:
            self._advance()

    def _advance(self) -> int:
        before = self.moved
        for _turn in range(_TURNS):
            try:
                count = self._move() if self._through is None else self._move_through(*self._through)
            except BlockingIOError:
                break
            if count == 0:
                self.finish()
                break
        return self.moved - before

    def finish(self) -> None:
        """Pass on that nothing more comes; raise OSError if that is not true."""
        self.done = True
        self._ended()

    def _move(self) -> int:
        try:
            count = splice(self.source, self.target, _CHUNK)
        except BlockingIOError:
            # either the source is empty or the target full
            self._blocked = bool(self._look.poll(0))
            raise
        self.moved += count
        self._blocked = False
        return count

    def _move_through(self, read_end: int, write_end: int) -> int:
        self._blocked = False
        if not self._held:
            self._held = splice(self.source, write_end, _CHUNK)
            if not self._held:
                return 0
        self._blocked = True
        count = splice(read_end, self.target, self._held)
        self._held -= count
        self.moved += count
        return count


class Pace:
    """Lets a stream that comes in small pieces gather: each piece by itself costs two programs a change of context.

    Only pieces of some size that come at once, many in a row, are a stream; question and answer are not kept waiting.
    """

    _PIECE, _ENOUGH = 8 << 10, 128 << 10
    _AT_ONCE, _NAP = 0.001, 0.0005
    _MANY = 16

    def __init__(self) -> None:
        self._row = 0

    def note(self, waited: float, moved: int) -> None:
        """Take note of what was moved after waiting for it so many seconds, and rest if more at once is better."""
        self._row = self._row + 1 if waited < self._AT_ONCE and moved >= self._PIECE else 0
        if self._row >= self._MANY and moved < self._ENOUGH:
            time.sleep(self._NAP)


def relay(ask: Flow, answer: Moving, count: Callable[[int, int], None], half_open: float) -> None:
    """Move both directions until both have ended: ``ask`` comes from who connected, ``answer`` goes there.

    When the answer has ended, who asked is given up once it was silent for ``half_open`` seconds. ``count`` is told
    what was moved, asked and answered, since it was told last. Raises OSError if a connection was cut.
    """
    pace = Pace()
    while not (ask.done and answer.done):
        began = time.monotonic()
        ready = _await(ask, answer, half_open * 1000 if answer.done else None)
        waited = time.monotonic() - began
        if not ready:
            ask.finish()
        try:
            if not ask.done and ask.awaits[0] in ready:
                _advance(ask)
            if not answer.done and answer.awaits[0] in ready:
                answer.advance()
        finally:
            if moved := ask.moved + answer.moved:
                count(ask.moved, answer.moved)
                ask.moved = answer.moved = 0
        pace.note(waited, moved)


def _await(ask: Flow, answer: Moving, milliseconds: float | None) -> dict[int, int]:
    """Return the descriptors that something happened to; raise ConnectionResetError if who asked is gone."""
    events: dict[int, int] = {}
    moving: tuple[Moving, ...] = (ask, answer)
    for flow in moving:
        if not flow.done:
            fd, event = flow.awaits
            events[fd] = events.get(fd, 0) | event
    if ask.done:
        # it may break while there is nothing for it: poll tells without being asked
        events.setdefault(answer.target, 0)
    poller = select.poll()
    for fd, event in events.items():
        poller.register(fd, event)
    ready = dict(poller.poll(milliseconds))
    if ask.done and ready.get(answer.target, 0) & (select.POLLERR | select.POLLHUP):
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    return ready


def _advance(ask: Flow) -> None:
    """Move what is asked. A far end that takes nothing more ends that direction only."""
    try:
        ask.advance()
    except OSError as exc:
        if exc.errno != errno.EPIPE:
            raise
        ask.finish()


def close_all(fds: list[int]) -> None:
    """Close the descriptors, once."""
    while fds:
        os.close(fds.pop())
