# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of records: a journal while a run goes on, a record once it ended, and nothing that is half of one.

``ID.OWNER.journal`` grows by a line for each event; ``ID.json`` appears whole. A journal whose owner is gone is made
into a record by whoever looks next.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._owner import OWNER, Boot, Fate, fate_of, owner, this_boot
from ._events import Event, EventKind, first, read_events
from ._record import Outcome, Record, record_of

_ID = r"\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{8}"
_RECORD = re.compile(rf"({_ID})\.json", re.ASCII)
_JOURNAL = re.compile(rf"({_ID})\.({OWNER})\.journal", re.ASCII)
_PART = re.compile(rf"\.{_ID}\.({OWNER})\.part", re.ASCII)
_FOREIGN_SECONDS = 7 * 24 * 3600
"""After this time without an event a journal of another machine is taken for abandoned."""

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


def default_directory(environment: Mapping[str, str], home: Path) -> Path:
    """Return where records are kept unless something else is said: below the state home of the XDG specification."""
    state = environment.get("XDG_STATE_HOME", "")
    # the specification wants a relative path to be ignored
    base = Path(state) if state.startswith("/") else home / ".local" / "state"
    return base / "manifold" / "operations"


class Journal:
    """The journal of this process's run. Methods raise OSError if the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = False

    def append(self, event: Event) -> None:
        """Add an event as one whole line."""
        line = event.line().encode()
        # what was written of a line before the disk was full must not swallow the next one
        data = b"\n" + line if self._torn else line
        fd = os.open(self._path, _APPEND)
        try:
            self._torn = True
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            self._torn = False
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove the file, if it is still there."""
        self._path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Journalled:
    """A journal as it was found."""

    id: str
    path: Path
    owner: str
    changed_at: float
    """Seconds since the epoch."""
    events: list[Event]
    lost_events: int

    def is_abandoned(self, boot: Boot, now: float) -> bool:
        """Return whether nobody will finish it."""
        fate = fate_of(self.owner)
        if fate is not Fate.UNKNOWN:
            return fate is Fate.GONE
        start = first(self.events, EventKind.START)
        if start and Boot(start.data.get("machine"), str(start.data.get("boot"))).was_before(boot):
            return True
        return now - self.changed_at > _FOREIGN_SECONDS

    def record(self, unfinished: Outcome) -> Record:
        """Return the record of what it tells."""
        return record_of(self.id, self.events, unfinished, self.lost_events)


class RecordFolder:
    """The files of one folder. Methods raise OSError if the folder cannot be used.

    :param warn: told of a single file that cannot be used.
    """

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        self.directory = directory
        self._warn = warn

    def begin(self, run: str) -> Journal:
        """Make the journal of a run, and the folder if it is missing."""
        _make_private(self.directory)
        path = self.directory / f"{run}.{owner()}.journal"
        os.close(os.open(path, _CREATE, 0o600))
        return Journal(path)

    def write(self, record: Record) -> Path:
        """Put a record in place, whole and on the disk, and return its path."""
        path = self.directory / f"{record['id']}.json"
        part = self.directory / f".{record['id']}.{owner()}.part"
        part.unlink(missing_ok=True)
        fd = os.open(part, _CREATE, 0o600)
        try:
            with os.fdopen(fd, "wb") as stream:
                stream.write(json.dumps(record, indent=2, ensure_ascii=False).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync(self.directory)
        return path

    def journals(self) -> Iterator[Journalled]:
        """Yield the journals of runs that have no record."""
        for path, match in self._files(_JOURNAL):
            try:
                text, changed_at = path.read_text(errors="replace"), path.stat().st_mtime
            except FileNotFoundError:
                continue  # it was finished in this moment
            except OSError as exc:
                self._warn(f"{path}: the journal cannot be read: {exc.strerror}")
                continue
            if not (self.directory / f"{match[1]}.json").exists():
                events, lost = read_events(text)
                yield Journalled(match[1], path, match[2], changed_at, events, lost)

    def records(self) -> Iterator[tuple[str, Path]]:
        """Yield id and path of each record, oldest first."""
        return ((match[1], path) for path, match in self._files(_RECORD))

    def close_abandoned(self) -> list[str]:
        """Make records of the journals that nobody will finish, remove what else dead runs left; return the ids."""
        boot, moment = this_boot(), time.time()
        closed = []
        for journal in list(self.journals()):
            if journal.is_abandoned(boot, moment):
                try:
                    self.write(journal.record(Outcome.INTERRUPTED))
                    journal.path.unlink(missing_ok=True)
                except OSError as exc:
                    self._warn(f"{journal.path}: the journal of a run that is gone cannot be closed: {exc.strerror}")
                    continue
                closed.append(journal.id)
        self._sweep()
        return closed

    def _sweep(self) -> None:
        """Remove what a process left that was killed while it finished or closed a journal."""
        for path, match in [*self._files(_JOURNAL), *self._files(_PART)]:
            finished = path.suffix == ".part" or (self.directory / f"{match[1]}.json").exists()
            if finished and fate_of(match[match.re.groups]) is Fate.GONE:
                path.unlink(missing_ok=True)

    def expire(self, keep: int | None, days: float | None, now: datetime.datetime | None = None) -> list[Path]:
        """Remove the oldest records so that ``keep`` are left, and those that are ``days`` old; return their paths."""
        moment = now or datetime.datetime.now()
        found = list(self.records())
        surplus = len(found) - keep if keep else 0
        limit = f"{moment - datetime.timedelta(days=days):%Y-%m-%d-%H%M%S}" if days else ""
        gone = [path for number, (run, path) in enumerate(found) if number < surplus or run < limit]
        for path in gone:
            path.unlink(missing_ok=True)
        return gone

    def _files(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
        for path in sorted(self.directory.iterdir()):
            match = pattern.fullmatch(path.name)
            if match:
                yield path, match


def load(path: Path) -> Any:
    """Return what a record file holds; raise OSError or ValueError."""
    return json.loads(path.read_bytes())


def _make_private(directory: Path) -> None:
    missing = [directory]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


def _sync(directory: Path) -> None:
    """Write the names in a folder to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
