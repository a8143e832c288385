# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._archive import write_archive
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._manifest import Entry, Kind

from unit.support import Shell
from unit.tools import tools_of

PATHS = [b"a b", b"new\nline", b"\xff\xfe", b"back\\slash", b"-rf", b"L" * 101, b"/".join([b"D" * 250] * 3)]


def _directory(path: bytes, mode: int, number: int, mtime: int) -> Entry:
    return Entry(path, Kind.DIRECTORY, mode, number, number, 0, mtime, b"1:1", 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_directories_get_their_attributes_whatever_they_are_called(shell: Shell, tmp_path: Path) -> None:
    wanted = []
    for number, path in enumerate(PATHS):
        os.makedirs(os.path.join(os.fsencode(tmp_path), path))  # noqa: PTH103, PTH118 -- no text
        wanted.append(_directory(path, 0o2750 - number, 3_000_000 + number, 4_102_444_800 + number))
    wanted.append(_directory(b"", 0o1777, 5, 1_000))
    (tmp_path / "a b" / "file").write_text("stays")
    archive: list[bytes] = []
    write_archive(wanted, archive.append)
    done = shell.run(_shell.unpack_script(str(tmp_path), tools_of(shell)), data=b"".join(archive))
    assert done.returncode == 0, done.stderr
    for entry in wanted:
        status = os.lstat(os.path.join(os.fsencode(tmp_path), entry.path))  # noqa: PTH118 -- no text
        got = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime))
        assert got == (entry.mode, entry.uid, entry.gid, entry.mtime), entry.path
    assert (tmp_path / "a b" / "file").read_text() == "stays"
