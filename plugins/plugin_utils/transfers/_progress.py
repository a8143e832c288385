# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transfer says of itself while it runs: bytes and files out of all there are, or what it does else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..operations._progress import Flow, Meter, Watcher
from ..streams._spec import Step

_BLOCK = 512
"""Bytes of a record of an archive (ustar, pax(1)): a member begins with one, and its content fills whole ones."""
_SHORT_NAME = 100
"""Bytes of a name up to which an archive needs no records more for it."""


@dataclass(frozen=True)
class Member:
    """What is sent for one entry."""

    name: int
    """The bytes of its name."""
    size: int
    """The bytes of its content."""
    is_file: bool


class Position:
    """Tells how far an archive is, in files and in bytes of their content, by the bytes of it that have passed.

    That is exact for the members in their order without holes; with holes, less has to pass than is reckoned.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self._members: Iterator[Member] = iter(members)
        self._current: Member | None = next(self._members, None)
        self._begins = 0
        self._files = 0
        self._bytes = 0

    def at(self, moved: int) -> tuple[int, int]:
        """Return the files that have passed and the bytes of content, with ``moved`` bytes; it never gets less."""
        while self._current is not None and self._begins + _length(self._current) <= moved:
            self._begins += _length(self._current)
            self._files += self._current.is_file
            self._bytes += self._current.size
            self._current = next(self._members, None)
        part = 0
        if self._current is not None:
            part = min(max(0, moved - self._begins - _head(self._current)), self._current.size)
        return self._files, self._bytes + part


def _head(member: Member) -> int:
    long = member.name > _SHORT_NAME
    return _BLOCK + (_BLOCK + -(-(member.name + 1) // _BLOCK) * _BLOCK if long else 0)


def _length(member: Member) -> int:
    return _head(member) + -(-member.size // _BLOCK) * _BLOCK


class Progress:
    """Follows the pipelines of a transfer, one after the other."""

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter
        self._open: Callable[[], Iterable[Member]] | None = None
        self._files = 0
        self._size = 0

    def expect(self, files: int, size: int, members: Callable[[], Iterable[Member]]) -> None:
        """Say what the next pipeline that moves data sends as an archive: files, their bytes, and member by member."""
        self._open, self._files, self._size = members, files, size

    def of(self, steps: Sequence[Step], *, moves: bool) -> Watcher | None:
        """Return what watches a pipeline; None if nobody wants to know."""
        if self._meter is None:
            return None
        if not moves:
            return _Doing(self._meter, ", ".join(step.name for step in steps if step.command is not None))
        if self._open is None:
            return _Moving(self._meter)
        members, self._open = self._open, None
        return _Sending(self._meter, Position(members()), self._files, self._size)

    def finish(self) -> None:
        """Take away what was shown."""
        if self._meter is not None:
            self._meter.finish()


class _Moving:
    """Shows streams as they are."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def look(self, flows: Callable[[], Sequence[Flow]]) -> None:
        self._meter.look(flows)

    def finish(self) -> None:
        """Leave it on the screen: the next pipeline writes over it."""


class _Doing(_Moving):
    """Shows what runs, where nothing moves that a user would count."""

    def __init__(self, meter: Meter, what: str) -> None:
        super().__init__(meter)
        self._what = what

    def look(self, flows: Callable[[], Sequence[Flow]]) -> None:
        del flows
        self._meter.say(self._what)


class _Sending(_Moving):
    """Shows archives, as one, as the files that are in them."""

    def __init__(self, meter: Meter, position: Position, files: int, size: int) -> None:
        super().__init__(meter)
        self._position = position
        self._files = files
        self._size = size

    def look(self, flows: Callable[[], Sequence[Flow]]) -> None:
        self._meter.look(lambda: self._read(flows()))

    def _read(self, flows: Sequence[Flow]) -> list[Flow]:
        if not flows:
            return []
        files, moved = self._position.at(sum(flow.moved for flow in flows))
        more = f"{files:,} of {self._files:,} files"
        return [replace(flows[0], moved=moved, total=self._size, more=more, name="")]
