"""A manifest: what a tree holds, entry by entry, as a file of sorted lines.

The order is that of the tree: a directory stands right before what is in it. So a line begins with a key in which the
slash is the least of all bytes, and two manifests are compared by reading both once.

A line is made of fields with a NUL between: the key; what two entries that need nothing done have in common (kind,
mode, size, time of change); the target of a symbolic link; the number of names, owner, group, inode and the time when
a file's state changed last. So most lines are compared, and never taken apart. What means nothing is 0, the number of
names of what is no file is 1.
"""

from __future__ import annotations

import itertools
import re
import stat
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from ._errors import TransferError


class Kind(Enum):
    """What an entry is."""

    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"
    """A symbolic link."""
    SPECIAL = "s"
    """A device, a socket or a named pipe: it is reported and left alone."""


class Entry(NamedTuple):
    """One entry of a tree."""

    path: bytes
    """Below the root, without a slash at its start; empty for the root itself."""
    kind: Kind
    mode: int
    """The permission bits, with set-user-ID and the like; of a symbolic link 0."""
    uid: int
    gid: int
    size: int
    """Of a file; 0 for anything else."""
    mtime: int
    """When a file or directory was changed last, in whole seconds since 1970; 0 for anything else."""
    inode: bytes
    """Device and number: names of one file have it in common."""
    links: int
    """How many names a file has; 1 for anything else."""
    target: bytes = b""
    """What a symbolic link points to."""
    ctime: int = 0
    """When content or attributes of a file were changed last, in seconds since 1970, whatever ``mtime`` was set to."""


_UNSAFE = re.compile(rb"[\\\n\x01]")
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\x01": b"\\1"}
_UNESCAPES = {escaped[1:]: plain for plain, escaped in _ESCAPES.items()}


def _is_unsafe(text: bytes) -> bool:
    """Return whether anything in a text has to be escaped; to look for bytes is much quicker than for a pattern."""
    return b"\\" in text or b"\n" in text or b"\x01" in text


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
    return b"%s\0%s %o %d %d\0%s\0%d %d %d %s %d\n" % (
        key(entry.path),
        entry.kind.value.encode(),
        entry.mode,
        entry.size,
        entry.mtime,
        escape(entry.target),
        entry.links,
        entry.uid,
        entry.gid,
        entry.inode,
        entry.ctime,
    )


_KINDS = {kind.value.encode(): kind for kind in Kind}


def from_line(line: bytes) -> Entry:
    """Return the entry of a line."""
    name, common, target, rest = line[:-1].split(b"\0")
    kind, mode, size, mtime = common.split(b" ")
    links, uid, gid, inode, ctime = rest.split(b" ")
    owners, times = (int(uid), int(gid)), (int(size), int(mtime))
    last = (inode, int(links), unescape(target), int(ctime))
    return Entry(path_of(name), _KINDS[kind], int(mode, 8), *owners, *times, *last)


def name_of(line: bytes) -> bytes:
    """Return the path of a line as it stands in a list of names: with a NUL behind it."""
    name = line[: line.index(b"\0")]
    return b"./%s\0" % (path_of(name) if b"\\" in name else name.replace(b"\x01", b"/"))


def kind_of(line: bytes) -> Kind:
    """Return the kind that a line tells."""
    at = line.index(b"\0") + 1
    return _KINDS[line[at : at + 1]]


def is_plain_file(line: bytes) -> bool:
    """Return whether a line is that of a file with one name."""
    # the first may begin the target of a link, too, but then no two NULs stand side by side
    return b"\0f " in line and b"\0\0001 " in line


class PlainFiles(NamedTuple):
    """What the lines of several files say, each of which has one name."""

    names: bytes
    """Their paths as they stand in a list of names."""
    sizes: list[int]
    roots: bool
    """Whether all belong to root and its group."""
    newest: int
    """The last time that the state of one of them changed."""


_PLAIN_FILE = re.compile(rb"\0f [0-7]+ ([0-9]+) -?[0-9]+\0\0001 ([0-9]+ [0-9]+) [0-9]+:[0-9]+ (-?[0-9]+)\n")
_GROUPS = _PLAIN_FILE.groups + 1


def plain_files(lines: list[bytes]) -> PlainFiles:
    """Return what lines of plain files say (``is_plain_file``): quicker than one by one, for there may be very many."""
    parts = _PLAIN_FILE.split(b"".join(lines))
    if len(parts) != _GROUPS * len(lines) + 1:
        raise ValueError(f"there is another line than that of a file with one name among {len(lines)}")
    keys = parts[:-1:_GROUPS]
    names = b"./" + b"\0./".join(keys).replace(b"\x01", b"/") + b"\0"
    if b"\\" in names:
        names = b"".join(b"./%s\0" % path_of(name) for name in keys)
    return PlainFiles(
        names, list(map(int, parts[1::_GROUPS])), set(parts[2::_GROUPS]) == {b"0 0"}, max(map(int, parts[3::_GROUPS]))
    )


def size_of(line: bytes) -> int:
    """Return the size that a line tells."""
    return int(line.split(b"\0", 2)[1].split(b" ")[2])


def ctime_of(line: bytes) -> int:
    """Return the time of the last change of anything, as a line tells it."""
    return int(line[line.rindex(b" ") :])


def but_for_ctime(line: bytes) -> bytes:
    """Return what a line tells besides that."""
    return line[: line.rindex(b" ")]


def are_alike(one: bytes, other: bytes, owners: bool) -> bool:
    """Return whether two lines of one path are those of files or links with one name each and nothing to be done.

    With ``owners`` these count, too. A directory or a file of several names is never alike: it wants a closer look.
    """
    common, _nul, rest = one.rpartition(b"\0")
    common_there, _nul, rest_there = other.rpartition(b"\0")
    if common != common_there or not (rest.startswith(b"1 ") and rest_there.startswith(b"1 ")):
        return False
    if kind_of(one) not in (Kind.FILE, Kind.LINK):
        return False
    return not owners or rest.rsplit(b" ", 2)[0] == rest_there.rsplit(b" ", 2)[0]


# -- what find and stat print ------------------------------------------------------------------------------------------

FIND_FORMAT = (
    r"-type d -printf '%P\0d %m 0 %Ts\0\0001 %U %G %D:%i 0\0' -o -type l -printf '%P\0l 0 0 0\0%l\0001 0 0 %D:%i 0\0'"
    r" -o -type f -printf '%P\0f %m %s %Ts\0\000%n %U %G %D:%i %Cs\0' -o -printf '%P\0s 0 0 0\0\0001 0 0 %D:%i 0\0'"
)
"""What GNU find is told to print: the fields of a line, with a NUL behind each."""
_FIELDS = 4
_ODD = re.compile(rb"(?m)(?:^|\x01)\.{1,2}(?=[\x01\0])|\x01(?=[\x01\0])|^\x01")
"""Parts of a key that are no names, so that it would lead elsewhere."""
_ODD_TEXTS = tuple(
    before + dots + after for dots in (b"", b".", b"..") for before in (b"\x01", b"\n") for after in (b"\x01", b"\0")
)
"""One of them is in the text where there is such a part; the key of the root is one, too."""
_WHOLE = re.compile(
    rb"(?m)^[^\0\n]*\0[fdls] [0-7]+ [0-9]+ -?[0-9]+\0[^\0\n]*\0[0-9]+ [0-9]+ [0-9]+ [0-9]+:[0-9]+ -?[0-9]+$"
)
_STAT = re.compile(rb"//([0-9a-f]+) [0-7]+ (\d+) (-?\d+)/(\d+) (\d+) (\d+) (\d+:\d+) (-?\d+)/")
_PLAIN = re.compile(
    rb"//([48])[0-9a-f]{3} ([0-7]+) (\d+ -?\d+)/(\d+ \d+ \d+ \d+:\d+ -?\d+)/\./((?:[^\\\n\x01/]+/)*[^\\\n\x01/]+)//\n"
)
"""A file (8) or directory (4) whose name needs no escapes; what is no link ends like this."""
_PLAIN_REST = 14
"""Bytes of such an entry that are in none of the groups."""
_KIND_OF_MODE = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.LINK}


def parse_find(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of the entries that GNU find printed (``FIND_FORMAT``); raise TransferError for what is none."""
    waiting: list[bytes] = []
    rest = b""
    for chunk in chunks:
        *fields, rest = (rest + chunk).split(b"\0")
        waiting += fields
        whole = len(waiting) - len(waiting) % _FIELDS
        yield _lines_of(waiting[:whole])
        del waiting[:whole]
    if rest or waiting:
        raise TransferError(f"a list of files ends within an entry: {(rest or waiting[0])[-80:]!r}")


def _lines_of(fields: list[bytes]) -> list[bytes]:
    """Return the lines of entries from their fields."""
    if not fields:
        return []
    paths, targets = fields[0::_FIELDS], fields[2::_FIELDS]
    if _is_unsafe(b"".join(paths)):
        paths = [escape(path) for path in paths]
    if _is_unsafe(b"".join(targets)):
        targets = [escape(target) for target in targets]
    keys = [path.replace(b"/", b"\x01") for path in paths]
    text = b"\n".join(map(b"\0".join, zip(keys, fields[1::_FIELDS], targets, fields[3::_FIELDS], strict=True)))
    # to look for a text is much quicker than for a pattern
    begun = b"\n" + text
    odd = _ODD.search(text) if any(each in begun for each in _ODD_TEXTS) else None
    if odd is not None:
        start = text.rfind(b"\n", 0, odd.end()) + 1
        raise _refused(path_of(key_of(text[start:])))
    lines = [line + b"\n" for line in text.split(b"\n")]
    if len(_WHOLE.findall(text)) != len(lines):
        wrong = next(line for line in lines if not _WHOLE.match(line))
        raise TransferError(f"a list of files cannot be read at {wrong[:80]!r}")
    return lines


def parse_stat(chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of the entries that stat printed.

    No path holds two slashes in a row, so they end one; a target may hold anything, and is as long as the link's size
    says. Of a link, stat prints path and target a second time, in quotes or not.
    """
    buffer, ended = b"", False
    while True:
        lines, start = _plain_stats(buffer, 0)
        while (found := _next_stat(buffer, start)) is not None:
            entry, start = found
            lines.append(to_line(entry))
            if entry.path == b"":  # the root comes first, and is nothing plain
                plain, start = _plain_stats(buffer, start)
                lines += plain
        yield lines
        if ended and start < len(buffer):
            raise TransferError(f"a list of files cannot be read at {buffer[start : start + 80]!r}")
        if ended:
            return
        chunk = next(chunks, None)
        ended = chunk is None
        buffer = buffer[start:] + (chunk or b"")


def _plain_stats(buffer: bytes, start: int) -> tuple[list[bytes], int]:
    """Return the lines of all entries from ``start`` on and where they end, if none of them is special; else nothing.

    Most lists are like that, and this takes a fifth of the time.
    """
    found = _PLAIN.findall(buffer, start)
    if not found:
        return [], start
    end = start + _PLAIN_REST * len(found) + sum(map(len, itertools.chain.from_iterable(found)))
    # each begins where the one before it ends if together they are as long as up to the end of the last
    last = b"/./%s//\n" % found[-1][-1]
    if buffer.rfind(last) + len(last) != end or buffer.count(b"/./", start) != len(found) or b"/../" in buffer:
        return [], start  # a part of a path may be no name; each path begins with one dot
    return [
        b"%s\0f %s %s\0\0%s\n" % (name.replace(b"/", b"\x01"), mode, state, rest)
        if kind == b"8"
        else _directory(name, mode, state, rest)
        for kind, mode, state, rest, name in found
    ], end


def _directory(name: bytes, mode: bytes, state: bytes, rest: bytes) -> bytes:
    _size, mtime = state.split(b" ")
    _links, uid, gid, inode, _ctime = rest.split(b" ")
    fields = (name.replace(b"/", b"\x01"), mode, mtime, uid, gid, inode)
    return b"%s\0d %s 0 %s\0\0001 %s %s %s 0\n" % fields


def _next_stat(buffer: bytes, start: int) -> tuple[Entry, int] | None:
    """Return the entry that begins at ``start``, and where the next one begins; None if it is not whole."""
    match = _STAT.match(buffer, start)
    end = buffer.find(b"//", match.end()) if match else -1
    if match is None or end < 0:
        return None
    full = int(match[1], 16)
    size, mtime, links, uid, gid = map(int, match.groups()[1:6])
    name, at = buffer[match.end() : end], end + 2
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
    mode, inode, ctime = stat.S_IMODE(full), match[7], int(match[8])
    if kind is Kind.FILE:
        return Entry(path, kind, mode, uid, gid, size, mtime, inode, links, ctime=ctime), at + 1
    if kind is Kind.DIRECTORY:
        return Entry(path, kind, mode, uid, gid, 0, mtime, inode, 1), at + 1
    return Entry(path, kind, 0, 0, 0, 0, 0, inode, 1, target), at + 1


def _safe(path: bytes) -> bytes:
    """Return a path that stays below the root; raise TransferError for any other."""
    if path and any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise _refused(path)
    return path


def _refused(path: bytes) -> TransferError:
    return TransferError(f"a list of files names {path[:200]!r}, which is not below its root; it is refused")
