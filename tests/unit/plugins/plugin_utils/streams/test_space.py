# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._space import free_bytes
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("line", "kilobytes"),
    [
        ("/dev/sda1         41152736 12345678  26695012      32% /", 26695012),
        ("/dev/mapper/a-very-long-volume-group--name-and-a-very-long-logical--volume 1 2 3 4% /srv", 3),
        ("tmpfs 1024 0 1024 0% /run", 1024),
        ("overlay\t1000\t1000\t0\t100%\t/", 0),
        ("//server/a share 500 100 400 20% /mnt/a share", 400),
        ("server:/export 500 100 400 20% /mnt/10 20 30 40% full", 400),
        ("none 9007199254740993 1 9007199254740992 1% /big", 9007199254740992),
    ],
)
def test_what_is_available_is_read_in_bytes(line: str, kilobytes: int) -> None:
    assert free_bytes(line) == kilobytes * 1024


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Filesystem     1024-blocks     Used Available Capacity Mounted on",
        "proc 0 0 0 - /proc",
        "df: /nowhere: No such file or directory",
        "/dev/mapper/a-name-that-was-broken",
        "/dev/sda1 1 2 3",
    ],
)
def test_a_line_that_says_nothing_is_no_statement(line: str) -> None:
    assert free_bytes(line) is None


@given(st.text())
def test_no_text_is_an_error(line: str) -> None:
    assert free_bytes(line) is None or "%" in line


@pytest.mark.parametrize("tool", ["df", "busybox"])
def test_what_the_tools_of_this_machine_say_is_understood(tool: str, tmp_path: Path) -> None:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"there is no {tool} on this machine")
    argv = [program, *(["df"] if tool == "busybox" else []), "-Pk", "--", str(tmp_path)]
    line = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    free, total = free_bytes(line), os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    assert free is not None and 0 <= free <= total
