# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._manifest import (
    Entry,
    Kind,
    key,
    key_of,
    path_of,
    to_line,
)
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._plan import Plan, Planner, Rules

PLAIN = Rules()
MIRROR = Rules(delete=True)


def file(path: str, **more: Any) -> Entry:
    known = {"kind": Kind.FILE, "mode": 0o644, "uid": 0, "gid": 0, "size": 5, "mtime": 100, "links": 1}
    return Entry(path.encode(), **{**known, "inode": b"1:%d" % zlib.crc32(path.encode()), **more})


def folder(path: str, **more: Any) -> Entry:
    return file(path, **{"kind": Kind.DIRECTORY, "mode": 0o755, **more})


def planned(
    source: Iterable[Entry],
    there: Iterable[Entry],
    rules: Rules = PLAIN,
    protected: tuple[bytes, ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return a plan as plain values, after it was closed."""
    lines = [sorted(to_line(entry) for entry in side) for side in ([folder(""), *source], [folder(""), *there])]
    plan = Planner(rules, **more).make(lines[0], lines[1], sorted(map(key, protected)))
    try:
        return _plain(plan)
    finally:
        plan.close()


def _plain(plan: Plan) -> dict[str, Any]:
    removed = {
        name: [path_of(line[1:-1]).decode() for line in getattr(plan, name).lines()] for name in ("cleared", "removed")
    }
    return {
        "work": [f"{work.value.decode()} {path_of(key_of(line)).decode()}" for work, line in plan.lines()],
        "set": [line[:1].decode() for line in plan.set.lines()],
        "directories": [path_of(key_of(line[1:])).decode() for line in plan.directories.lines()],
        "conflicts": [path.decode() for path in plan.conflicts],
        "special": [path.decode() for path in plan.special],
        **removed,
    }


NOTHING: dict[str, Any] = {
    name: [] for name in ("work", "set", "directories", "cleared", "removed", "conflicts", "special")
}
TREE = [folder("d"), file("d/a"), file("d-b"), file("link", kind=Kind.LINK, target=b"x")]
LINKED = [file("a", inode=b"1", links=2), file("b", inode=b"1", links=2)]


def test_nothing_is_done_where_nothing_differs() -> None:
    assert planned(TREE, TREE, MIRROR) == NOTHING


@pytest.mark.parametrize(
    ("source", "there", "rules", "expected"),
    [
        (TREE, [], PLAIN, {"work": ["D d", "S d/a", "S d-b", "S link"], "directories": ["d", ""]}),
        ([folder("d"), file("d/a")], [folder("d")], PLAIN, {"work": ["S d/a"], "directories": ["d", ""]}),
        ([file("a")], [file("a", size=6)], PLAIN, {"work": ["S a"], "directories": [""]}),
        ([file("a")], [file("a", mtime=99)], PLAIN, {"work": ["S a"], "directories": [""]}),
        ([file("a")], [file("a", mode=0o600)], PLAIN, {"set": ["a"]}),
        ([file("a")], [file("a", uid=7)], PLAIN, {"set": ["a"]}),
        ([file("a")], [file("a", uid=7, mode=0o600)], Rules(uid=5), {}),
        ([file("a")], [file("a", uid=5, mode=0o600)], Rules(uid=5), {"set": ["a"]}),
        ([file("a", uid=1)], [file("a", uid=5)], Rules(uid=5), {}),
        ([file("a")], [file("a", mode=0o600, links=2)], PLAIN, {"work": ["S a"], "directories": [""]}),
        ([file("a")], [file("a", mtime=99)], Rules(by_checksum=True), {"set": ["t"]}),
        ([folder("d", mtime=7)], [folder("d")], PLAIN, {"directories": ["d"]}),
        ([folder("d")], [folder("d"), file("d/x")], PLAIN, {}),
        ([folder("d")], [folder("d"), file("d/x")], MIRROR, {"removed": ["d/x"], "directories": ["d"]}),
        (
            [],
            [folder("d"), folder("d/e"), file("d/e/x")],
            MIRROR,
            {"removed": ["d/e/x", "d/e", "d"], "directories": [""]},
        ),
        ([folder("d")], [file("d")], PLAIN, {"work": ["D d"], "cleared": ["d"], "directories": ["d", ""]}),
        ([file("d")], [folder("d"), file("d/x")], PLAIN, {"conflicts": ["d"]}),
        (
            [file("d")],
            [folder("d"), file("d/x")],
            MIRROR,
            {"work": ["S d"], "cleared": ["d/x", "d"], "directories": [""]},
        ),
        ([file("p", kind=Kind.SPECIAL)], [folder("p"), file("p/x")], MIRROR, {"special": ["p"]}),
        (LINKED, [], PLAIN, {"work": ["S a", "L b"], "directories": [""]}),
        (LINKED, LINKED, PLAIN, {}),
        (LINKED, [file("a", inode=b"8"), file("b", inode=b"9")], PLAIN, {"work": ["L b"], "directories": [""]}),
        (
            LINKED,
            [file("a", inode=b"8", links=2, size=1), file("b", inode=b"8", links=2, size=1)],
            PLAIN,
            {"work": ["S a", "L b"], "directories": [""]},
        ),
        (LINKED, [folder("a"), file("b")], MIRROR, {"work": ["S a", "L b"], "cleared": ["a"], "directories": [""]}),
    ],
)
def test_what_differs_is_planned(
    source: list[Entry], there: list[Entry], rules: Rules, expected: dict[str, list[str]]
) -> None:
    assert planned(source, there, rules) == {**NOTHING, **expected}


def test_by_checksum_only_what_differs_is_sent() -> None:
    source = [file("a"), file("b"), file("c")]
    there = [file("a", mtime=1), file("b", mtime=1), file("c")]
    result = planned(source, there, Rules(by_checksum=True), differing=[key(b"b"), key(b"c")])
    assert (result["work"], result["set"]) == (["S b", "S c"], ["t"])


def test_what_is_excluded_keeps_the_directories_it_is_in() -> None:
    there = [folder("d"), folder("d/e"), file("d/x"), file("y")]
    result = planned([], there, MIRROR, protected=(b"d/e/kept",))
    assert result == {**NOTHING, "removed": ["d/x", "y"], "directories": [""]}


def test_what_is_excluded_is_not_replaced() -> None:
    assert planned([file("d")], [folder("d")], MIRROR, protected=(b"d/kept",))["conflicts"] == ["d"]
    assert planned([file("x")], [], MIRROR, protected=(b"x",))["conflicts"] == ["x"]
