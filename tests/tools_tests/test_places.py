# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tools import places


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_the_folder_of_a_run_goes_with_it_and_so_do_those_of_dead_runs(tmp_path: Path) -> None:
    dead = tmp_path / "manifold-core" / "runs" / "dead"
    dead.mkdir(parents=True)
    (dead / "lock").touch()
    with places.run_folder() as ours:
        assert ours.is_dir()
        assert not dead.exists()
        with places.run_folder():
            assert ours.is_dir(), "a run that lives keeps its folder"
    assert not ours.exists()


def test_only_what_was_long_unused_is_removed(tmp_path: Path) -> None:
    for name, age in (("old", places.UNUSED_FOR + 60), ("new", 60.0)):
        (tmp_path / name).mkdir()
        marker = tmp_path / name / "marker"
        marker.touch()
        os.utime(marker, (time.time() - age,) * 2)
    places.remove_unused(tmp_path, "marker")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["new"]


def test_a_relative_cache_folder_is_ignored_as_the_standard_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.cache_root() == tmp_path / ".cache" / "manifold-core"
