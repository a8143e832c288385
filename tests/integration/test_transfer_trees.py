# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of nasty names, modes, times and links come out identical over every pair of contexts, at first and again."""

from __future__ import annotations

import itertools
import os
import random
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import make_filter
from hypothesis import HealthCheck, Phase, given, seed, settings

from integration import trees
from integration.direct import Reach, reach
from testbed.pods import Kubes
from testbed.run import Run

pytestmark = pytest.mark.node

SEED = int(os.environ.get("MANIFOLD_TREES_SEED") or secrets.randbits(32))
"""Set the variable to the number that a failed run printed."""
_SETTINGS = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False
)


@pytest.fixture(scope="module")
def everywhere(testbed_run: Run, kubes: Kubes) -> Iterator[Reach]:
    """Contexts of every kind."""
    print(f"MANIFOLD_TREES_SEED={SEED}")
    with reach(testbed_run, kubes) as made:
        yield made


def generated(count: int) -> list[list[trees.Node]]:
    """Return trees as hypothesis makes them."""
    found: list[list[trees.Node]] = []

    @seed(SEED)
    @settings(_SETTINGS, max_examples=count)
    @given(trees.TREES)
    def collect(tree: list[trees.Node]) -> None:
        found.append(tree)

    collect()
    return found


def tour(names: list[str]) -> list[str]:
    """Return a walk that takes every ordered pair of names once, those of a name with itself too."""
    first, rest = names[0], names[1:]
    walk = [first, first]
    if rest:
        walk += [*tour(rest), first]
    for other in rest[1:]:
        walk += [other, first]
    return walk


@pytest.mark.long
def test_a_tree_comes_out_identical_over_every_pair_of_contexts(everywhere: Reach) -> None:
    source = everywhere.folder / "tour-00"
    for number, tree in enumerate(generated(6)):
        trees.make(os.fsencode(source / f"tree-{number}"), tree)
    os.utime(source, (0, 1_500_000_000))
    origin, here = os.fsencode(source), source
    kinds = [name for name in everywhere.contexts if name != "local-busybox"]  # it is among those of the other test
    walk, through_busybox = tour(kinds), False
    assert len(set(itertools.pairwise(walk))) == len(kinds) ** 2
    for number, (src, dest) in enumerate(itertools.pairwise(walk), 1):
        target = everywhere.folder / f"tour-{number:02d}"
        result = everywhere.transfer(src, here, dest, target)
        told = f"{src} to {dest}, seed {SEED}"
        assert (result.failure, result.warnings) == (None, ()), told
        through_busybox = through_busybox or "busybox" in src + dest
        assert trees.differences(origin, os.fsencode(target), since_1970=through_busybox) == [], told
        if number % 4 == 0:
            again = everywhere.transfer(src, here, dest, target, checksum=bool(number % 8))
            assert (again.failure, again.changed) == (None, False), (told, again)
        if here != source:
            shutil.rmtree(here)
        here = target


_COUNTS = ("changed", "files", "bytes", "links", "directories", "attributes", "deleted", "unchanged", "excluded")
Held = dict[bytes, tuple[object, ...]]


def _left_alone(path: bytes, excludes: bool) -> bool:
    return excludes and any(part.endswith(b".keep") for part in path.split(b"/"))


def _refused(src: Held, before: Held, *, delete: bool, excludes: bool) -> bool:
    """Return whether a directory stands where something else is to go, and must not be removed."""
    for path, what in src.items():
        there = before.get(path)
        if what[0] == "directory" or there is None or there[0] != "directory":
            continue
        holds_kept = any(each.startswith(path + b"/") and _left_alone(each, excludes) for each in before)
        if not delete or holds_kept:
            return True
    return False


def _expected_extras(src: Held, before: Held, *, delete: bool, excludes: bool) -> set[bytes]:
    """Return what stays at the destination although the source does not have it."""
    kept = {path for path in before if path not in src and _left_alone(path, excludes)}
    if not delete:
        return {path for path in before if path not in src}
    above = {path[:at] for path in kept for at in range(len(path)) if path[at : at + 1] == b"/"}
    return {path for path in kept | above if path not in src}


def _comparable(held: Held) -> Held:
    """Leave out how many names a file has, of which there may be more, and a link's owner, which is not compared."""
    return {path: what[: 2 if what[0] == "link" else 6] for path, what in held.items()}


def _groups(held: Held, paths: set[bytes]) -> set[frozenset[bytes]]:
    """Return which of the paths are names of one file."""
    found: dict[object, set[bytes]] = {}
    for path in paths:
        if held[path][0] == "file":
            found.setdefault(held[path][-1], set()).add(path)
    return {frozenset(group) for group in found.values()}


@pytest.mark.parametrize("checksum", [False, True])
def test_after_any_change_of_both_sides_a_transfer_does_what_it_says(everywhere: Reach, checksum: bool) -> None:
    chance = random.Random(SEED + checksum)
    changer = trees.Changer(chance)
    source, target = everywhere.folder / f"source-{checksum}", everywhere.folder / f"target-{checksum}"
    origin, copy = os.fsencode(source), os.fsencode(target)
    for number, tree in enumerate(generated(3)):
        trees.make(os.fsencode(source / f"tree-{number}"), tree)
    changer.retime(origin)
    names = list(everywhere.contexts)
    for turn in range(6):
        changer.done.clear()
        changer.change(origin, 6)
        if target.exists():
            changer.change(copy, 6)
        src, dest = chance.choice(names), chance.choice(names)
        delete, excludes = bool(turn % 2), turn % 3 == 1
        told = f"turn {turn}, {src} to {dest}, {delete=}, {excludes=}, {changer.done}, seed {SEED}"
        options = {"delete": delete, "checksum": checksum, "filter": make_filter([], ["*.keep"] if excludes else [])}
        _check_turn(everywhere, (src, source, dest, target), options, told, delete=delete, excludes=excludes)


def _check_turn(
    everywhere: Reach,
    ends: tuple[str, Path, str, Path],
    options: dict[str, Any],
    told: str,
    *,
    delete: bool,
    excludes: bool,
) -> None:
    origin, copy = os.fsencode(ends[1]), os.fsencode(ends[3])
    everything = trees.described(origin, since_1970=True)
    src = {path: what for path, what in everything.items() if not _left_alone(path, excludes)}
    before = trees.described(copy, since_1970=True) if ends[3].exists() else {}
    check = everywhere.transfer(*ends, check_mode=True, **options)
    assert (trees.described(copy, since_1970=True) if ends[3].exists() else {}) == before, told
    done = everywhere.transfer(*ends, **options)
    if _refused(src, before, delete=delete, excludes=excludes):
        assert done.failure and check.failure and "stands where the source has" in done.failure, (told, done)
        assert trees.described(copy, since_1970=True) == before, told
        return
    assert (done.failure, done.warnings) == (None, ()), told
    assert [getattr(check, name) for name in _COUNTS] == [getattr(done, name) for name in _COUNTS], told
    after = trees.described(copy, since_1970=True)
    wanted = _comparable(src)
    got = {path: what for path, what in _comparable(after).items() if path in src}
    wrong = [(path, wanted[path], got.get(path)) for path in wanted if wanted[path] != got.get(path)]
    assert wrong[:3] == [], told
    assert _groups(after, set(src)) == _groups(everything, set(src)), told
    assert set(after) - set(src) == _expected_extras(src, before, delete=delete, excludes=excludes), told
    kept = [path for path in after if path not in src and after[path][0] == "file"]
    assert [after[path][4:6] for path in kept] == [before[path][4:6] for path in kept], told
    for check_mode in (True, False):
        again = everywhere.transfer(*ends, check_mode=check_mode, **options)
        assert (again.failure, again.changed, again.files, again.deleted) == (None, False, 0, 0), (told, again)
