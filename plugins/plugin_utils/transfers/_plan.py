# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares two manifests: what has to be sent, changed and deleted so that the destination is as the source.

Both are read once, side by side, and what is found goes into spools: neither manifest, nor what is to be done, is
held in memory. What is, is one entry for each directory above the current one, and one for each file that has several
names in the source.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from ._manifest import (
    Entry,
    Kind,
    are_alike,
    from_line,
    is_plain_file,
    key,
    key_of,
    name_of,
    path_of,
    plain_files,
    to_line,
)
from ._spool import Spool

_AT_ONCE = 4096
"""Lines of new files that are dealt with together."""
SHOWN = 1000
"""How many names a result lists at most."""


class Work(Enum):
    """What is done for one entry of the source; the values begin the lines of a plan."""

    MAKE = b"D"
    """A directory that is not there."""
    SEND = b"S"
    """A file or a symbolic link."""
    JOIN = b"L"
    """A further name of a file; the ``target`` is its first one."""


_WORKS = {work.value: work for work in Work}


@dataclass(frozen=True)
class Rules:
    """How entries are compared."""

    delete: bool = False
    uid: int = 0
    """Who writes at the destination: root keeps owners, others only change what is theirs."""
    by_checksum: bool = False
    """Whether ``differing`` decides about files of one size, and their times are only set."""
    shows: bool = False
    """Whether the plan is told line by line."""
    clears: bool = False
    """Whether something that others have left is removed from the root, which changes its time."""


@dataclass
class Plan:
    """What has to be done, in the order of the tree where not said otherwise. Every spool has to be closed."""

    work: Spool = field(default_factory=Spool)
    """Lines of :class:`Work`, each followed by the entry."""
    names: Spool = field(default_factory=Spool)
    """The names of what is sent, as tar reads them."""
    set: Spool = field(default_factory=Spool)
    """Entries of the source whose content is there and whose attributes are not: lines with ``t`` in front if the time
    is to be set too, else ``a``."""
    directories: Spool = field(default_factory=Spool)
    """The directories whose attributes are to be set at the end, as above; what is in one first."""
    cleared: Spool = field(default_factory=Spool)
    """What stands in the way of an entry of another kind: lines of kind and key, what is in a directory first."""
    removed: Spool = field(default_factory=Spool)
    """What the source does not have; as above."""
    shown: Spool = field(default_factory=Spool)
    """All of it as lines for a user, if that was asked for."""
    files: int = 0
    size: int = 0
    """Bytes of the files that are sent."""
    empty: int = 0
    """Files that are sent and are said to have no content."""
    newest: int = 0
    """The last time that the state of a file that is sent changed, in seconds since 1970."""
    roots: bool = True
    """Whether all that is sent are files of root and its group; of links that is not known."""
    links: int = 0
    """Symbolic links that are sent and names that are joined."""
    joins: int = 0
    """Names that are joined."""
    made: int = 0
    changed_attributes: int = 0
    locked: bool = False
    """Whether the source has a directory that its owner cannot write to, or not look into."""
    attributed: int = 0
    """How many directories get their attributes at the end."""
    deleted: int = 0
    unchanged: int = 0
    sources: int = 0
    """Entries of the source, the root not counted."""
    special: list[bytes] = field(default_factory=list)
    specials: int = 0
    conflicts: list[bytes] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.files or self.links or self.made or self.changed_attributes or self.deleted)

    def lines(self, below: bool = True) -> Iterator[tuple[Work, bytes]]:
        """Return what is done entry by entry, each as the line of the entry; maybe without what is below a new one."""
        top: bytes | None = None
        for line in self.work.lines():
            if top is not None and line.startswith(top, 1):
                continue
            work = _WORKS[line[:1]]
            yield work, line[1:]
            if work is Work.MAKE and not below:
                top = key_of(line[1:]) + b"\x01"

    def besides_sent(self) -> Iterator[tuple[Work, bytes]]:
        """Return the same without what is sent."""
        sent = Work.SEND.value
        return ((_WORKS[line[:1]], line[1:]) for line in self.work.lines() if line[:1] != sent)

    def sent(self) -> Iterator[bytes]:
        """Return the lines of the entries whose content comes from the source."""
        return (line[1:] for line in self.work.lines() if line[:1] == Work.SEND.value)

    @property
    def stages(self) -> bool:
        """Whether anything is made before it gets its place."""
        return bool(self.files or self.links or self.made)

    def close(self) -> None:
        for spool in (self.work, self.names, self.set, self.directories, self.cleared, self.removed, self.shown):
            spool.close()


@dataclass
class _Directory:
    """A directory above the current entry."""

    path: bytes
    source: Entry | None
    differs: bool = False
    """Whether its attributes are to be set in any case."""
    touched: bool = False
    """Whether something in it is made, replaced or removed, which changes its time."""
    goes: Spool | None = None
    """Where it is removed to; None if it stays."""
    kept: bool = False
    """Whether it holds something that is left alone."""
    mine: bool = True
    """Whether its attributes may be set."""
    stays: bool = False
    """Whether it is left alone with all that is in it."""

    def holds(self, path: bytes) -> bool:
        return not self.path or path.startswith(self.path + b"/")


@dataclass(frozen=True)
class _First:
    """The first name of a file that has several."""

    path: bytes
    sent: bool
    there: bytes | None
    """The file that has this name at the destination."""


def joined(source: Iterable[bytes], there: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | None, bytes | None]]:
    """Return the keys and lines of two sorted manifests side by side, those of one path together."""
    left, right = iter(source), iter(there)
    one, other = next(left, None), next(right, None)
    first = key_of(one) if one is not None else b""
    second = key_of(other) if other is not None else b""
    while one is not None and other is not None:
        if first == second:
            yield first, one, other
            one, other = next(left, None), next(right, None)
            first = key_of(one) if one is not None else b""
            second = key_of(other) if other is not None else b""
        elif first < second:
            yield first, one, None
            one = next(left, None)
            first = key_of(one) if one is not None else b""
        else:
            yield second, None, other
            other = next(right, None)
            second = key_of(other) if other is not None else b""
    if one is not None:
        yield first, one, None
    if other is not None:
        yield second, None, other
    yield from ((key_of(line), line, None) for line in left)
    yield from ((key_of(line), None, line) for line in right)


def same_size(source: Iterable[bytes], there: Iterable[bytes]) -> Iterator[bytes]:
    """Return the lines of the files of the source whose content may already be there."""
    for _key, one, other in joined(source, there):
        if one is None or other is None:
            continue
        wanted, found = from_line(one), from_line(other)
        if wanted.kind is found.kind is Kind.FILE and wanted.size == found.size:
            yield one


class Planner:
    """Makes a plan from two manifests."""

    def __init__(self, rules: Rules, differing: Iterable[bytes] = ()) -> None:
        self.plan = Plan()
        self._rules = rules
        self._differing = iter(differing)
        self._next_differing = next(self._differing, None)
        self._line = b""
        """The line of the entry of the source that is looked at."""
        self._new: list[bytes] = []
        """Lines of files that follow one another in a directory that is new, too."""
        self._above: list[_Directory] = []
        self._firsts: dict[bytes, _First] = {}

    def make(self, source: Iterable[bytes], there: Iterable[bytes], protected: Iterable[bytes] = ()) -> Plan:
        """Return the plan. ``protected`` are the keys of what is left alone at the destination, sorted."""
        guarded = (name + b"\0" for name in protected)
        quick, owners = not self._rules.by_checksum, self._rules.uid == 0
        inside = None if self._rules.shows else b""
        for name, one, other in joined(source, _with_guards(there, guarded)):
            if one is not None and other is not None:
                if quick and are_alike(one, other, owners):
                    self.plan.sources += 1
                    self.plan.unchanged += 1
                    continue
            elif one is not None and inside and name.startswith(inside) and is_plain_file(one):
                self._new.append(one)
                if len(self._new) == _AT_ONCE:
                    self._send_new()
                continue
            self._send_new()
            self._leave(path_of(name))
            self._line = one or b""
            if other is not None and other.endswith(b"\0"):
                self._guard(one is not None, path_of(name))
            elif one is not None:
                self._keep(from_line(one), from_line(other) if other is not None else None)
            elif other is not None:
                self._extra(from_line(other))
            if inside is not None:
                inside = key(self._above[-1].path) + b"\x01" if self._above and self._above[-1].path else b""
        self._send_new()
        if self._above and (self.plan.stages or self._rules.clears):
            self._above[0].touched = True  # what is staged is staged in the root
        self._leave(None)
        return self.plan

    # -- directories ---------------------------------------------------------------------------------------------

    def _leave(self, path: bytes | None) -> None:
        """Finish the directories that the next path is not in."""
        while self._above and (path is None or not self._above[-1].holds(path)):
            directory = self._above.pop()
            if directory.goes is not None:
                self._leave_removed(directory)
            elif directory.source is not None and directory.mine and (directory.differs or directory.touched):
                self.plan.directories.write(b"t" + to_line(directory.source))
                self.plan.attributed += 1

    def _leave_removed(self, directory: _Directory) -> None:
        above = self._above[-1] if self._above else None
        if directory.kept:
            if above is not None:
                above.kept = True
            if directory.goes is self.plan.cleared:
                self.plan.conflicts.append(directory.path)
            return
        self._remove(Kind.DIRECTORY, directory.path, directory.goes)

    def _touch(self) -> None:
        if self._above:
            self._above[-1].touched = True

    def _remove(self, kind: Kind, path: bytes, into: Spool | None) -> None:
        (into or self.plan.removed).write(kind.value.encode() + key(path) + b"\n")
        self.plan.deleted += 1
        self._show("delete", path)
        self._touch()

    def _show(self, what: str, path: bytes, more: str = "") -> None:
        if not self._rules.shows:
            return
        name = path.decode(errors="backslashreplace").replace("\n", "\\n") or "."
        self.plan.shown.write(f"{what} {name}{more}\n".encode())

    # -- one path ------------------------------------------------------------------------------------------------

    def _guard(self, wanted: bool, path: bytes) -> None:
        if wanted:
            self.plan.conflicts.append(path)
        if self._above:
            self._above[-1].kept = True

    def _extra(self, found: Entry) -> None:
        """Take note of something that the source does not have."""
        above = self._above[-1] if self._above else None
        stays = above is not None and above.stays
        goes = above.goes if above is not None else None
        if goes is None and self._rules.delete and not stays:
            goes = self.plan.removed
        if found.kind is Kind.DIRECTORY:
            self._above.append(_Directory(found.path, None, goes=goes, stays=stays))
        elif goes is not None:
            self._remove(found.kind, found.path, goes)

    def _keep(self, wanted: Entry, found: Entry | None) -> None:
        """Decide about something that the source has."""
        self.plan.sources += bool(wanted.path)
        if wanted.kind is Kind.SPECIAL:
            self._special(wanted, found)
        elif wanted.kind is Kind.DIRECTORY:
            self._directory(wanted, found)
        elif found is not None and found.kind is Kind.DIRECTORY:
            self._replace_directory(wanted)
        else:
            self._content(wanted, found)

    def _content(self, wanted: Entry, found: Entry | None) -> None:
        """Decide about a file or a symbolic link."""
        if wanted.kind is Kind.FILE:
            self._file(wanted, found)
        elif found is not None and found.kind is Kind.LINK and wanted.target == found.target:
            self.plan.unchanged += 1
        else:
            self._send(wanted)

    def _special(self, wanted: Entry, found: Entry | None) -> None:
        self.plan.specials += 1
        if len(self.plan.special) < SHOWN:
            self.plan.special.append(wanted.path)
        if found is not None and found.kind is Kind.DIRECTORY:
            self._above.append(_Directory(found.path, None, stays=True))

    def _directory(self, wanted: Entry, found: Entry | None) -> None:
        self.plan.locked = self.plan.locked or wanted.mode & 0o300 != 0o300
        if found is not None and found.kind is Kind.DIRECTORY:
            mine, differs = self._mine(found), self._differs(wanted, found)
            if differs:
                self.plan.changed_attributes += 1
                self._show("attributes", wanted.path)
            else:
                self.plan.unchanged += bool(wanted.path)
            self._above.append(_Directory(wanted.path, wanted, differs=differs, mine=mine))
            return
        if found is not None:
            self._remove(found.kind, found.path, self.plan.cleared)
        if wanted.path:
            self.plan.work.write(Work.MAKE.value + self._line)
        self.plan.made += 1
        self._show("make", wanted.path)
        self._touch()
        self._above.append(_Directory(wanted.path, wanted, differs=True))

    def _replace_directory(self, wanted: Entry) -> None:
        """Put a file or a link where a directory is: only a mirror may do that."""
        if not self._rules.delete:
            self.plan.conflicts.append(wanted.path)
            self._above.append(_Directory(wanted.path, None, stays=True))
            return
        self._content(wanted, None)
        self._above.append(_Directory(wanted.path, None, goes=self.plan.cleared))

    def _file(self, wanted: Entry, found: Entry | None) -> None:
        first = self._firsts.get(wanted.inode) if wanted.links > 1 else None
        if first is not None:
            self._name_again(wanted, found, first)
            return
        same = found is not None and found.kind is Kind.FILE and self._same_content(wanted, found)
        differs = same and found is not None and self._differs(wanted, found)
        if differs and found is not None and found.links > wanted.links == 1:
            same = False  # attributes belong to all names of a file, and here these are names of different files
        if not same:
            self._send(wanted)
        elif differs:
            self.plan.set.write((b"t" if found is not None and found.mtime != wanted.mtime else b"a") + self._line)
            self.plan.changed_attributes += 1
            self._show("attributes", wanted.path)
        else:
            self.plan.unchanged += 1
        if wanted.links > 1:
            self._firsts[wanted.inode] = _First(wanted.path, not same, found.inode if found is not None else None)

    def _name_again(self, wanted: Entry, found: Entry | None, first: _First) -> None:
        if found is not None and found.inode == first.there and not first.sent:
            self.plan.unchanged += 1
            return
        joint = wanted._replace(target=first.path)
        self.plan.work.write(Work.JOIN.value + to_line(joint))
        self.plan.joins += 1
        self.plan.links += 1
        self._show("link", wanted.path)
        self._touch()

    def _send_new(self) -> None:
        """Send files of one name to where nothing is; most of a tree is that, so they are not taken apart."""
        if not self._new:
            return
        names, sizes, roots, newest = plain_files(self._new)
        self.plan.work.write_all([Work.SEND.value + line for line in self._new])
        self.plan.names.write(names)
        self.plan.roots = self.plan.roots and roots
        self.plan.newest = max(self.plan.newest, newest)
        self.plan.sources += len(sizes)
        self.plan.files += len(sizes)
        self.plan.size += sum(sizes)
        self.plan.empty += sizes.count(0)
        self._above[-1].touched = True
        self._new.clear()

    def _send(self, wanted: Entry) -> None:
        self.plan.work.write(Work.SEND.value + self._line)
        self.plan.names.write(name_of(self._line))
        self.plan.roots = self.plan.roots and wanted.kind is Kind.FILE and wanted.uid == wanted.gid == 0
        if wanted.kind is Kind.FILE:
            self.plan.newest = max(self.plan.newest, wanted.ctime)
            self.plan.files += 1
            self.plan.size += wanted.size
            self.plan.empty += not wanted.size
            self._show("send", wanted.path, f" ({wanted.size} bytes)")
        else:
            self.plan.links += 1
            self._show("link", wanted.path)
        self._touch()

    # -- comparing -----------------------------------------------------------------------------------------------

    def _mine(self, found: Entry) -> bool:
        return self._rules.uid in (0, found.uid)

    def _differs(self, wanted: Entry, found: Entry) -> bool:
        """Return whether attributes are to be set, of an entry whose content is there."""
        if not self._mine(found):
            return False
        owners = self._rules.uid == 0 and (wanted.uid, wanted.gid) != (found.uid, found.gid)
        return owners or wanted.mode != found.mode or wanted.mtime != found.mtime

    def _same_content(self, wanted: Entry, found: Entry) -> bool:
        if wanted.size != found.size:
            return False
        if not self._rules.by_checksum:
            return wanted.mtime == found.mtime
        name = key(wanted.path)
        while self._next_differing is not None and self._next_differing < name:
            self._next_differing = next(self._differing, None)
        return self._next_differing != name


def _with_guards(there: Iterable[bytes], guards: Iterable[bytes]) -> Iterable[bytes]:
    guard = iter(guards)
    first = next(guard, None)
    if first is None:
        return there
    return _merged(there, itertools.chain((first,), guard))


def _merged(there: Iterable[bytes], guards: Iterable[bytes]) -> Iterator[bytes]:
    for _key, one, other in joined(there, guards):
        line = other if other is not None else one
        if line is not None:
            yield line
