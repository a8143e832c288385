# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that lie: a tar that packs what was not asked for, and files that change while they are read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

from unit.tools import without

# What is put before and behind the honest archive: name, type as tarfile has it, target. A text in the place of the
# type is the content of a file. OUT is a directory that belongs to nobody here.
EVIL: dict[str, tuple[list[tuple[str, ...]], list[tuple[str, ...]]]] = {
    "above": ([], [("../escaped", "x"), ("d/../../escaped", "x"), ("./d/../../../escaped", "x")]),
    "absolute": ([], [("OUT/planted", "x"), ("/OUT/planted", "x")]),
    "through a link": ([("link", "SYMTYPE", "OUT"), ("link/planted", "x")], [("link/later", "x")]),
    "through a link upwards": ([("link", "SYMTYPE", "../.."), ("link/escaped", "x"), ("link/out/planted", "x")], []),
    "a link for a directory": ([("d", "SYMTYPE", "OUT")], [("d/planted", "x")]),
    "a link for a directory, late": ([], [("new", "SYMTYPE", "OUT"), ("new/planted", "x")]),
    "a link for a file": ([("d/file", "SYMTYPE", "OUT/precious")], []),
    "a hard link": ([("d/file", "LNKTYPE", "OUT/precious")], []),
    "a hard link upwards": ([], [("hard", "LNKTYPE", "../../out/precious"), ("hard", "overwritten")]),
    "names not asked for": ([], [("extra", "x"), ("d/extra", "x"), ("new/extra", "x"), ("new/deep/extra", "x")]),
    "devices": ([], [("device", "CHRTYPE"), ("new/device", "CHRTYPE"), ("new/pipe", "FIFOTYPE")]),
    "a device for a file": ([], [("d/file", "CHRTYPE")]),
    "other content": ([], [("d/file", "other"), ("new/file", "other")]),
    "a directory for a file": ([("d/file", "DIRTYPE"), ("d/file/extra", "x")], []),
}
ASKED = {"d", "d/file", "new", "new/file", "top"}

_FAKE_TAR = """#!{python}
import io, subprocess, sys, tarfile
if "--version" in sys.argv:
    print("tar (GNU tar) 1.34")
    sys.exit()
honest = subprocess.run(["{tar}", *sys.argv[1:]], stdin=0, stdout=-1).stdout
out = tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.GNU_FORMAT)
def put(entries):
    for name, kind, *target in entries:
        info = tarfile.TarInfo(name)
        info.mode = 0o777
        info.type = getattr(tarfile, kind, tarfile.REGTYPE)
        info.linkname = "".join(target)
        info.devmajor, info.devminor = 1, 3
        content = kind.encode() if info.type == tarfile.REGTYPE else b""
        info.size = len(content)
        out.addfile(info, io.BytesIO(content))
before, after = {entries!r}
put(before)
with tarfile.open(fileobj=io.BytesIO(honest)) as archive:
    for info in archive:
        out.addfile(info, archive.extractfile(info) if info.isreg() else None)
put(after)
out.close()
"""


class _With(LocalContext):
    """This machine with another PATH."""

    def __init__(self, name: str, search: str) -> None:
        super().__init__(name)
        self._search = search

    def launch(self, command: str) -> Launch:
        launch = super().launch(command)
        return replace(launch, argv=(b"env", f"PATH={self._search}".encode(), *launch.argv))


class _Garbling(LocalContext):
    """This machine by a connection that changes a word in what comes from there, and no length."""

    def launch(self, command: str) -> Launch:
        launch = super().launch(command)
        return replace(launch, argv=(b"sh", b"-c", b'"$@" | LC_ALL=C sed s/CONTENT/CONTEXT/', b"sh", *launch.argv))


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def _busybox(folder: Path) -> str:
    program = shutil.which("busybox")
    assert program is not None
    folder.mkdir()
    subprocess.run([program, "--install", "-s", str(folder)], check=True)
    return str(folder)


def _held(root: Path) -> dict[str, tuple[object, ...]]:
    """Return what is below a folder, and what stands there."""
    return {
        str(path.relative_to(root)): (
            oct(path.lstat().st_mode),
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
            path.lstat().st_nlink if path.is_file() else 0,
        )
        for path in root.rglob("*")
    }


def _transfer(src: LocalContext, source: Path, dest: LocalContext, target: Path, **options: Any) -> Result:
    places = {"src": src, "dest": dest}
    request = Request(Endpoint("src", f"{source}/"), Endpoint("dest", str(target)), **options)
    return run_transfer(request, lambda end: places[end.context])


@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "something there"])
@pytest.mark.parametrize("tools", ["gnu", "busybox"])
@pytest.mark.parametrize("evil", EVIL)
def test_an_archive_that_lies_puts_nothing_in_place_that_was_not_asked_for(
    tmp_path: Path, evil: str, tools: str, there: bool
) -> None:
    if os.geteuid() != 0 and "device" in evil:
        pytest.skip("only root makes devices")
    source, target, out, programs = (tmp_path / name for name in ("src", "a/b/dest", "a/out", "bin"))
    for folder in (source / "d", source / "new", target.parent, out, programs):
        folder.mkdir(parents=True)
    (out / "precious").write_text("precious")
    for name in ("d/file", "new/file", "top"):
        (source / name).write_text(name)
    if there:
        (target / "d").mkdir(parents=True)
        (target / "d" / "file").write_text("older")
        (target / "kept").write_text("kept")
    entries = [[tuple(part.replace("OUT", str(out)) for part in entry) for entry in part] for part in EVIL[evil]]
    tar = shutil.which("tar")
    _program(programs / "tar", _FAKE_TAR.format(python=sys.executable, tar=tar, entries=entries))
    liar = _With("src", f"{programs}:{os.environ['PATH']}")
    honest = _With("dest", _busybox(tmp_path / "tools") if tools == "busybox" else os.environ["PATH"])
    before = _held(tmp_path / "a")
    result = _transfer(liar, source, honest, target)
    after = _held(tmp_path / "a")
    outside = {path: what for path, what in after.items() if not path.startswith("b/dest/") and path != "b/dest"}
    assert outside == {path: what for path, what in before.items() if path in outside}, result
    inside = {path.removeprefix("b/dest/") for path in after if path.startswith("b/dest/")}
    assert inside <= ASKED | ({"kept"} if there else set()), result
    for name in ("d/file", "new/file", "top"):
        path = target / name
        if os.path.lexists(path):
            assert path.is_file() and not path.is_symlink(), (name, result)
            assert path.read_text() in (name, "older"), (name, result)
        else:
            assert result.failure, name
    assert not there or (target / "kept").read_text() == "kept"


def _changing(programs: Path, when: str, tools: str, change: str) -> str:
    """Return a PATH with which a change is made once: before tar packs, or while it does.

    GNU tar says so by its exit status then, that of busybox does not know.
    """
    search = os.environ["PATH"]
    if tools == "busybox":
        search = f"{_busybox(programs.parent / 'tools')}:{search}"
        for name in ("sh", "xargs"):  # they would take their own tar, whatever PATH says
            (programs.parent / "tools" / name).unlink()
    tar = shutil.which("tar", path=search)
    once = f'if [ "$1" = -c ] && mkdir {programs}/done 2>/dev/null; then\n'
    packs = change
    if when == "while it is packed":
        packs = f'{tar} "$@" || exit\n{change}\nexit {1 if tools == "gnu" else 0}'
    _program(programs / "tar", f'#!/bin/sh\n{once}{packs}\nfi\nexec {tar} "$@"\n')
    return f"{programs}:{search}"


CHANGES: dict[str, Callable[[Path], str]] = {
    "rewritten": lambda path: f"echo other >{path}",
    "rewritten at the same length": lambda path: f"printf other >{path}",
    "longer": lambda path: f"echo more >>{path}",
    "removed": lambda path: f"rm {path}",
    "replaced by a directory": lambda path: f"rm {path}; mkdir {path}",
    "replaced by a link": lambda path: f"rm {path}; ln -s /etc/passwd {path}",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before it is packed", "while it is packed"])
@pytest.mark.parametrize("tools", ["gnu", "busybox"])
def test_a_file_of_a_tree_that_changes_meanwhile_is_reported_and_left_as_it_was(
    tmp_path: Path, change: str, when: str, tools: str
) -> None:
    for name in ("src", "bin", "dest"):
        (tmp_path / name).mkdir()
    (tmp_path / "src" / "changes").write_text("first")
    (tmp_path / "src" / "stays").write_text("stays")
    (tmp_path / "dest" / "changes").write_text("what was there")
    before = (tmp_path / "dest" / "changes").stat()
    search = _changing(tmp_path / "bin", when, tools, CHANGES[change](tmp_path / "src" / "changes"))
    src, dest = _With("src", search), LocalContext("dest")
    result = _transfer(src, tmp_path / "src", dest, tmp_path / "dest")
    assert (tmp_path / "bin" / "done").exists(), ("it did not change", result)
    assert (tmp_path / "dest" / "stays").read_text() == "stays"
    arrived = tmp_path / "dest" / "changes"
    if result.failure is None:
        assert change.startswith(("rewritten", "longer")) and when == "before it is packed", (
            "it changed when it was read"
        )
        assert arrived.read_text() == (tmp_path / "src" / "changes").read_text()
        return
    assert result.unstable == ("changes",), result
    assert "changed while they were read" in result.failure and "changes" in result.failure
    assert (arrived.stat().st_ino, arrived.read_text()) == (before.st_ino, "what was there")
    if change.startswith(("removed", "replaced")):
        return
    again = _transfer(src, tmp_path / "src", dest, tmp_path / "dest")
    assert (again.failure, again.files) == (None, 1)
    assert arrived.read_text() == (tmp_path / "src" / "changes").read_text()


@pytest.mark.parametrize("hidden", ["", "openssl", "openssl b2sum", "openssl perl"])
@pytest.mark.parametrize("there", [False, True], ids=["nothing there", "something there"])
def test_a_tree_that_was_changed_on_its_way_is_not_put_in_place(tmp_path: Path, there: bool, hidden: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file").write_text("the CONTENT of it")
    if there:
        (tmp_path / "dest").mkdir()
        (tmp_path / "dest" / "file").write_text("older")
    dest = _With("dest", str(without(tmp_path / "bin", *hidden.split())))
    result = _transfer(_Garbling("src"), tmp_path / "src", dest, tmp_path / "dest")
    assert result.failure and "what arrived is not what was sent" in result.failure, result
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in (tmp_path / "dest").rglob("*")}
    assert found == ({"dest/file": "older"} if there else {})


@pytest.mark.parametrize("compress", ["none", "gzip"])
@pytest.mark.parametrize("tools", ["gnu", "busybox"])
def test_what_is_no_state_of_a_file_is_not_put_in_place(tmp_path: Path, tools: str, compress: str) -> None:
    for name in ("src", "bin", "dest"):
        (tmp_path / name).mkdir()
    file = tmp_path / "src" / "changes"
    file.write_text("first")
    os.utime(file, (1_000, 1_000))
    # what tar reads was there only while it read, with the same size and time
    change = f"printf torn. >{file}; touch -d @1000 {file}"
    after = f"printf first >{file}; touch -d @1000 {file}"
    search = _changing(tmp_path / "bin", "before it is packed", tools, change)
    packs = tmp_path / "bin" / "tar"
    elsewhere = search.split(":", 1)[1]
    tar = shutil.which("tar", path=elsewhere)
    status = "1" if tools == "gnu" else "$?"
    text = packs.read_text().replace("\nfi\n", f'\n{tar} "$@"; r={status}; {after}; exit $r\nfi\n')
    packs.write_text(text)
    result = _transfer(
        _With("src", search), tmp_path / "src", LocalContext("dest"), tmp_path / "dest", compress=compress
    )
    assert (tmp_path / "bin" / "done").exists(), "it did not change"
    assert result.unstable == ("changes",), result
    assert not (tmp_path / "dest" / "changes").exists()


@pytest.mark.parametrize("change", ["rewritten", "longer", "removed"])
def test_a_single_file_that_changes_meanwhile_is_reported_and_not_put_in_place(tmp_path: Path, change: str) -> None:
    for name in ("src", "bin", "dest"):
        (tmp_path / name).mkdir()
    source, target = tmp_path / "src" / "file", tmp_path / "dest" / "file"
    source.write_bytes(b"first" * 100_000)
    target.write_text("what was there")
    # it is read by cat, and changes when that has come to its end
    real = shutil.which("cat")
    hook = f"mkdir {tmp_path}/bin/done 2>/dev/null && {{ {CHANGES[change](source)}; }}"
    _program(tmp_path / "bin" / "cat", f'#!/bin/sh\n{real} "$@" || exit\n{hook}\nexit 0\n')
    places = {"src": _With("src", f"{tmp_path}/bin:{os.environ['PATH']}"), "dest": LocalContext("dest")}
    request = Request(Endpoint("src", str(source)), Endpoint("dest", str(target)))
    result = run_transfer(request, lambda end: places[end.context])
    assert (tmp_path / "bin" / "done").exists(), "it did not change"
    assert result.failure and "changed while it was read" in result.failure, result
    assert target.read_text() == "what was there"
