# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.support import FakeContext, Pipelines, command, sink, temporaries

root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
NOBODY = pwd.getpwnam("nobody")
NOGROUP = grp.getgrgid(NOBODY.pw_gid).gr_name


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """An old file."""
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    return path


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize(("mode", "expected"), [("0600", 0o600), ("u=rw,g=r,o=", 0o640), ("755", 0o755)])
@pytest.mark.parametrize("there", [False, True])
def test_the_mode_that_was_asked_for_is_given(
    pipelines: Pipelines, dest: Path, mode: str, expected: int, there: bool
) -> None:
    if not there:
        dest.unlink()
    result = pipelines.run(command("printf new"), sink(dest, mode=mode))
    assert (result.msg, result.changed, dest.read_text(), _mode(dest)) == (None, True, "new", expected)


def test_a_temporary_is_never_readable_for_others(pipelines: Pipelines, tmp_path: Path) -> None:
    look = f"until stat -c %a {tmp_path}/.file.*.part 2>/dev/null >{tmp_path}/mode; do sleep 0.01; done"
    result = pipelines.run(command(look), sink(tmp_path / "file", mode="0644"))
    assert result.msg is None
    assert (tmp_path / "mode").read_text() == "600\n"
    assert _mode(tmp_path / "file") == 0o644


def test_a_mode_alone_is_a_change(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("printf old"), sink(dest, mode="0600"))
    assert (result.msg, result.changed, _mode(dest)) == (None, True, 0o600)
    again = pipelines.run(command("printf old"), sink(dest, mode="0600"))
    assert (again.msg, again.changed) == (None, False)


@pytest.mark.parametrize("options", [{}, {"mode": "0640"}, {"mode": "u=rw,g=r,o="}])
def test_the_same_file_is_left_alone(pipelines: Pipelines, dest: Path, options: dict[str, str]) -> None:
    before = dest.stat()
    result = pipelines.run(command("printf old"), sink(dest, **options))
    assert (result.msg, result.changed) == (None, False)
    assert result.sinks[0].committed and not result.sinks[0].changed
    assert (dest.stat().st_ino, dest.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not temporaries(dest.parent)


@root
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"owner": NOBODY.pw_name}, (NOBODY.pw_uid, 0)),
        ({"group": NOGROUP}, (0, NOBODY.pw_gid)),
        ({"owner": NOBODY.pw_name, "group": NOGROUP}, (NOBODY.pw_uid, NOBODY.pw_gid)),
        ({"owner": str(NOBODY.pw_uid)}, (NOBODY.pw_uid, 0)),
    ],
    ids=["owner", "group", "both", "by number"],
)
def test_the_owner_that_was_asked_for_is_given(
    pipelines: Pipelines, dest: Path, options: dict[str, str], expected: tuple[int, int]
) -> None:
    result = pipelines.run(command("printf old"), sink(dest, **options))
    assert (result.msg, result.changed) == (None, True)
    assert (dest.stat().st_uid, dest.stat().st_gid) == expected
    assert _mode(dest) == 0o640
    assert not pipelines.run(command("printf old"), sink(dest, **options)).changed


@root
def test_an_owner_does_not_take_the_set_user_id_bit_away(pipelines: Pipelines, dest: Path) -> None:
    """chown(2) clears it, so the mode is set last."""
    assert pipelines.run(command("printf new"), sink(dest, mode="4755", owner="nobody")).msg is None
    assert _mode(dest) == 0o4755


def test_an_owner_that_is_not_known_leaves_the_old_file(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("printf new"), sink(dest, owner="no-such-user"))
    assert result.failed_step == "sink"
    assert result.msg is not None and "no-such-user" in result.msg
    assert not result.changed and not result.sinks[0].committed
    assert [(path.name, path.read_text()) for path in dest.parent.iterdir()] == [("file", "old")]


def test_directories_are_made_if_that_was_asked_for(pipelines: Pipelines, tmp_path: Path) -> None:
    dest = tmp_path / "it's" / "a * folder" / "file"
    refused = pipelines.run(command("printf new"), sink(dest))
    assert refused.msg is not None and "does not exist; make it first, or set 'create_parents'" in refused.msg
    assert list(tmp_path.iterdir()) == []
    assert pipelines.run(command("printf new"), sink(dest, create_parents=True)).msg is None
    assert dest.read_text() == "new"
    assert pipelines.run(command("printf new"), sink(dest, create_parents=True)).changed is False


def test_a_directory_that_cannot_be_made_is_told(pipelines: Pipelines, dest: Path) -> None:
    result = pipelines.run(command("printf new"), sink(dest / "below" / "file", create_parents=True))
    assert result.failed_step == "sink" and result.msg is not None and "does not exist" in result.msg
    assert dest.read_text() == "old"


# -- room on the disk --------------------------------------------------------------------------------------------------


def _with_df(folder: Path, line: str) -> tuple[str, ...]:
    """A transport to a place whose ``df`` says a line, once."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "df").write_text(
        f"#!/bin/sh\necho Filesystem 1024-blocks Used Available Capacity Mounted on\necho '{line}'\n"
    )
    (tools / "df").chmod(0o755)
    return ("/bin/sh", "-c", f'PATH={tools}:$PATH; export PATH; exec /bin/sh -c "$1"', "transport")


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of 100 KiB and a byte."""
    path = tmp_path / "big"
    path.write_bytes(bytes(102_401))
    return path


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_file_that_has_no_room_is_refused_before_it_moves(
    pipelines: Pipelines, big: Path, dest: Path, check_mode: bool
) -> None:
    pipelines.add(FakeContext("db", _with_df(dest.parent, "/dev/a disk 1000 900 100 90% /mnt")))
    result = pipelines.run({"src": str(big)}, sink(dest, "db"), check_mode=check_mode)
    assert result.msg == (
        f"step 'sink' (db): there is no room for {dest}: it needs 102401 bytes, 102400 are free. "
        "Make room there, or choose another directory."
    )
    assert [step.bytes_out for step in result.steps] == [None, None]
    assert dest.read_text() == "old" and not temporaries(dest.parent)


@pytest.mark.parametrize(
    "line", ["disk 1000 899 101 90% /mnt", "proc 0 0 0 - /proc", ""], ids=["room", "none", "empty"]
)
def test_a_file_that_has_room_or_may_have_it_is_written(pipelines: Pipelines, big: Path, dest: Path, line: str) -> None:
    pipelines.add(FakeContext("db", _with_df(dest.parent, line)))
    assert pipelines.run({"src": str(big)}, sink(dest, "db")).msg is None
    assert dest.read_bytes() == big.read_bytes()


def test_behind_a_filter_nobody_knows_how_much_will_come(pipelines: Pipelines, big: Path, dest: Path) -> None:
    pipelines.add(FakeContext("db", _with_df(dest.parent, "disk 1000 999 1 99% /mnt")))
    assert pipelines.run({"src": str(big)}, command("wc -c"), sink(dest, "db")).msg is None
    assert dest.read_text().strip() == "102401"


def test_only_the_destination_without_room_is_given_up(pipelines: Pipelines, big: Path, dest: Path) -> None:
    pipelines.add(FakeContext("db", _with_df(dest.parent, "disk 1000 999 1 99% /mnt")))
    result = pipelines.run(
        {"name": "read", "src": str(big)},
        sink(dest, "db"),
        {"name": "other", "dest": str(dest.with_name("other")), "input": "read"},
        on_sink_failure_continue=True,
    )
    assert result.failed_step == "sink"
    assert dest.read_text() == "old"
    assert dest.with_name("other").read_bytes() == big.read_bytes()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root, to mount a file system")
    argv = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(argv, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("known", [False, True], ids=["size unknown", "size known"])
def test_a_disk_that_is_too_small_keeps_the_old_file(
    pipelines: Pipelines, big: Path, small_disk: Path, known: bool
) -> None:
    dest = small_disk / "file"
    dest.write_text("old")
    source = {"src": str(big)} if known else command(f"cat {big}")
    result = pipelines.run(source, sink(dest))
    assert result.failed_step == "sink"
    assert result.msg is not None
    assert ("there is no room" if known else "No space left on device") in result.msg
    assert [(path.name, path.read_text()) for path in small_disk.iterdir()] == [("file", "old")]
