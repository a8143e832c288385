# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manifest: what a tree holds, entry by entry, as a file of sorted lines.

The order is that of the tree: a directory stands right before what is in it. So a line begins with a key in which the
slash is the least of all bytes, and two manifests are compared by reading both once.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ._errors import TransferError


class Kind(Enum):
    """What an entry is."""

    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"
    """A symbolic link."""
    SPECIAL = "s"
    """A device, a socket or a named pipe: it is reported and left alone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree."""

    path: bytes
    """Below the root, without a slash at its start; empty for the root itself."""
    kind: Kind
    mode: int
    """The permission bits, with set-user-ID and the like."""
    uid: int
    gid: int
    size: int
    mtime: int
    """When it was changed last, in whole seconds since 1970."""
    inode: bytes
    """Device and number: names of one file have it in common."""
    links: int
    """How many names the file has."""
    target: bytes = b""
    """What a symbolic link points to."""


_UNSAFE = re.compile(rb"[\\\n\x01]")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\x01": b"\\1"}
_UNESCAPES = {escaped[1:]: plain for plain, escaped in _ESCAPES.items()}


def escape(text: bytes) -> bytes:
    """Return a text of bytes, without a NUL, as one that holds no line break."""
    return _UNSAFE.sub(lambda match: _ESCAPES[match[0]], text)


def unescape(text: bytes) -> bytes:
    """Return what was escaped."""
    return re.sub(rb"\\(.)", lambda match: _UNESCAPES[match[1]], text) if b"\\" in text else text


def key(path: bytes) -> bytes:
    """Return the key of a path."""
    return escape(path).replace(b"/", b"\x01")


def key_of(line: bytes) -> bytes:
    """Return the key that a line begins with."""
    return line[: line.index(b"\0")]


def path_of(name: bytes) -> bytes:
    """Return the path of a key."""
    return unescape(name.replace(b"\x01", b"/"))


def to_line(entry: Entry) -> bytes:
    """Return an entry as a line."""
    return b"%s\0%s %o %d %d %d %d %s %d %s\n" % (
        key(entry.path),
        entry.kind.value.encode(),
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size,
        entry.mtime,
        entry.inode,
        entry.links,
        escape(entry.target),
    )


_KINDS = {kind.value.encode(): kind for kind in Kind}


def from_line(line: bytes) -> Entry:
    """Return the entry of a line."""
    name, _nul, rest = line[:-1].partition(b"\0")
    kind, mode, uid, gid, size, mtime, inode, links, target = rest.split(b" ", 8)
    return Entry(
        path_of(name),
        _KINDS[kind],
        int(mode, 8),
        int(uid),
        int(gid),
        int(size),
        int(mtime),
        inode,
        int(links),
        unescape(target),
    )


# -- what find and stat print ------------------------------------------------------------------------------------------

_FIND = re.compile(rb"(.) ([0-7]+) (\d+) (\d+) (\d+) (-?\d+)\S* (\d+) (\d+) (\d+) (.*)", re.DOTALL)
_STAT = re.compile(rb"//([0-9a-f]+)/(\d+)/(\d+)/(\d+)/(-?\d+)/(\d+:\d+)/(\d+)/")
_KIND_OF_MODE = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


def parse_find(chunks: Iterator[bytes]) -> Iterator[Entry]:
    """Return the entries that GNU find printed: a field of numbers and the path, a NUL, the target, a NUL."""
    fields = _fields(chunks)
    for head in fields:
        match = _FIND.fullmatch(head)
        target = next(fields, None)
        if match is None or target is None:
            raise TransferError(f"a list of files cannot be read at {head[:80]!r}")
        kind, mode, uid, gid, size, mtime, device, inode, links, path = match.groups()
        known = _KINDS.get(kind, Kind.SPECIAL)
        numbers = (int(mode, 8), int(uid), int(gid), int(size), int(mtime), device + b":" + inode, int(links))
        yield Entry(_safe(path), known, *numbers, target)


def _fields(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\0")
        yield from whole
    if rest:
        raise TransferError(f"a list of files ends within a name: {rest[-80:]!r}")


def parse_stat(chunks: Iterator[bytes]) -> Iterator[Entry]:
    """Return the entries that stat printed.

    No path holds two slashes in a row, so they end one; a target may hold anything, and is as long as the link's size
    says. Of a link, stat prints path and target a second time, in quotes or not.
    """
    buffer, start, ended = b"", 0, False
    while True:
        found = _next_stat(buffer, start)
        if found is None and not ended:
            chunk = next(chunks, b"")
            ended = not chunk
            buffer, start = buffer[start:] + chunk, 0
            continue
        if found is None:
            if start < len(buffer):
                raise TransferError(f"a list of files cannot be read at {buffer[start : start + 80]!r}")
            return
        entry, start = found
        yield entry


def _next_stat(buffer: bytes, start: int) -> tuple[Entry, int] | None:
    """Return the entry that begins at ``start``, and where the next one begins; None if it is not whole."""
    match = _STAT.match(buffer, start)
    end = buffer.find(b"//", match.end()) if match else -1
    if match is None or end < 0:
        return None
    full = int(match[1], 16)
    name, size, at = buffer[match.end() : end], int(match[4]), end + 2
    target = b""
    if stat.S_ISLNK(full):
        quote = b"'" if buffer[at : at + 1] == b"'" else b""
        before = quote + name + quote + b" -> " + quote
        target = buffer[at + len(before) : at + len(before) + size]
        if not buffer.startswith(before + target + quote + b"\n", at):
            return None
        at += len(before) + size + len(quote)
    if buffer[at : at + 1] != b"\n":
        return None
    kind = _KIND_OF_MODE.get(stat.S_IFMT(full), Kind.SPECIAL)
    path = _safe(b"" if name == b"." else name.removeprefix(b"./"))
    numbers = (stat.S_IMODE(full), int(match[2]), int(match[3]), size, int(match[5]), match[6], int(match[7]))
    return Entry(path, kind, *numbers, target), at + 1


def _safe(path: bytes) -> bytes:
    """Return a path that stays below the root; raise TransferError for any other."""
    if path and any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise TransferError(f"a list of files names {path[:200]!r}, which is not below its root; it is refused")
    return path
