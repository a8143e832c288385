# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what a context said of a path, and of what is below it (the list script, _shell.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from ._errors import TransferError
from ._filter import Filter
from ._manifest import Kind, key_of, kind_of, parse_find, parse_stat, path_of
from ._spool import Spool, sorted_lines


class PathKind(Enum):
    """What a path is."""

    TREE = "tree"
    FILE = "file"
    SPECIAL = "special"
    LINK = "link"
    """A symbolic link in a directory that was named; one that is named itself is followed."""
    ABSENT = "absent"


_PROBE = re.compile(rb"(\w+) ([01]) ([01]) ([01]) (\d+) (\w+) (find|stat)")
_PROBE_LIMIT = 200
STAGING = re.compile(rb"\.manifold-(.+)\.part", re.DOTALL)
"""Where a transfer unpacks, in the root of its destination."""
_OURS = b".manifold-"
_BEFORE_1970 = re.compile(rb"(\0. [0-7]+ \d+ )-\d+(?=\0)")
"""The time in a line of a manifest, if it is one that archives of busybox do not know."""


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
    manifest: Spool = field(default_factory=Spool)
    """Sorted lines."""
    protected: Spool = field(default_factory=Spool)
    """Sorted lines: the keys of what the filter leaves alone, without what is below that."""
    excluded: int = 0
    left: list[str] = field(default_factory=list)
    """What other transfers have left: the middle of its names."""

    def keys(self) -> Iterator[bytes]:
        """Return the keys of what is left alone."""
        return (line[:-1] for line in self.protected.lines())

    def close(self) -> None:
        self.manifest.close()
        self.protected.close()


def read_listing(raw: Spool, keep: Filter, *, packs: bool = False) -> Listing:
    """Return what a list script printed; raise TransferError if it makes no sense.

    ``packs``: what is listed is going to be packed there, and the times are those that an archive will have.
    """
    chunks = raw.chunks()
    head, line_end, rest = _head(chunks)
    match = _PROBE.fullmatch(head) if line_end else None
    if match is None:
        raise TransferError(f"what a list of files begins with makes no sense: {head[:_PROBE_LIMIT]!r}")
    kind, inside, exists, writable, uid, tar, form = (group.decode() for group in match.groups())
    listing = Listing(PathKind(kind), inside == "1", exists == "1", writable == "1", int(uid), tar)
    try:
        entries = (parse_find if form == "find" else parse_stat)(_again(rest, chunks))
        if packs and tar == "busybox":
            entries = (_BEFORE_1970.sub(rb"\g<1>0", line, count=1) for line in entries)
        listing.manifest.file.writelines(_filtered(sorted_lines(entries), keep, listing))
    except BaseException:
        listing.close()
        raise
    return listing


def _head(chunks: Iterator[bytes]) -> tuple[bytes, bytes, bytes]:
    data = b""
    for chunk in chunks:
        data += chunk
        if b"\n" in data or len(data) > _PROBE_LIMIT:
            break
    return data.partition(b"\n")


def _again(first: bytes, more: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from more


def _filtered(lines: Iterator[bytes], keep: Filter, listing: Listing) -> Iterator[bytes]:
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
