# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole transfers on this machine, between trees of all kinds."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextKind, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _continue, _run, _shell
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._listing import Listing
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._plan import Plan
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._tree import plan_for_nothing
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.processes import await_exit

NAMES = st.binary(min_size=1, max_size=4).map(lambda name: name.replace(b"\0", b"\n").replace(b"/", b" "))
NODES: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.just("file"), st.binary(max_size=3), st.sampled_from([0o644, 0o400, 0o4711]), st.integers(0, 2))
    | st.tuples(st.just("link"), st.binary(min_size=1, max_size=5).map(lambda text: text.replace(b"\0", b"\n")))
    | st.tuples(st.just("join")),
    lambda inner: st.tuples(
        st.just("folder"),
        st.dictionaries(NAMES.filter(lambda name: name not in (b".", b"..")), inner, max_size=4),
        st.sampled_from([0o755, 0o500]),
        st.integers(0, 2),
    ),
    max_leaves=8,
)
TREES = NODES.filter(lambda node: node[0] == "folder")


def _make(path: bytes, node: Any, files: list[bytes]) -> None:
    text = os.fsdecode(path)
    if node[0] == "folder":
        Path(text).mkdir()
        for name, inner in node[1].items():
            _make(path + b"/" + name, inner, files)
    elif node[0] == "link":
        os.symlink(node[1], path)  # noqa: PTH211 -- a target that is no text
        return
    elif node[0] == "join" and files:
        os.link(files[-1], path)
        return
    else:
        Path(text).write_bytes(node[1] if len(node) > 1 else b"")
        files.append(path)
    if len(node) > 1:
        Path(text).chmod(node[2])
        os.utime(path, (1_000, 1_000 + node[3]))


def _held(root: Path) -> dict[bytes, Any]:
    """Return what a tree holds."""
    found: dict[bytes, Any] = {}
    top = os.fsencode(root)
    for folder, directories, files in os.walk(top):
        for name in (b".", *directories, *files):
            path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 -- no text
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                found[os.path.relpath(path, top)] = os.readlink(path)  # noqa: PTH115 -- no text
            else:
                content = None if stat.S_ISDIR(status.st_mode) else Path(os.fsdecode(path)).read_bytes()
                found[os.path.relpath(path, top)] = (status.st_mode, int(status.st_mtime), content)
    return found


def _inodes(root: Path, names: Iterable[bytes]) -> list[int]:
    return [os.lstat(os.path.join(os.fsencode(root), name)).st_ino for name in names]  # noqa: PTH118 -- no text


def _joined(root: Path) -> list[list[bytes]]:
    """Return the names of each file that has several."""
    names = sorted(name for name, what in _held(root).items() if isinstance(what, tuple) and what[2] is not None)
    groups: dict[int, list[bytes]] = {}
    for name, inode in zip(names, _inodes(root, names), strict=True):
        groups.setdefault(inode, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _transfer(src: str, dest: str, **options: Any) -> Result:
    request = Request(Endpoint("local", src), Endpoint("local", dest), **options)
    return run_transfer(request, lambda end: LocalContext(end.context))


@settings(max_examples=10)
@given(TREES, TREES, st.booleans(), st.booleans())
def test_a_mirror_is_identical_whatever_was_there_and_a_second_run_does_nothing(
    source: Any, there: Any, checksum: bool, perl: bool
) -> None:
    folder = Path(tempfile.mkdtemp())
    hidden = contextlib.nullcontext() if perl else mock.patch.object(_shell, "PERL", "none")
    try:
        with hidden:
            _mirror(folder, source, there, checksum)
    finally:
        shutil.rmtree(folder)


def _mirror(folder: Path, source: Any, there: Any, checksum: bool) -> None:
    for name, tree in (("src", source), ("dest", there)):
        _make(os.fsencode(folder / name), tree, [])
    options = {"delete": True, "allow_empty": True, "checksum": checksum}
    src, dest = f"{folder}/src/", f"{folder}/dest"
    before = _held(folder / "dest")
    check = _transfer(src, dest, check_mode=True, **options)
    assert check.failure is None
    assert _held(folder / "dest") == before, "check mode changes nothing"
    done = _transfer(src, dest, **options)
    assert done.failure is None and not done.warnings, done
    counts = ("changed", "files", "bytes", "links", "directories", "attributes", "deleted", "unchanged")
    assert [getattr(done, name) for name in counts] == [getattr(check, name) for name in counts]
    if checksum:
        assert _held(folder / "dest") == _held(folder / "src")
    for group in _joined(folder / "src"):
        assert len(set(_inodes(folder / "dest", group))) == 1, group
    again = _transfer(src, dest, **options)
    assert (again.failure, again.changed, again.files, again.deleted) == (None, False, 0, 0), again


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    "odd", ["nothing", "the directory's group", "a file's owner", "a file's group", "a link's owner"]
)
def test_owners_arrive_whoever_unpacks_and_wherever(tmp_path: Path, odd: str) -> None:
    source, dest = tmp_path / "src", tmp_path / "dest"
    source.mkdir()
    dest.mkdir()
    for name in ("one", "two"):
        (source / name).write_text(name)
    owners = {"one": (0, 0), "two": (0, 0)}
    if odd == "the directory's group":
        os.chown(dest, 0, 1234)
        dest.chmod(0o2755)
    elif odd == "a link's owner":
        (source / "link").symlink_to("one")
        owners["link"] = (1234, 0)
    elif odd != "nothing":
        owners["two"] = (1234, 0) if odd.endswith("owner") else (0, 1234)
    for name, owner in owners.items():
        os.lchown(source / name, *owner)
    # by an archive: what is in one place is copied if nothing is there yet
    done = _transfer(f"{source}/", str(dest))
    assert (done.failure, done.files) == (None, 2)
    found = {name: (dest / name).lstat() for name in owners}
    assert {name: (status.st_uid, status.st_gid) for name, status in found.items()} == owners


class _Distant(LocalContext):
    """This machine as if it were reached only once all of the source is known, and planned for."""

    kind = ContextKind.SSH

    def __init__(self, planned: threading.Event) -> None:
        super().__init__("distant")
        self._planned = planned

    def launch(self, command: str) -> Launch:
        assert self._planned.wait(30), "the plan waits for the destination"
        return super().launch(command)


@settings(max_examples=10)
@given(TREES)
def test_what_was_planned_before_the_destination_was_reached_is_done_where_nothing_is(source: Any) -> None:
    folder, planned = Path(tempfile.mkdtemp()), threading.Event()

    def plan(request: Request, listing: Listing) -> Plan:
        try:
            return plan_for_nothing(request, listing)
        finally:
            planned.set()

    try:
        _make(os.fsencode(folder / "src"), source, [])
        request = Request(Endpoint("local", f"{folder}/src/"), Endpoint("distant", f"{folder}/dest"))
        places = {"local": LocalContext("local"), "distant": _Distant(planned)}
        with mock.patch.object(_run, "plan_for_nothing", plan):
            first = run_transfer(request, lambda end: places[end.context])
            (folder / "src" / "more").write_bytes(b"")
            again = run_transfer(request, lambda end: places[end.context])
        assert (first.failure, again.failure, again.files, again.links) == (None, None, 1, 0)
        assert _held(folder / "dest") == _held(folder / "src")
        for group in _joined(folder / "src"):
            assert len(set(_inodes(folder / "dest", group))) == 1, group
    finally:
        shutil.rmtree(folder)


def test_a_mirror_removes_directories_with_and_without_something_in_them(tmp_path: Path) -> None:
    for name in ("src", "dest/a", "dest/b/c", "dest/d"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("src/x", "dest/b/c/y", "dest/b/z", "dest/e"):
        (tmp_path / name).write_text(name)
    result = _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest", delete=True)
    assert (result.failure, result.deleted, os.listdir(tmp_path / "dest")) == (None, 7, ["x"])  # noqa: PTH208


def test_what_changes_while_it_is_read_is_not_put_in_place(tmp_path: Path) -> None:
    # every look at this file of the kernel finds something else, and its size is said to be 0
    result = _transfer("/proc/sys/kernel/random/", str(tmp_path / "dest"))
    assert "uuid" in result.unstable
    assert result.failure and "changed while they were read" in result.failure and "uuid" in result.failure
    assert not (tmp_path / "dest" / "uuid").exists()
    assert (result.files, list(tmp_path.rglob(".*"))) == (0, [])


def test_a_file_that_changes_while_it_is_read_is_reported(tmp_path: Path) -> None:
    result = _transfer("/proc/sys/kernel/random/uuid", str(tmp_path / "dest"))
    assert result.unstable == ("/proc/sys/kernel/random/uuid",)
    assert result.failure and "changed while it was read" in result.failure


def test_a_transfer_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("src", "dest", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "src" / "a").write_text("new")
    (tmp_path / "dest" / "a").write_text("older")
    # a tar that fails at its end, when all is unpacked
    tar = tmp_path / "bin" / "tar"
    tar.write_text(f'#!/bin/sh\n{shutil.which("tar")} "$@" || exit\ncase "$1" in -x) exit 7 ;; esac\n')
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    result = _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest")
    assert result.failure and "step 'unpack' (local): it failed with exit status 7" in result.failure
    assert not result.changed
    assert [(path.name, path.read_text()) for path in (tmp_path / "dest").iterdir()] == [("a", "older")]
    os.link(tmp_path / "src" / "a", tmp_path / "src" / "b")  # or cp would copy it
    fresh = _transfer(f"{tmp_path}/src/", f"{tmp_path}/fresh")
    assert fresh.failure and not (tmp_path / "fresh").exists()


def test_a_transfer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a").write_text("new")
    # the process of the first is gone, that of the second is this machine's first
    gone, running = (f".manifold-2026-01-14-170234-1f8a0c3e.{owner}.part" for owner in _owners())
    for name in (gone, running):
        (tmp_path / "dest" / name).mkdir(parents=True)
    assert _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest", delete=True).failure is None
    assert {path.name for path in (tmp_path / "dest").iterdir()} == {"a", running}


@pytest.mark.parametrize("deletes", [True, False])
def test_what_a_killed_one_left_goes_where_nothing_is_to_be_sent_any_more(tmp_path: Path, deletes: bool) -> None:
    src, dest = tmp_path / "src", tmp_path / "dest"
    (src / "sub").mkdir(parents=True)
    (src / "sub" / "a").write_text("new")
    os.utime(src, (1_000, 1_000))
    assert _transfer(f"{src}/", str(dest)).failure is None
    left = dest / f".manifold-2026-01-14-170234-1f8a0c3e.{_owners()[0]}.part"
    (left / "sub").mkdir(parents=True)
    if deletes:
        (dest / "sub" / "b").write_text("older")
    os.utime(dest, (1_000, 1_000))
    assert _transfer(f"{src}/", str(dest), delete=True, check_mode=True).changed is deletes
    assert left.exists()
    # somebody has looked into it, and went on to something else
    with subprocess.Popen(["sleep", "1000"], env={**os.environ, "OLDPWD": str(left)}) as other:
        result = _transfer(f"{src}/", str(dest), delete=True)
        assert other.poll() is None
        other.kill()
    assert (result.failure, result.changed, result.deleted, result.warnings) == (None, deletes, int(deletes), ())
    assert not left.exists()
    assert _held(dest) == _held(src) and dest.stat().st_mtime == 1_000
    assert not _transfer(f"{src}/", str(dest), delete=True).changed


def _killed_at_work(folder: Path) -> int:
    """Kill a transfer from src to dest whose program has said its number through a FIFO, and return that."""
    transfer = (f"{folder}/src/", f"{folder}/dest")
    controller = multiprocessing.get_context("fork").Process(target=_transfer, args=transfer)
    controller.start()
    number = int((folder / "begun").read_text())
    controller.kill()
    controller.join()
    return number


def test_what_is_still_at_work_for_a_killed_one_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("src", "dest", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "src" / "a").write_text("old")
    os.link(tmp_path / "src" / "a", tmp_path / "src" / "b")  # or cp would copy it
    os.mkfifo(tmp_path / "begun")
    tar = tmp_path / "bin" / "tar"
    tar.write_text(
        f'#!/bin/sh\n[ "$1" = -x ] || exec {shutil.which("tar")} "$@"\n'
        f'rm {tar}; echo $$ >{tmp_path}/begun; sleep 1000; {shutil.which("tar")} "$@"\n'
    )
    tar.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    number = _killed_at_work(tmp_path)
    assert await_exit([number], 0) == [number]
    (tmp_path / "src" / "a").write_text("new")
    result = _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest")
    assert (result.failure, result.warnings) == (None, ())
    assert await_exit([number], 10) == []
    assert _held(tmp_path / "dest") == _held(tmp_path / "src")


def test_what_a_killed_one_did_while_it_was_ended_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("src", "dest", "bin"):
        (tmp_path / name).mkdir()
    for name, text, when in (("src/a", "new", 2_000), ("dest/a", "old", 1_000)):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (when, when))
    os.mkfifo(tmp_path / "begun")
    (tmp_path / "bin" / "perl").write_text("#!/bin/sh\nexit 1\n")  # or it would rename
    move = tmp_path / "bin" / "mv"
    move.write_text(
        f"#!/bin/sh\nrm {move}\ntrap '{shutil.which('mv')} \"$@\"; exit' TERM\n"
        f"echo $$ >{tmp_path}/begun; sleep 1000 & wait\n"
    )
    for program in (tmp_path / "bin").iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    _killed_at_work(tmp_path)
    # as at the destination, until the killed one puts in place what it has
    (tmp_path / "src" / "a").write_text("old")
    os.utime(tmp_path / "src" / "a", (1_000, 1_000))
    result = _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest")
    assert (result.failure, result.files, result.changed) == (None, 1, True)
    assert _held(tmp_path / "dest") == _held(tmp_path / "src")


def test_what_comes_while_a_tree_is_copied_does_not_come_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("src/sub", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "src" / "sub" / "a").write_text("a")
    (tmp_path / "src" / "sub" / "b").write_text("b")
    copies = tmp_path / "bin" / "cp"
    copies.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || {{ echo c >sub/c; mkdir sub/d; echo changed >sub/b; }}\n'
        f'exec {shutil.which("cp")} "$@"\n'
    )
    copies.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    result = _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest")
    assert result.unstable == ("sub/b",)
    assert [path.name for path in (tmp_path / "dest" / "sub").iterdir()] == ["a"]
    monkeypatch.undo()
    again = _transfer(f"{tmp_path}/src/", f"{tmp_path}/dest")
    assert (again.failure, again.files) == (None, 2)
    assert _held(tmp_path / "dest") == _held(tmp_path / "src")


@pytest.fixture
def cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tar that is killed after a part of the archive, with the stage that it is in; as long as the file is there."""
    monkeypatch.setattr(_continue, "LARGE", 100_000)
    folder, mark = tmp_path / "bin", tmp_path / "cut"
    folder.mkdir()
    mark.write_text("")
    program = shutil.which("tar")
    (folder / "tar").write_text(
        f'#!/bin/sh\n[ "$1" = -x ] && [ -e {mark} ] || exec {program} "$@"\n'
        f'head -c 150000 | {program} "$@" 2>/dev/null\nkill -KILL 0\n'
    )
    (folder / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return mark


def _make_large(root: Path) -> None:
    (root / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c", "sub/d"):
        (root / name).write_bytes(os.urandom(60_000))
        (root / name).chmod(0o4750)
        os.utime(root / name, (1_000, 1_000))
    os.link(root / "a", root / "sub" / "joined")


@pytest.mark.parametrize("change", ["nothing", "source", "gone", "damage"])
def test_a_tree_that_was_cut_is_gone_on_with(cut: Path, tmp_path: Path, change: str) -> None:
    src, dest = tmp_path / "src", tmp_path / "dest"
    _make_large(src)
    (dest / "sub").mkdir(parents=True)
    (dest / "sub" / "c").write_text("older")
    first = _transfer(f"{src}/", str(dest))
    assert first.failure and "running it again goes on from there" in first.failure
    (staging,) = dest.glob(".manifold-*.part")
    assert (staging / "a").exists() and (dest / "sub" / "c").read_text() == "older"
    # of another run, that is gone
    staging.rename(dest / f".manifold-2026-01-14-170234-1f8a0c3e.{_owners()[0]}.part")
    (left,) = dest.glob(".manifold-*.part")
    cut.unlink()
    resumed = 120_000
    if change == "source":
        (src / "a").write_bytes(os.urandom(60_000))
        resumed = 60_000
    elif change == "gone":
        (src / "a").unlink()
        (src / "sub" / "joined").unlink()
        resumed = 60_000
    elif change == "damage":
        (left / "b").write_bytes(os.urandom(60_000))
        (left / "b").chmod(0o4750)
        os.utime(left / "b", (1_000, 1_000))
    result = _transfer(f"{src}/", str(dest))
    if change == "damage":
        assert result.failure and result.unstable == ("b",)
        assert not (dest / "b").exists()
        result = _transfer(f"{src}/", str(dest))
        resumed = 0
    assert (result.failure, result.warnings, result.resumed) == (None, (), resumed)
    assert _held(dest) == _held(src)


def test_a_cut_is_gone_on_with_by_the_same_transfer(cut: Path, tmp_path: Path) -> None:
    _make_large(tmp_path / "src")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            cut.unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_run, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
        result = _transfer(f"{tmp_path}/src/", str(tmp_path / "dest"), retries=3)
    assert (result.failure, result.retries, result.resumed) == (None, 2, 240_000)
    assert _held(tmp_path / "dest") == _held(tmp_path / "src")


@pytest.mark.usefixtures("cut")
def test_what_is_not_to_be_gone_on_with_is_removed(tmp_path: Path) -> None:
    _make_large(tmp_path / "src")
    result = _transfer(f"{tmp_path}/src/", str(tmp_path / "dest"), resume=False)
    assert result.failure and "again" not in result.failure
    assert not (tmp_path / "dest").exists()


class _Nobody(LocalContext):
    """This machine as a user who owns nothing."""

    def launch(self, command: str) -> Launch:
        user = (b"setpriv", b"--reuid=65534", b"--regid=65534", b"--clear-groups")
        return Launch(argv=(*user, *super().launch(command).argv))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_user_changes_what_is_its_own(tmp_path: Path) -> None:
    inner = ("folder", {b"a": ("file", b"x", 0o644, 0)}, 0o500, 0)
    _make(os.fsencode(tmp_path / "src"), ("folder", {b"d": inner}, 0o755, 0), [])
    with tempfile.TemporaryDirectory() as name:
        open_folder = Path(name)
        open_folder.chmod(0o1777)
        places = {"local": LocalContext("local"), "nobody": _Nobody("nobody")}
        src = Endpoint("local", f"{tmp_path}/src")
        for dest, changed in ((name, True), (name, False), (f"{name}/src/", False)):
            request = Request(src, Endpoint("nobody", dest))
            if dest != name:
                request = replace(request, src=Endpoint("local", f"{tmp_path}/src/"))
            result = run_transfer(request, lambda end: places[end.context])
            assert (result.failure, result.warnings, result.changed) == (None, (), changed)
        copy = open_folder / "src"
        assert _held(copy) == _held(tmp_path / "src")
        assert (copy / "d" / "a").stat().st_uid == 65534
        (copy / "d" / "a").chmod(0o600)
        result = run_transfer(request, lambda end: places[end.context])
        assert (result.failure, result.attributes) == (None, 1)
        assert _held(copy) == _held(tmp_path / "src")
        # the directory that belongs to root is left as it is
        result = run_transfer(replace(request, dest=Endpoint("nobody", f"{name}/.")), lambda end: places[end.context])
        assert (result.failure, stat.S_IMODE(open_folder.stat().st_mode)) == (None, 0o1777)


def _owners() -> tuple[str, str]:
    from ansible_collections.manifold.core.plugins.plugin_utils._owner import owner

    mine = owner()
    return mine.rpartition("-")[0] + "-1", mine
