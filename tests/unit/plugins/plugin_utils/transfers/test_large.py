# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers of single files on this machine: what is sent, kept, resumed, refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _file
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._partial import origin
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._segments import SEGMENT
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

MIB = 1 << 20
SIZE = 3 * SEGMENT + 12345
GONE = "00000000-1-1"
NOW = 1_700_000_000


@pytest.fixture(autouse=True)
def _small_files_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_file, "LARGE", MIB)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A large file."""
    file = tmp_path / "source"
    file.write_bytes(os.urandom(SIZE))
    file.chmod(0o640)
    os.utime(file, (NOW, NOW))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "to"
    made.mkdir()
    return made


def send(src: Path, dest: Path, places: tuple[str, str] = ("one", "other"), **options: Any) -> Result:
    """Transfer between two contexts that are both this machine."""
    one, other = Endpoint(places[0], str(src)), Endpoint(places[1], str(dest))
    return run_transfer(Request(one, other, **options), lambda end: LocalContext(end.context))


def partial_of(src: Path, dest: Path, owner: str | None = None) -> Path:
    """Return where the partial file of a transfer is; by default that of this process."""
    status = src.stat()
    mine = origin(Endpoint("one", str(src)), str(dest), status.st_size, int(status.st_mtime)).mine()
    name = mine if owner is None else f"{mine.partition('.')[0]}.{owner}"
    return dest.with_name(f".{dest.name}.{name}.part")


def held(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("streams", [1, 3, 32])
def test_a_large_file_arrives_with_its_attributes_and_nothing_else(source: Path, folder: Path, streams: int) -> None:
    dest = folder / "x"
    done = send(source, dest, streams=streams)
    assert (done.failure, done.changed, done.bytes, done.resumed) == (None, True, SIZE, 0), done
    assert done.streams == streams
    assert dest.read_bytes() == source.read_bytes()
    assert (dest.stat().st_mode & 0o7777, dest.stat().st_mtime) == (0o640, NOW)
    assert held(folder) == ["x"]
    assert not send(source, dest, streams=streams).changed


def test_what_is_there_is_proven_and_only_the_rest_is_sent(source: Path, folder: Path) -> None:
    dest = folder / "x"
    part = partial_of(source, dest)
    data = bytearray(source.read_bytes()[: 2 * SEGMENT + 500])
    data[SEGMENT + 7] ^= 1
    part.write_bytes(data)
    done = send(source, dest)
    assert (done.failure, done.resumed, done.bytes) == (None, SEGMENT, SIZE - SEGMENT), done
    assert dest.read_bytes() == source.read_bytes()
    assert held(folder) == ["x"]


def test_a_partial_file_that_is_whole_is_only_put_in_place(source: Path, folder: Path) -> None:
    dest = folder / "x"
    shutil.copy(source, partial_of(source, dest))
    done = send(source, dest, streams=4)
    assert (done.failure, done.resumed, done.bytes, done.changed) == (None, SIZE, 0, True), done
    assert dest.read_bytes() == source.read_bytes()


def test_a_partial_file_that_is_longer_than_the_source_is_cut(source: Path, folder: Path) -> None:
    dest = folder / "x"
    partial_of(source, dest).write_bytes(source.read_bytes() + b"more")
    done = send(source, dest)
    assert done.failure is None, done
    assert dest.read_bytes() == source.read_bytes()


def test_a_partial_file_of_another_state_of_the_source_goes(source: Path, folder: Path) -> None:
    dest = folder / "x"
    partial_of(source, dest).write_bytes(source.read_bytes()[:SEGMENT])
    os.utime(source, (NOW, NOW + 1))
    done = send(source, dest)
    assert (done.failure, done.resumed) == (None, 0), done
    assert held(folder) == ["x"]


def test_a_partial_file_whose_owner_may_be_at_work_is_left_alone_until_nobody_writes_to_it(
    source: Path, folder: Path
) -> None:
    dest = folder / "x"
    part = partial_of(source, dest, GONE)  # of another machine, as far as one can tell from here
    part.write_bytes(source.read_bytes()[:SEGMENT])
    done = send(source, dest)
    assert (done.failure, done.resumed) == (None, 0), done
    assert held(folder) == [part.name, "x"]
    os.utime(part, (NOW, NOW))
    dest.unlink()
    done = send(source, dest)
    assert (done.failure, done.resumed) == (None, SEGMENT), done
    assert held(folder) == ["x"]


def test_without_resume_nothing_is_taken_over_or_left(source: Path, folder: Path) -> None:
    dest = folder / "x"
    part = partial_of(source, dest)
    part.write_bytes(b"x")
    done = send(source, dest, resume=False, streams=2)
    assert (done.failure, done.resumed, done.streams) == (None, 0, 2), done
    assert held(folder) == [part.name, "x"]


class Meddling(LocalContext):
    """Does something to a file when a program is started there for the n-th time."""

    def __init__(self, name: str, when: int, what: Callable[[], object]) -> None:
        super().__init__(name)
        self._left = when
        self._what = what

    def launch(self, command: str) -> Any:
        self._left -= 1
        if self._left == 0:
            self._what()
        return super().launch(command)


def meddled(src: Path, dest: Path, when: int, what: Callable[[], object], **options: Any) -> Result:
    def place(end: Endpoint) -> Context:
        return Meddling(end.context, when, what) if end.context == "one" else LocalContext(end.context)

    return run_transfer(Request(Endpoint("one", str(src)), Endpoint("other", str(dest)), **options), place)


@pytest.mark.parametrize("size", [1000, SIZE])
def test_a_source_that_changed_since_it_was_looked_at_is_not_put_in_place(folder: Path, size: int) -> None:
    source, dest = folder / "source", folder / "x"
    source.write_bytes(os.urandom(size))
    os.utime(source, (NOW, NOW))
    dest.write_text("old")
    done = meddled(source, dest, 2, lambda: source.write_bytes(b"y" * size))
    assert done.failure and "changed while it was read" in done.failure, done
    assert (done.changed, done.bytes, done.unstable) == (False, 0, (str(source),))
    assert dest.read_text() == "old"
    assert held(folder) == ["source", "x"]


def test_a_sparse_file_stays_sparse(folder: Path) -> None:
    source, dest = folder / "source", folder / "x"
    with source.open("wb") as file:
        file.truncate(200 * MIB)
        for at in (5 * MIB, 150 * MIB + 77):
            file.seek(at)
            file.write(os.urandom(MIB))
    done = send(source, dest, streams=2)
    assert (done.failure, done.changed) == (None, True), done
    assert dest.stat().st_size == 200 * MIB
    assert dest.stat().st_blocks * 512 < 8 * MIB
    assert dest.read_bytes() == source.read_bytes()
    part = partial_of(source, dest)
    dest.rename(part)
    with part.open("r+b") as file:
        file.seek(100 * MIB)
        file.write(b"what does not belong there")
    done = send(source, dest)
    assert done.failure is None and 0 < done.resumed <= 100 * MIB, done
    assert dest.read_bytes() == source.read_bytes()
    assert dest.stat().st_blocks * 512 < 8 * MIB


def test_within_one_place_the_file_is_copied_there(source: Path, folder: Path) -> None:
    dest = folder / "x"
    for checksum in (False, True):
        done = send(source, dest, ("here", "here"), checksum=checksum)
        assert (done.failure, done.changed, done.bytes) == (None, True, SIZE), done
        assert dest.read_bytes() == source.read_bytes()
        assert (dest.stat().st_mode & 0o7777, dest.stat().st_mtime) == (0o640, NOW)
        assert held(folder) == ["x"]
        dest.write_bytes(b"other")


def instead_of(folder: Path, program: str, line: str) -> Path:
    """Make a folder for PATH with a program that runs a line before, or instead of, the real one; return it."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / program).write_text(f'#!/bin/sh\n{line}\nexec {shutil.which(program)} "$@"\n')
    (tools / program).chmod(0o755)
    return tools


def without_perl(tools: Path) -> None:
    """Let perl be one that does not work."""
    (tools / "perl").write_text("#!/bin/sh\nexit 1\n")
    (tools / "perl").chmod(0o755)


@pytest.mark.parametrize("streams", [1, 3])
def test_without_perl_a_large_file_arrives_too(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    dest = folder / "x"
    dest.write_text("old")
    tools = instead_of(tmp_path, "sync", ":")
    without_perl(tools)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    done = send(source, dest, streams=streams)
    assert (done.failure, done.bytes, done.streams) == (None, SIZE, streams), done
    assert dest.read_bytes() == source.read_bytes()


@pytest.mark.parametrize(
    ("old", "streams", "there", "flushed"),
    [(None, 1, 0, False), ("old", 1, 0, True), (None, 2, 0, True), (None, 1, 2 * SEGMENT, True)],
    ids=["new", "replaces", "side by side", "resumed"],
)
def test_only_a_new_file_that_was_written_from_start_to_end_is_not_flushed(
    source: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str | None,
    streams: int,
    there: int,
    flushed: bool,
) -> None:
    dest, notes = folder / "x", tmp_path / "notes"
    notes.touch()
    if old:
        dest.write_text(old)
    if there:
        partial_of(source, dest).write_bytes(source.read_bytes()[:there])
    monkeypatch.setenv("PATH", f"{instead_of(tmp_path, 'sync', f'echo $* >>{notes}')}:{os.environ['PATH']}")
    done = send(source, dest, streams=streams)
    assert (done.failure, done.resumed) == (None, there), done
    # first the file before it gets its name, then its directory
    assert [".part" in line for line in notes.read_text().splitlines()[-2:]] == ([True, False] if flushed else [])


@pytest.mark.parametrize(("program", "size", "streams"), [("cat", 1000, 1), ("cat", SIZE, 1), ("dd", SIZE, 2)])
def test_a_source_that_changes_while_it_is_read_is_not_put_in_place(
    folder: Path, tmp_path: Path, program: str, size: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, dest = folder / "source", folder / "x"
    source.write_bytes(os.urandom(size))
    os.utime(source, (NOW, NOW))
    dest.write_text("old")
    touch = f'case "$*" in *{source}*) touch -d @{NOW + 9} {source} ;; esac'
    monkeypatch.setenv("PATH", f"{instead_of(tmp_path, program, touch)}:{os.environ['PATH']}")
    done = send(source, dest, streams=streams)
    assert done.failure and "changed while it was read" in done.failure, done
    assert (done.changed, done.bytes, done.unstable) == (False, 0, (str(source),))
    assert dest.read_text() == "old"
    assert held(folder) == ["source", "x"]


def test_too_little_room_is_said_before_anything_moves_and_what_is_there_needs_none(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, dest = tmp_path / "tools", folder / "x"
    tools.mkdir()
    (tools / "df").write_text("#!/bin/sh\necho /dev/x 100000 80000 20000 80% /\n")
    (tools / "df").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    for places in (("one", "other"), ("here", "here")):
        done = send(source, dest, places, streams=2)
        assert done.failure and "there is no room for" in done.failure and "20480000 are free" in done.failure, done
        assert held(folder) == []
    partial_of(source, dest).write_bytes(source.read_bytes()[: 2 * SEGMENT])
    done = send(source, dest, streams=2)
    assert (done.failure, done.resumed) == (None, 2 * SEGMENT), done


_LOSES = {
    "dd": 'case "$*" in *seek=0*) head -c 1000000 >"${1#of=}"; cat >/dev/null; exit ;; esac',
    "perl": 'case "$*" in *sysseek*) head -c 1000000 | "$0" -pe 1 >"$4"; cat "$4"; cat >/dev/null; exit ;; esac',
}
"""Programs that lose the end of what they are given to write."""


@pytest.mark.parametrize("program", ["dd", "perl"])
def test_a_part_that_arrived_wrong_is_not_put_in_place_but_sent_again(
    source: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    dest = folder / "x"
    tools = instead_of(tmp_path, program, _LOSES[program])
    if program == "dd":
        without_perl(tools)
    dest.write_text("old")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        done = send(source, dest)
    assert done.failure and "bytes are kept as" in done.failure, done
    assert dest.read_text() == "old"
    done = send(source, dest)
    assert (done.failure, done.changed) == (None, True), done
    assert dest.read_bytes() == source.read_bytes()
