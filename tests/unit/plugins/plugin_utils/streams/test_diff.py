# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import hashlib
import os
from pathlib import Path

import pytest

from unit.support import FakeContext, Pipelines, command, sink

LONG_AGO = 1_000_000_000


def _lines(size: int, data: bytes | None, changed: int | None = None) -> list[str]:
    lines = [f"size: {size}"]
    if data is not None:
        lines.append(f"sha256: {hashlib.sha256(data).hexdigest()}")
    if changed is not None:
        lines.append(f"modified: {datetime.datetime.fromtimestamp(changed):%Y-%m-%d %H:%M:%S}")
    return lines


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """An old file of some time ago."""
    path = tmp_path / "it's a file"
    path.write_bytes(b"old\n")
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.mark.parametrize("checksum", [False, True])
def test_size_checksum_and_time_are_shown_before_and_after(pipelines: Pipelines, dest: Path, checksum: bool) -> None:
    pipelines.add(FakeContext("db"))
    result = pipelines.run(command("printf longer"), sink(dest, "db"), diff=True, checksum=checksum)
    assert result.msg is None
    (diff,) = result.diff
    assert diff["before_header"] == diff["after_header"] == f"db:{dest}"
    assert diff["before"].splitlines() == _lines(4, b"old\n" if checksum else None, LONG_AGO)
    assert diff["after"].splitlines()[:-1] == _lines(6, b"longer" if checksum else None)
    assert diff["after"].splitlines()[-1].startswith("modified: ")
    assert result.as_task_result()["diff"] == [diff]


def test_a_new_file_has_nothing_before(pipelines: Pipelines, tmp_path: Path) -> None:
    (diff,) = pipelines.run(command("printf new"), sink(tmp_path / "new"), diff=True).diff
    assert diff["before"] == ""
    assert diff["after"].startswith("size: 3\nsha256: ")


def test_the_same_content_shows_no_difference(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("echo old"), sink(dest), diff=True)
    assert not result.changed
    assert result.diff[0]["before"] == result.diff[0]["after"] != ""


def test_what_failed_shows_no_difference(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("echo new; exit 1"), sink(dest), diff=True)
    assert result.failed_step == "step 1"
    assert result.diff[0]["before"] == result.diff[0]["after"] != ""


def test_check_mode_shows_what_is_there_and_that_the_rest_is_not_known(pipelines: Pipelines, dest: Path) -> None:
    (diff,) = pipelines.run(command("echo new"), sink(dest), diff=True, check_mode=True).diff
    assert diff["before"].splitlines() == _lines(4, b"old\n", LONG_AGO)
    assert diff["after"] == "what the pipeline prints; it is not run in check mode\n"
    assert dest.read_bytes() == b"old\n"


def test_every_destination_is_shown(pipelines: Pipelines, dest: Path, tmp_path: Path) -> None:
    result = pipelines.run(
        command("echo new", name="source"),
        sink(dest),
        {"name": "b", "dest": str(tmp_path / "b"), "input": "source"},
        diff=True,
    )
    assert [diff["after_header"] for diff in result.diff] == [f"local:{dest}", f"local:{tmp_path}/b"]
    assert [bool(diff["before"]) for diff in result.diff] == [True, False]


def test_without_being_asked_nothing_is_shown(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("echo new"), sink(dest))
    assert result.diff == () and "diff" not in result.as_task_result()
