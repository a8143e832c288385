# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._errors import TransferError
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._manifest import Entry, Kind, to_line
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._sums import (
    missing_or_differing,
    sums,
    unasked,
    unproven,
)
from hypothesis import example, given
from hypothesis import strategies as st

NAMES = st.text("ab\n\\\r -", min_size=1, max_size=5).map(str.encode)


def _digest(path: bytes) -> bytes:
    return hashlib.sha256(path).hexdigest().encode()


def _printed(path: bytes, mark: bytes, escapes: str) -> bytes:
    name = b"./" + path
    # openssl escapes line breaks only, and then not the backslashes that are there
    escaped = (name if escapes == "breaks" else name.replace(b"\\", b"\\\\")).replace(b"\n", b"\\n")
    if not escapes or escaped == name:
        return _digest(path) + b" " + mark + name + b"\n"
    return b"\\" + _digest(path) + b" " + mark + escaped + b"\n"


@example([(b"a", False), (b"a\nb", True), (b"c", True)], b" ", "", 7)
@example([(b"a\\\nb", True)], b"*", "breaks", 7)
@given(
    st.lists(st.tuples(NAMES, st.booleans())),
    st.sampled_from([b" ", b"*"]),
    st.sampled_from(["", "all", "breaks"]),
    st.integers(1, 90),
)
def test_checksums_are_told_apart_whatever_the_names(
    files: list[tuple[bytes, bool]], mark: bytes, escapes: str, size: int
) -> None:
    known = dict(files)
    data = b"".join(_printed(path, mark, escapes) for path, readable in known.items() if readable)
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    assert list(sums(known, pieces)) == [
        (path, _digest(path) if readable else None) for path, readable in known.items()
    ]


def test_an_output_that_is_no_list_of_checksums_is_refused() -> None:
    with pytest.raises(TransferError, match="a list of checksums cannot be read"):
        list(sums([b"a"], iter([b"something else\n"])))


def test_a_checksum_that_is_missing_counts_as_different() -> None:
    one = [(b"a", b"1"), (b"b", b"2"), (b"c", None), (b"d", None), (b"e", b"5"), (b"g", b"7")]
    other = [(b"a", b"1"), (b"b", b"3"), (b"c", b"4"), (b"d", None), (b"f", b"6")]
    assert list(missing_or_differing(one, other)) == [b"b", b"c", b"d", b"e", b"g"]


def _entry(path: bytes, kind: Kind = Kind.FILE, target: bytes = b"") -> Entry:
    return Entry(path, kind, 0o644, 0, 0, 1, 1, b"1:1", 1, target)


def test_only_what_is_there_as_it_was_sent_is_proven() -> None:
    sent = [
        _entry(b"good"),
        _entry(b"gone"),
        _entry(b"differs"),
        _entry(b"link", Kind.LINK, b"here"),
        _entry(b"other link", Kind.LINK, b"here"),
        _entry(b"other kind"),
    ]
    there = [_entry(b""), _entry(b"good"), _entry(b"differs"), _entry(b"link", Kind.LINK, b"here"), _entry(b"more")]
    there += [_entry(b"other link", Kind.LINK, b"there"), _entry(b"other kind", Kind.DIRECTORY)]
    lines, staged = sorted(map(to_line, sent)), sorted(map(to_line, there))
    assert sorted(unproven(lines, staged, [b"differs"])) == [b"differs", b"gone", b"other kind", b"other link"]


@pytest.mark.parametrize(
    ("planned", "staged", "found"),
    [
        ("f:a/b l:c", "d: d:a f:a/b l:c", []),
        ("f:a/b l:c", "d: d:a f:a/b f:a/x l:c f:z", [b"a/x", b"z"]),
        ("f:a/b/c", "d: d:a d:a/b f:a/b/c d:a/x d:z", [b"a/x", b"z"]),
        ("f:a/b", "d: d:a d:a-b", [b"a-b"]),
        ("d:a f:a/b", "d: l:a", [b"a"]),
        ("d:a f:a/b", "d: d:a d:a/b", []),
        ("f:a/b", "d: l:a", [b"a"]),
    ],
)
def test_what_was_not_asked_for_is_found(planned: str, staged: str, found: list[bytes]) -> None:
    def lines(text: str) -> list[bytes]:
        words = (word.split(":") for word in text.split())
        return [to_line(Entry(path.encode(), Kind(kind), 0, 0, 0, 0, 0, b"1:1", 1)) for kind, path in words]

    assert list(unasked(lines(planned), lines(staged))) == found
