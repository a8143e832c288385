# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees that do not fit are refused before anything moves."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

MIB = 1 << 20


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that df says 2 MiB are free in."""
    (tmp_path / "bin").mkdir()
    df = tmp_path / "bin" / "df"
    df.write_text("#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted\necho /dev/x 9 9 2048 9% /\n")
    df.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "src").mkdir()
    (tmp_path / "dest").mkdir()
    return tmp_path


def _send(folder: Path, check_mode: bool = False, dest: str = "dest") -> Result:
    request = Request(Endpoint("local", f"{folder}/src/"), Endpoint("local", f"{folder}/{dest}"), check_mode=check_mode)
    return run_transfer(request, lambda _end: LocalContext("local"))


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize("dest", ["dest", "new"])
def test_what_does_not_fit_is_refused_also_in_check_mode(small: Path, check_mode: bool, dest: str) -> None:
    for number in range(3):
        (small / "src" / f"{number}").write_bytes(os.urandom(MIB))
    result = _send(small, check_mode, dest)
    assert result.failure == (
        f"dest: there is no room at local:{small}/{dest}: it needs {3 * MIB} bytes, {2 * MIB} are free. "
        "Make room there, or choose another directory."
    )
    assert not result.changed
    assert list((small / "dest").iterdir()) == []
    assert not (small / "new").exists()


def test_what_is_there_already_needs_no_room(small: Path) -> None:
    for number in range(3):
        (small / "src" / f"{number}").write_bytes(os.urandom(MIB))
        if number:
            shutil.copy2(small / "src" / f"{number}", small / "dest")
    result = _send(small)
    assert (result.failure, result.files) == (None, 1)


def test_holes_need_no_room(small: Path) -> None:
    with (small / "src" / "holes").open("wb") as file:
        file.truncate(50 * MIB)
    result = _send(small)
    assert (result.failure, result.files) == (None, 1)
    assert (small / "dest" / "holes").stat().st_blocks * 512 < MIB


def test_where_df_says_nothing_there_is_room(small: Path) -> None:
    (small / "bin" / "df").write_text("#!/bin/sh\nexit 1\n")
    (small / "src" / "big").write_bytes(bytes(3 * MIB))
    assert _send(small).failure is None
