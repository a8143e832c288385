# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._errors import SpecError
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import make_filter


@pytest.mark.parametrize(
    ("pattern", "left_alone", "kept"),
    [
        ("*.log", ["a.log", "d/a.log", ".log"], ["a.log.gz", "alog"]),
        ("/cache", ["cache"], ["d/cache", "cached"]),
        ("/cache/", ["cache/"], ["cache"]),
        ("cache/", ["cache/", "d/cache/"], ["cache", "d/cache"]),
        ("d/*.o", ["d/a.o", "x/d/a.o"], ["d/e/a.o", "bd/a.o"]),
        ("/d/**.o", ["d/a.o", "d/e/a.o"], ["x/d/a.o"]),
        ("/a/**/z", ["a/b/z", "a/b/c/z"], ["a/z"]),
        ("a?c", ["abc", "d/a-c"], ["a/c", "ac"]),
        ("[a-c]x", ["bx"], ["dx", "-x"]),
        ("[!a-c]x", ["dx"], ["bx", "a/x"]),
        ("[]]x", ["]x"], ["ax"]),
        (r"\*", ["*"], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
        ("new\nline*", ["new\nline\nx"], ["newline"]),
    ],
)
def test_a_pattern_leaves_alone_what_rsync_would(pattern: str, left_alone: list[str], kept: list[str]) -> None:
    keep = make_filter([], [pattern])
    for path in left_alone:
        assert keep.excludes(path.removesuffix("/").encode(), path.endswith("/")), path
    for path in kept:
        assert not keep.excludes(path.removesuffix("/").encode(), path.endswith("/")), path


def test_what_is_included_stays_although_it_is_excluded() -> None:
    keep = make_filter(["keep.log"], ["*.log"])
    assert not keep.excludes(b"d/keep.log", False)
    assert keep.excludes(b"d/other.log", False)


@pytest.mark.parametrize("pattern", ["", "/", "[z-a]", "a\0b"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(SpecError, match="exclude: "):
        make_filter([], [pattern])
