# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists too long for memory: unnamed files of this machine that vanish with the process, and sorting by way of them."""

from __future__ import annotations

import heapq
import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

_RUN = 50_000
"""Lines sorted at once."""
_CHUNK = 1 << 18
_PAUSE = 0.02
"""Seconds after which it is looked whether more was written to a spool."""


class Spool:
    """A file without a name. It is written from its start to its end, then read, as often as is needed."""

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by whoever made the spool

    @property
    def path(self) -> str:
        """A path by which other processes of this user can read it while it is open."""
        return f"/proc/{os.getpid()}/fd/{self.file.fileno()}"

    def write(self, line: bytes) -> None:
        """Add to its end."""
        self.file.write(line)

    def write_all(self, lines: Iterable[bytes]) -> None:
        """Add lines to its end."""
        if isinstance(lines, list):
            self.file.write(b"".join(lines))
        else:
            self.file.writelines(lines)

    def written(self) -> int:
        """Return how many bytes are in the file, whoever wrote them; what only this process knows does not count."""
        return os.fstat(self.file.fileno()).st_size

    def is_empty(self) -> bool:
        """Return whether this process has written nothing to it."""
        return self.file.tell() == 0

    def lines(self, start: int = 0) -> Iterator[bytes]:
        """Return its lines, from an offset on. Several may read at the same time."""
        with self.reader() as reader:
            reader.seek(start)
            yield from reader

    def chunks(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Return what it holds, piece by piece, from one offset to another."""
        with self.reader() as reader:
            at = reader.seek(start)
            while data := reader.read(_CHUNK if end is None else min(_CHUNK, end - at)):
                yield data
                at += len(data)

    def find(self, text: bytes) -> int:
        """Return the offset of the first occurrence of a text, -1 if it is not there."""
        before, at = b"", 0
        for chunk in self.chunks():
            found = (before + chunk).find(text)
            if found >= 0:
                return at - len(before) + found
            at += len(chunk)
            before = (before + chunk)[-len(text) :]
        return -1

    def reader(self) -> BinaryIO:
        """Return it opened once more, to be read from its start."""
        self.file.flush()
        return open(f"/proc/self/fd/{self.file.fileno()}", "rb")  # noqa: PTH123 -- closed by who asked

    def rewind(self) -> None:
        """Have all of it in the file, for others to read."""
        self.file.flush()
        self.file.seek(0)

    def close(self) -> None:
        self.file.close()


class Growing:
    """A spool that somebody else still writes to."""

    def __init__(self, spool: Spool, begins: Callable[[], object] = lambda: None) -> None:
        """``begins`` is called when there is something in it."""
        self._spool = spool
        self._begins = begins
        self.whole = threading.Event()
        """Set when nothing more will be written."""

    def chunks(self) -> Iterator[bytes]:
        """Return what it holds, piece by piece, and wait for its end."""
        with self._spool.reader() as reader:
            begun = False
            while True:
                whole = self.whole.is_set()
                if data := reader.read(_CHUNK):
                    if not begun:
                        begun = True
                        self._begins()
                    yield data
                elif whole:
                    return
                else:
                    self.whole.wait(_PAUSE)


def sorted_lines(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Return lines in the order of their bytes: as a list if they are few, else with no more than a part in memory."""
    source = iter(lines)
    part = sorted(itertools.islice(source, _RUN))
    return part if len(part) < _RUN else _merged(part, source)


def _merged(part: list[bytes], source: Iterator[bytes]) -> Iterator[bytes]:
    """Return sorted lines and those that follow in their order."""
    runs: list[Spool] = []
    try:
        while part:
            runs.append(Spool())
            runs[-1].file.writelines(part)
            part = sorted(itertools.islice(source, _RUN))
        yield from heapq.merge(*(run.lines() for run in runs))
    finally:
        for run in runs:
            run.close()
