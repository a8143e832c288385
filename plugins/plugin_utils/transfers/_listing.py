# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a context said of a path, and of what is below it (the list script, _shell.py)."""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from ..streams._space import free_bytes
from . import _shell
from ._aside import aside
from ._errors import TransferError
from ._filter import Filter
from ._manifest import Kind, key_of, kind_of, parse_find, parse_stat, path_of
from ._plan import Plan
from ._spool import Growing, Spool, sorted_lines


class PathKind(Enum):
    """What a path is."""

    TREE = "tree"
    FILE = "file"
    SPECIAL = "special"
    LINK = "link"
    """A symbolic link in a directory that was named; one that is named itself is followed."""
    ABSENT = "absent"


_PROBE = re.compile(rb"(\w+) ([012]) ([01]) ([01]) (\d+) (\w+) (find|stat) ([a-z,]+) (\d*)")
_PROBE_LIMIT = 4096
STAGING = re.compile(rb"\.manifold-(.+)\.part", re.DOTALL)
"""Where a transfer unpacks, in the root of its destination."""
_OURS = b".manifold-"
_BEFORE_1970 = re.compile(rb"(\0. [0-7]+ \d+ )-\d+(?=\0)")
"""The time in a line of a manifest, if it is before 1970."""


@dataclass
class Listing:
    """A path in a context, and its manifest if it is a directory or a file. The spools have to be closed."""

    kind: PathKind
    inside: bool
    """Whether it is an entry in the directory that was named."""
    parent_exists: bool
    writable: bool
    """Whether the directory, or the nearest one there is above it, can be written to."""
    uid: int
    tar: str
    """``gnu``, ``busybox`` or ``none``."""
    form: str = "find"
    """What prints a list there: ``find`` or ``stat``."""
    tools: frozenset[str] = frozenset()
    """What there is of what is not needed: ``zstd``, ``gzip``, ``openssl``, ``blake``, ``perl``, ``cp``."""
    free: int | None = None
    """Free bytes of its file system, None if that is not known."""
    matched: bool = False
    """Whether it is a directory of which a pattern chose entries: they and what is in them are listed."""
    began: int = 0
    """When it was listed, by the clock of its context, in seconds since 1970; 0 if that is not known."""
    manifest: Spool = field(default_factory=Spool)
    """Sorted lines."""
    printed: str = ""
    """The SHA-256 of the entries as they were printed: where nothing changed, the next list has the same."""
    protected: Spool = field(default_factory=Spool)
    """Sorted lines: the keys of what the filter leaves alone, without what is below that."""
    excluded: int = 0
    left: list[str] = field(default_factory=list)
    """What other transfers have left: the middle of its names."""
    ahead: Plan | None = None
    """The plan for sending all of it to where nothing is, if there was time to make it."""

    @property
    def has(self) -> _shell.Tools:
        """What scripts have to know of the place."""
        return _shell.Tools(self.tar, self.form, self.uid == 0, _shell.PERL in self.tools)

    def keys(self) -> Iterator[bytes]:
        """Return the keys of what is left alone."""
        return (line[:-1] for line in self.protected.lines())

    def close(self) -> None:
        self.manifest.close()
        self.protected.close()
        if self.ahead is not None:
            self.ahead.close()


def read_listing(raw: Spool | Growing, keep: Filter, *, since_1970: bool = False) -> Listing:
    """Return what a list script printed; raise TransferError if it makes no sense.

    ``since_1970``: earlier times count as 1970.
    """
    digest = hashlib.sha256()
    listing, printed = _begin(raw, digest.update)
    if since_1970:
        printed = (_BEFORE_1970.sub(rb"\g<1>0", line, count=1) if b" -" in line else line for line in printed)
    try:
        lines = sorted_lines(printed)
        listing.manifest.write_all(lines if _is_kept(lines, keep) else _filtered(lines, keep, listing))
        whole = listing.kind in (PathKind.TREE, PathKind.FILE) and not listing.matched
        if whole and listing.manifest.is_empty():  # it begins with itself
            raise TransferError(f"the list of a {listing.kind.value} is empty; nothing can be concluded from it")
    except BaseException:
        listing.close()
        raise
    listing.printed = digest.hexdigest()
    return listing


class Reading:
    """Reads what a list script prints while it is printed."""

    def __init__(self, raw: Spool, keep: Filter, begins: Callable[[], object] = lambda: None) -> None:
        """``begins`` is called, in another thread, when the first of it is there."""
        self._coming = Growing(raw, begins)
        self._result = aside(lambda: read_listing(self._coming, keep))

    def done(self) -> Listing:
        """Return it, once all of it has been printed; raise TransferError if it makes no sense."""
        self._coming.whole.set()
        return self._result()

    def drop(self) -> None:
        """Forget it: whoever prints it has failed, and what was cut may make no sense at all."""
        with contextlib.suppress(Exception):
            self.done().close()


def printed_again(raw: Spool) -> str:
    """Return the SHA-256 of the entries that a list script printed (``Listing.printed``)."""
    digest, chunks = hashlib.sha256(), raw.chunks()
    for chunk in _again(_head(chunks)[2], chunks):
        digest.update(chunk)
    return digest.hexdigest()


def needs_since_1970(*listings: Listing) -> bool:
    """Return whether there are times before 1970 where one of the places has busybox, which cannot always keep them."""
    if all(listing.tar != "busybox" for listing in listings):
        return False
    # few have a minus behind a space at all, in a name or a time
    suspects = (listing.manifest for listing in listings if listing.manifest.find(b" -") >= 0)
    return any(_BEFORE_1970.search(line) for manifest in suspects for line in manifest.lines())


def _begin(raw: Spool | Growing, note: Callable[[bytes], object]) -> tuple[Listing, Iterator[bytes]]:
    """Return a listing that has no entries yet, and their lines; ``note`` is called with what was printed of them."""
    chunks = raw.chunks()
    head, df, rest = _head(chunks)
    match = _PROBE.fullmatch(head)
    if match is None:
        raise TransferError(f"what a list of files begins with makes no sense: {head[:_PROBE_LIMIT]!r}")
    kind, inside, exists, writable, uid, tar, form, tools, now = (group.decode() for group in match.groups())
    free = free_bytes(df.decode(errors="replace"))
    found = frozenset(filter(None, tools.split(",")))
    sure = (inside == "1", exists == "1", writable == "1", int(uid), tar, form)
    listing = Listing(PathKind(kind), *sure, found, free, inside == "2", int(now or 0))
    parse = parse_find if form == "find" else parse_stat
    return listing, itertools.chain.from_iterable(parse(_noted(_again(rest, chunks), note)))


def _noted(chunks: Iterable[bytes], note: Callable[[bytes], object]) -> Iterator[bytes]:
    for chunk in chunks:
        note(chunk)
        yield chunk


def _head(chunks: Iterator[bytes]) -> tuple[bytes, bytes, bytes]:
    """Return the first line, the second one, and what else was read."""
    data = b""
    for chunk in chunks:
        data += chunk
        if data.count(b"\n") > 1 or len(data) > _PROBE_LIMIT:
            break
    first, _end, data = data.partition(b"\n")
    second, _end, data = data.partition(b"\n")
    return first, second, data


def _again(first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from more


def _is_kept(lines: Iterable[bytes], keep: Filter) -> bool:
    """Return whether it is plain that a filter lets all lines through, and that none is that of something of ours."""
    if keep.rules or not isinstance(lines, list):
        return False
    at = bisect.bisect_left(lines, _OURS)
    return at == len(lines) or not lines[at].startswith(_OURS)


def _filtered(lines: Iterable[bytes], keep: Filter, listing: Listing) -> Iterator[bytes]:
    """Return the lines that the filter lets through, and take note of the others."""
    below = b""
    for line in lines:
        if below:
            if line.startswith(below):
                continue
            below = b""
        ours = line.startswith(_OURS)
        if not (ours or keep.rules):
            yield line
            continue
        name = key_of(line)
        staging = STAGING.fullmatch(path_of(name)) if ours else None
        if staging is not None:
            listing.left.append(staging[1].decode(errors="surrogateescape"))
        elif name and keep.excludes(path_of(name), kind_of(line) is Kind.DIRECTORY):
            listing.excluded += 1
            listing.protected.write(name + b"\n")
        else:
            yield line
            continue
        below = name + b"\x01"
