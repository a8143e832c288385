# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads checksums as sha256sum and openssl print them, and finds what did not arrive as it is in the source."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ._errors import TransferError
from ._manifest import Kind, from_line, key, kind_of, path_of
from ._plan import joined

_DIGEST = 64
_NAME = 68
"""Where a path begins in a line that has nothing escaped."""
_NEXT = re.compile(rb"\\?[0-9a-f]{64} [ *]")


Sum = tuple[bytes, bytes | None]
"""A path and its checksum, None if that is not known."""


def sums(names: Iterable[bytes], chunks: Iterator[bytes]) -> Iterator[Sum]:
    """Return each path with its checksum, None where there is none: the file could not be read.

    ``names`` are the paths that were asked for, in that order. A name stands behind its checksum as it is, or with its
    line breaks escaped and a backslash before the checksum. Raises TransferError for anything else.
    """
    buffer, ended = b"", False
    for path in names:
        name = b"./" + path
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        longest = 2 * (_DIGEST + 4) + len(escaped)
        while len(buffer) < longest and not ended:
            chunk = next(chunks, b"")
            ended = not chunk
            buffer += chunk
        size = _length(buffer, name, escaped)
        digest = buffer[:size].lstrip(b"\\")[:_DIGEST] if size else None
        buffer = buffer[size:]
        yield path, digest
    if buffer or next(chunks, b""):
        raise TransferError(f"a list of checksums cannot be read at {buffer[:80]!r}")


def _length(buffer: bytes, name: bytes, escaped: bytes) -> int:
    """Return how many bytes at the start of the buffer are the checksum of a file, 0 if it is not of this one."""
    # with its mark, openssl escapes line breaks and nothing else
    of_openssl = name.replace(b"\n", b"\\n")
    forms = ((b"", name), (b"\\", escaped), (b"\\", escaped.replace(b"\\r", b"\r")), (b"\\", of_openssl))
    for mark, written in forms:
        at = len(mark) + _DIGEST
        if buffer.startswith(mark) and buffer[at : at + 1] == b" " and buffer[at + 1 : at + 2] in (b" ", b"*"):
            line = written + b"\n"
            end = at + 2 + len(line)
            # a name may go on behind a line break, where there is no next checksum then
            if buffer.startswith(line, at + 2) and (len(buffer) == end or _NEXT.match(buffer, end)):
                return end
    return 0


def missing_or_differing(one: Iterable[Sum], other: Iterable[Sum]) -> Iterator[bytes]:
    """Return the paths of ``one`` that have no such checksum in ``other``; both in the order of the tree."""
    rest = iter(other)
    there = next(rest, None)
    for path, digest in one:
        while there is not None and key(there[0]) < key(path):
            there = next(rest, None)
        if digest is None or there is None or there != (path, digest):
            yield path


def unproven(sent: Iterable[bytes], staged: Iterable[bytes], differing_files: Iterable[bytes]) -> Iterator[bytes]:
    """Return the paths of what was sent and is not there as it is in the source.

    ``sent`` are lines of entries, ``staged`` is the manifest of what arrived, ``differing_files`` are the paths of
    files whose checksums differ; all are in the order of the tree.
    """
    wrong = iter(differing_files)
    next_wrong = next(wrong, None)
    for name, line, there in joined(sent, staged):
        if line is None:
            continue
        is_wrong = next_wrong is not None and next_wrong == path_of(name)
        if is_wrong:
            next_wrong = next(wrong, None)
        if is_wrong or there is None or not _arrived(line, there):
            yield path_of(name)


def unasked(planned: Iterable[bytes], staged: Iterable[bytes]) -> Iterator[bytes]:
    """Return the paths of what arrived and was not asked for; both are lines of entries in the order of the tree.

    Directories that were not asked for are there on the way to what was.
    """
    way = b""
    for name, line, there in joined(planned, staged):
        if way and not name.startswith(way):
            yield path_of(way[:-1])
        way = b""
        if there is None or not name or (line is not None and kind_of(line) is not Kind.DIRECTORY):
            continue
        if kind_of(there) is not Kind.DIRECTORY:
            yield path_of(name)
        elif line is None:
            way = name + b"\x01"
    if way:
        yield path_of(way[:-1])


def _arrived(line: bytes, there: bytes) -> bool:
    """Return whether two lines tell entries of one kind and target; the content is for others to compare."""
    if line.rpartition(b"\0")[0] == there.rpartition(b"\0")[0]:
        return True
    wanted, found = from_line(line), from_line(there)
    return (wanted.kind, wanted.target) == (found.kind, found.target)
