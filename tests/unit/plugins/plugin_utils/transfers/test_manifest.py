# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._errors import TransferError
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._manifest import (
    Entry,
    Kind,
    are_alike,
    from_line,
    is_plain_file,
    key,
    key_of,
    name_of,
    parse_find,
    parse_stat,
    path_of,
    plain_files,
    to_line,
)
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spool import sorted_lines
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"\0", b"\n").replace(b"/", b"\\"))
PATHS = st.lists(NAMES.filter(lambda name: name not in (b".", b"..")), min_size=1, max_size=4).map(b"/".join)
TEXTS = st.binary(min_size=1, max_size=12).map(lambda text: text.replace(b"\0", b"//"))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from(Kind))
    path, number = draw(PATHS | st.just(b"")), st.integers(0, 2**40)
    mode, owner, group = draw(st.integers(0, 0o7777)), draw(number), draw(number)
    mtime, inode = draw(st.integers(-(2**33), 2**40)), b"%d:%d" % (draw(number), draw(number))
    if kind is Kind.FILE:
        ctime, links = draw(st.integers(-(2**33), 2**40)), draw(st.integers(1, 100))
        return Entry(path, kind, mode, owner, group, draw(number), mtime, inode, links, ctime=ctime)
    if kind is Kind.DIRECTORY:
        return Entry(path, kind, mode, owner, group, 0, mtime, inode, 1)
    return Entry(path, kind, 0, 0, 0, 0, 0, inode, 1, draw(TEXTS) if kind is Kind.LINK else b"")


_FULL = {Kind.FILE: 0o100000, Kind.DIRECTORY: 0o040000, Kind.LINK: 0o120000, Kind.SPECIAL: 0o010000}


def _by_find(entry: Entry) -> bytes:
    common = b"%s %o %d %d" % (entry.kind.value.encode(), entry.mode, entry.size, entry.mtime)
    rest = b"%d %d %d %s %d" % (entry.links, entry.uid, entry.gid, entry.inode, entry.ctime)
    return b"\0".join([entry.path, common, entry.target, rest, b""])


def _by_stat(entry: Entry, quote: bytes) -> bytes:
    name = b"./" + entry.path if entry.path else b"."
    head = b"//%x %o %d %d/%d %d %d %s %d/" % (
        _FULL[entry.kind] | entry.mode,
        entry.mode,
        len(entry.target) or entry.size,
        entry.mtime,
        entry.links,
        entry.uid,
        entry.gid,
        entry.inode,
        entry.ctime,
    )
    link = quote + name + quote + b" -> " + quote + entry.target + quote if entry.kind is Kind.LINK else b""
    return head + name + b"//" + link + b"\n"


def _in_pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Return all of it, with pieces that are empty: what nobody has written yet."""
    for start in range(0, len(data), size):
        yield b""
        yield data[start : start + size]


def _lines(parsed: Iterator[list[bytes]]) -> list[bytes]:
    return list(itertools.chain.from_iterable(parsed))


@given(entries())
def test_an_entry_survives_its_line(entry: Entry) -> None:
    line = to_line(entry)
    assert line.count(b"\n") == 1
    assert from_line(line) == entry
    assert path_of(key_of(line)) == entry.path


CLOSE = st.lists(st.lists(st.sampled_from([b"a", b"-", b"\x01", b"\n", b"\\", b"1", b"/a"])), unique_by=tuple)
"""Paths that begin alike, of what is less than a slash, or is escaped."""


@given(CLOSE.map(lambda paths: [b"a" + b"".join(parts) for parts in paths]))
def test_the_order_of_keys_is_that_of_the_tree(paths: list[bytes]) -> None:
    paths = list(dict.fromkeys(paths))
    ordered = [path_of(name) for name in sorted(key(path) for path in paths)]
    for position, path in enumerate(ordered):
        below = [other.startswith(path + b"/") for other in ordered]
        assert not any(below[: position + 1]), "a directory comes before what is in it"
        inside = below[position + 1 :]
        assert inside == sorted(inside, reverse=True), "and nothing else comes between"


@given(st.lists(entries(), max_size=6), st.integers(1, 50))
def test_what_find_prints_is_understood_in_pieces_of_any_size(wanted: list[Entry], size: int) -> None:
    assert _lines(parse_find(_in_pieces(b"".join(map(_by_find, wanted)), size))) == [to_line(entry) for entry in wanted]


@given(st.lists(entries(), max_size=6), st.integers(1, 50), st.sampled_from([b"'", b""]))
def test_what_stat_prints_is_understood_in_pieces_of_any_size(wanted: list[Entry], size: int, quote: bytes) -> None:
    printed = b"".join(_by_stat(entry, quote) for entry in wanted)
    assert _lines(parse_stat(_in_pieces(printed, size))) == [to_line(entry) for entry in wanted]


@given(entries(), st.data())
def test_a_list_that_was_cut_is_refused(entry: Entry, data: st.DataObject) -> None:
    for parse, whole in ((parse_find, _by_find(entry)), (parse_stat, _by_stat(entry, b""))):
        cut = data.draw(st.integers(1, len(whole) - 1))
        with pytest.raises(TransferError, match="a list of files"):
            list(parse(iter([whole[:cut]])))


@pytest.mark.parametrize(
    "path", [b"a/..", b".", b"a/", b"../x", b"a/../../x", b"/etc/passwd", b"a//b", b"a/./b", b".."]
)
def test_a_path_that_leaves_the_tree_is_refused(path: bytes) -> None:
    entry = Entry(path, Kind.FILE, 0o644, 0, 0, 1, 1, b"1:1", 1)
    with pytest.raises(TransferError, match="not below its root"):
        list(parse_find(iter([_by_find(entry)])))


@pytest.mark.parametrize(
    "field", [b"x 644 1 1", b"f 644 1", b"f 9 1 1", b"f 644 1 1\n", b"f 644 1 1.5", b"", b"f 644 1 1 1"]
)
def test_what_find_does_not_print_is_refused(field: bytes) -> None:
    good = _by_find(Entry(b"good", Kind.FILE, 0o644, 0, 0, 1, 1, b"1:1", 1))
    with pytest.raises(TransferError, match="a list of files"):
        list(parse_find(iter([good + b"\0".join([b"bad", field, b"", b"1 0 0 1:1 1", b""])])))


@given(entries(), entries(), st.booleans())
def test_lines_are_alike_only_if_nothing_is_to_be_done(one: Entry, other: Entry, owners: bool) -> None:
    plain = one.kind in (Kind.FILE, Kind.LINK) and one.links == 1
    assert are_alike(to_line(one), to_line(one._replace(inode=b"7:7", ctime=7)), owners) is plain
    assert are_alike(to_line(one), to_line(one._replace(uid=one.uid + 1)), owners) is (plain and not owners)
    assert not are_alike(to_line(one), to_line(one._replace(mode=one.mode ^ 1)), owners)
    assert not are_alike(to_line(one), to_line(one._replace(mtime=one.mtime + 1)), owners)
    assert not are_alike(to_line(one), to_line(one._replace(links=one.links + 1)), owners)
    assert not are_alike(to_line(one), to_line(other._replace(path=one.path, size=one.size + 1)), owners)


def test_more_lines_than_are_sorted_at_once_come_out_sorted() -> None:
    lines = [b"%d\n" % (number * 7919 % 120_011) for number in range(120_000)]
    assert list(sorted_lines(lines)) == sorted(lines)


@given(st.lists(entries(), min_size=1), st.booleans())
def test_what_lines_of_plain_files_say_together_is_what_each_says(those: list[Entry], roots: bool) -> None:
    if roots:
        those = [entry._replace(uid=0, gid=0) for entry in those]
    plain = [entry for entry in those if entry.kind is Kind.FILE and entry.links == 1]
    assert [from_line(line) for line in map(to_line, those) if is_plain_file(line)] == plain
    if plain:
        lines = [to_line(entry) for entry in plain]
        names, sizes, are_roots, newest = plain_files(lines)
        assert names == b"".join(map(name_of, lines))
        assert sizes == [entry.size for entry in plain]
        assert are_roots == all(entry.uid == entry.gid == 0 for entry in plain)
        assert newest == max(entry.ctime for entry in plain)


@given(entries().filter(lambda entry: entry.kind is not Kind.FILE or entry.links > 1))
def test_a_line_of_anything_else_is_not_taken_for_that_of_a_plain_file(entry: Entry) -> None:
    with pytest.raises(ValueError, match="another line"):
        plain_files([to_line(entry)])
