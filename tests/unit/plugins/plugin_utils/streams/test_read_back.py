# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that writes extents of a file and prints what the file then holds there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._counting import SPLICE_NUMBER
from ansible_collections.manifold.core.plugins.plugin_utils.streams._read_back import PROGRAM

pytestmark = pytest.mark.skipif(shutil.which("perl") is None, reason="without perl, dd is used")

UNIT = 4096


def argv(file: Path, *extents: str) -> list[str]:
    """Return the program for extents of a file; the last one may be longer than what comes."""
    number = subprocess.run(["perl", "-MConfig", "-e", SPLICE_NUMBER], capture_output=True, text=True, check=True)
    return ["perl", "-e", PROGRAM, number.stdout, str(file), str(UNIT), "", *extents]


@pytest.mark.parametrize("kind", ["pipe", "socket", "file"])
def test_extents_are_written_and_printed_whatever_the_input_is(tmp_path: Path, kind: str) -> None:
    file, data = tmp_path / "x", os.urandom(600 * UNIT + 123)
    file.write_bytes(b"." * 10 * UNIT)
    words = argv(file, "2:1", "5:600")
    if kind == "pipe":
        done = subprocess.run(words, input=data, capture_output=True, check=True)
    elif kind == "file":
        (tmp_path / "in").write_bytes(data)
        with (tmp_path / "in").open("rb") as stream:
            done = subprocess.run(words, stdin=stream, capture_output=True, check=True)
    else:
        ours, theirs = socket.socketpair()

        def write() -> None:
            with ours:
                ours.sendall(data)

        writer = threading.Thread(target=write)
        writer.start()
        with theirs:
            done = subprocess.run(words, stdin=theirs.fileno(), capture_output=True, check=True)
        writer.join()
    assert (done.stdout, done.stderr) == (data, b"")
    held = file.read_bytes()
    assert held[: 5 * UNIT] == b"." * 2 * UNIT + data[:UNIT] + b"." * 2 * UNIT
    assert held[5 * UNIT :] == data[UNIT:]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="nothing here is always full")
def test_what_cannot_be_written_is_said() -> None:
    done = subprocess.run(argv(Path("/dev/full"), "0:9"), input=b"x" * UNIT, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"/dev/full: No space left on device" in done.stderr
