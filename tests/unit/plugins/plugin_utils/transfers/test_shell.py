# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts, in every shell and with every set of tools that contexts have."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _apply, _shell
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._apply import Batches
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import Filter, make_filter
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._listing import Listing, PathKind, read_listing
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._manifest import Entry, Kind, from_line, name_of
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._proof import states
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spool import Spool
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._sums import sums

from unit.support import Shell
from unit.tools import tools_of

NAMES = [b"plain", b" sp ", b"-rf", b"new\nline", b"ends\n", b"\xff\xfe", b"a'b\"c", b"back\\slash", b"$(x)`y`", b"*"]
_NONCE, _OTHER = "5" * 32, "6" * 32


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with names of every kind."""
    root = tmp_path / "it's a tree"
    (root / "sub").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        for folder in (root, root / "sub"):
            path = folder / os.fsdecode(name)
            path.write_bytes(name * 100 * number)
            path.chmod(0o600 + number)
            os.utime(path, (1_000_000, 1_000_000 + number))
    (root / "link").symlink_to("to' -> 'new\n//line")
    os.link(root / "plain", root / "again")
    os.mkfifo(root / "pipe")
    return root


def _listing(shell: Shell, path: str, name: str | None = None, keep: Filter | None = None) -> Listing:
    done = shell.run(_shell.list_script(path, name))
    assert done.returncode == 0, done.stderr
    raw = Spool()
    raw.write(done.stdout)
    try:
        return read_listing(raw, keep or Filter())
    finally:
        raw.close()


def _entries(listing: Listing) -> dict[bytes, Entry]:
    found = {entry.path: entry for entry in map(from_line, listing.manifest.lines())}
    listing.close()
    return found


def _paths(root: Path) -> Iterator[bytes]:
    for folder, directories, files in os.walk(os.fsencode(root)):
        for name in (*directories, *files):
            yield os.path.relpath(os.path.join(folder, name), os.fsencode(root))  # noqa: PTH118 -- no text


def test_a_list_says_what_is_there(shell: Shell, tree: Path) -> None:
    listing = _listing(shell, str(tree))
    assert (listing.kind, listing.inside, listing.writable, listing.uid) == (PathKind.TREE, False, True, os.getuid())
    assert listing.tar == ("busybox" if shell.name == "busybox" else "gnu")
    found = _entries(listing)
    assert set(found) == {b"", *_paths(tree)}
    for path, entry in found.items():
        status = os.lstat(os.path.join(os.fsencode(tree), path))  # noqa: PTH118 -- no text
        of_file = entry.kind is Kind.FILE
        assert (entry.size, entry.links) == ((status.st_size, status.st_nlink) if of_file else (0, 1))
        if of_file or entry.kind is Kind.DIRECTORY:
            told = (entry.mode, entry.uid, entry.gid, entry.mtime)
            assert told == (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime))
    kinds = {b"link": Kind.LINK, b"pipe": Kind.SPECIAL, b"sub": Kind.DIRECTORY, b"plain": Kind.FILE}
    assert {path: found[path].kind for path in kinds} == kinds
    assert found[b"link"].target == b"to' -> 'new\n//line"
    assert found[b"plain"].inode == found[b"again"].inode != found[b"link"].inode


def test_a_list_says_what_a_path_is(shell: Shell, tree: Path) -> None:
    (tree / "to sub").symlink_to("sub")
    cases = {
        (str(tree / "plain"), None): (PathKind.FILE, False, True),
        (str(tree / "nothing"), None): (PathKind.ABSENT, False, True),
        (str(tree / "no" / "thing"), None): (PathKind.ABSENT, False, False),
        (str(tree / "pipe"), None): (PathKind.SPECIAL, False, True),
        (str(tree / "to sub"), None): (PathKind.TREE, False, True),
        (str(tree), "sub"): (PathKind.TREE, True, True),
        (str(tree), "-rf"): (PathKind.FILE, True, True),
        (str(tree), "to sub"): (PathKind.LINK, True, True),
        (str(tree), "nothing"): (PathKind.ABSENT, True, True),
        (str(tree / "plain"), "x"): (PathKind.FILE, False, True),
    }
    for (path, name), expected in cases.items():
        listing = _listing(shell, path, name)
        found = list(_entries(listing))
        assert (listing.kind, listing.inside, listing.parent_exists) == expected, (path, name)
        assert (b"" in found) is (listing.kind in (PathKind.FILE, PathKind.TREE))


def test_what_is_excluded_is_not_listed_but_known(shell: Shell, tree: Path) -> None:
    listing = _listing(shell, str(tree), keep=make_filter([], ["sub/", "/-*"]))
    assert list(listing.keys()) == [b"-rf", b"sub"]
    assert listing.excluded == 2
    assert {path for path in _entries(listing) if path.startswith((b"sub", b"-rf"))} == set()


def test_checksums_are_those_of_the_files(shell: Shell, tree: Path) -> None:
    paths = [path for path in _paths(tree) if (tree / os.fsdecode(path)).is_file() and path != b"link"]
    asked = [*paths, b"gone"]
    done = shell.run(_shell.sums_script(str(tree)), data=b"".join(b"./" + path + b"\0" for path in asked))
    assert done.returncode in _shell.SUMMED
    expected = [hashlib.sha256((tree / os.fsdecode(path)).read_bytes()).hexdigest().encode() for path in paths]
    assert list(sums(asked, iter([done.stdout]))) == [*zip(paths, expected, strict=True), (b"gone", None)]
    alone = shell.run(_shell.sum_file_script(str(tree / "new\nline")))
    assert alone.stdout[:64] == expected[paths.index(b"new\nline")]


@pytest.mark.parametrize("perl", [True, False])
@pytest.mark.parametrize("comes_from", ["file", "pipe", "socket"])
@pytest.mark.parametrize("goes_to", ["file", "end of a file", "pipe", "socket"])
def test_what_is_passed_on_is_what_is_hashed(tmp_path: Path, comes_from: str, goes_to: str, perl: bool) -> None:
    content = os.urandom(3_333_333)
    (tmp_path / "in").write_bytes(content)
    passing = "x=$({ { ( passes ) && echo passed >&5; } 6>&1 >&7 | cat >hashed; } 5>&1)\necho $x >&2"
    (tmp_path / "script").write_text(f"{_shell.Tools(perl=perl).hasher}\nexec 7>&1\n{passing}")
    source = {"file": "sh ./script <in", "pipe": "cat in | sh ./script", "socket": "sh ./script"}[comes_from]
    target = {"file": ">out", "end of a file": ">>out", "pipe": "| cat >out", "socket": ""}[goes_to]
    feeder, reader = socket.socketpair(), socket.socketpair()
    taken: list[bytes] = []

    def feed() -> None:
        if comes_from == "socket":
            feeder[0].sendall(content)
        feeder[0].close()

    def take() -> None:
        while data := reader[0].recv(1 << 16):
            taken.append(data)
        reader[0].close()

    threads = [threading.Thread(target=work, daemon=True) for work in (feed, take)]
    for thread in threads:
        thread.start()
    with feeder[1], reader[1]:
        line = ["bash", "-o", "pipefail", "-c", f"{source} {target}"]
        done = subprocess.run(
            line,
            cwd=tmp_path,
            stdin=feeder[1].fileno(),
            stdout=reader[1].fileno(),
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    for thread in threads:
        thread.join()
    assert (done.returncode, done.stderr) == (0, "passed\n")
    came = b"".join(taken) if goes_to == "socket" else (tmp_path / "out").read_bytes()
    assert came == content
    assert (tmp_path / "hashed").read_bytes() == content


@pytest.mark.parametrize("missing", [None, 3, 90])
def test_many_renames_are_all_done_or_fail(tmp_path: Path, missing: int | None) -> None:
    words = []
    for number in range(100):
        if number != missing:
            (tmp_path / f"from-{number}").write_text(str(number))
        words += [f"from-{number}", f"to-{number}", "."]
    done = subprocess.run(
        ["sh", "-c", " ".join([_apply._RENAME, *words])], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode == 0) is (missing is None)
    if missing is None:
        held = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert held == {f"to-{number}": str(number) for number in range(100)}


def test_what_is_moved_replaces_links_that_lead_nowhere(shell: Shell, tmp_path: Path) -> None:
    for folder in ("from", "to"):
        (tmp_path / folder).mkdir()
    for name, target in (("itself", "itself"), ("long", "x" * 300), ("nothing", "nowhere"), ("-f", "-f")):
        (tmp_path / "from" / name).write_text(name)
        (tmp_path / "to" / name).symlink_to(target)
    words = "./from/itself ./from/long ./from/nothing ./from/-f ./to/."
    done = shell.run(f"cd '{tmp_path}' || exit\n{_apply._MOVES}moves {words}\n")
    assert done.returncode == 0, done.stderr
    held = {path.name: path.read_text() for path in (tmp_path / "to").iterdir() if not path.is_symlink()}
    assert held == {name: name for name in ("itself", "long", "nothing", "-f")}
    assert list((tmp_path / "from").iterdir()) == []
    assert shell.run(f"cd '{tmp_path}' || exit\n{_apply._MOVES}moves ./from/gone ./to/.\n").returncode != 0


def test_exactly_what_is_named_arrives(shell: Shell, tree: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir()
    named = [b"link", *NAMES, b"sub/new\nline", b"gone"]
    # more than one command gets at once, to have several archives where there are several
    (tree / "many").mkdir()
    for number in range(1500):
        (tree / "many" / f"{number:080}").write_text(str(number))
        named.append(b"many/%080d" % number)
    archive = shell.run(
        _shell.pack_script(str(tree), _NONCE, tools_of(shell), states=_OTHER),
        data=b"".join(b"./" + path + b"\0" for path in named),
    )
    assert archive.returncode in _shell.PACKED, archive.stderr
    make = _shell.make_script(str(dest), ".staging", "staging", parents=False)
    done = shell.run(_shell.stage_script(make, _NONCE, tools_of(shell)), data=archive.stdout)
    assert done.returncode == 0, done.stderr
    digest = f"{_shell.DIGEST} {_NONCE} {hashlib.sha256(archive.stdout).hexdigest()}\n".encode()
    assert digest in archive.stderr, "the checksum of what was made is said"
    assert digest in done.stderr, "the checksum of what arrived is said"
    staging = dest / ".staging"
    assert stat.S_IMODE(staging.stat().st_mode) == 0o700, "nobody else looks into it"
    assert set(_paths(staging)) == {*named, b"sub", b"many"} - {b"gone"}
    for name in NAMES:
        one, other = (folder / os.fsdecode(name) for folder in (tree, staging))
        assert one.read_bytes() == other.read_bytes()
        assert (one.stat().st_mode, one.stat().st_mtime) == (other.stat().st_mode, other.stat().st_mtime)
    assert (staging / "link").readlink() == Path("to' -> 'new\n//line")


@pytest.mark.parametrize("late", ["", "plain", "sub/ sp "])
@pytest.mark.parametrize("several", [False, True])
def test_what_tar_would_not_tell_of_files_that_change_is_said_besides(
    shell: Shell, tree: Path, late: str, several: bool
) -> None:
    listing = _listing(shell, str(tree))
    lines = [line for line in listing.manifest.lines() if from_line(line).kind in (Kind.FILE, Kind.LINK)]
    names = b"".join(map(name_of, lines))
    asked = states(lines)
    tells = listing.tar == "gnu"
    listing.close()
    if late:
        os.utime(tree / late, (7_000, 7_000))
    done = shell.run(_shell.pack_script(str(tree), _NONCE, tools_of(shell), several=several, states=_OTHER), data=names)
    assert done.returncode == 0, done.stderr
    said = f"{_shell.DIGEST} {_OTHER} {asked}\n".encode()
    assert (said in done.stderr) is (not late and not tells)
    assert f"{_shell.DIGEST} {_NONCE} {hashlib.sha256(done.stdout).hexdigest()}\n".encode() in done.stderr


def test_attributes_of_directories_are_unpacked_over_those_that_are_there(
    shell: Shell, tree: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "dest"
    (dest / "sub").mkdir(parents=True)
    (tree / "sub").chmod(0o510)
    for folder in (tree / "sub", tree):
        os.utime(folder, (5_000, 5_000))
    archive = shell.run(_shell.pack_script(str(tree), _NONCE, tools_of(shell), states=_OTHER), data=b"./sub\0./\0")
    done = shell.run(_shell.unpack_script(str(dest), tools_of(shell)), data=archive.stdout)
    assert done.returncode == 0, done.stderr
    assert (stat.S_IMODE((dest / "sub").stat().st_mode), (dest / "sub").stat().st_mtime) == (0o510, 5_000)
    assert dest.stat().st_mtime == 5_000
    assert list(dest.rglob("*")) == [dest / "sub"]


def test_commands_are_done_in_order_up_to_the_first_that_fails(shell: Shell, tmp_path: Path) -> None:
    lines: list[bytes] = []
    batches = Batches(lines.append)
    for name in NAMES:
        batches.add("touch --", f"./{os.fsdecode(name)}")
    batches.flush()
    batches.run("rmdir ./nothing")
    batches.run("touch ./late")
    done = shell.run(_shell.apply_script(str(tmp_path), make=False, parents=False), data=b"".join(lines))
    assert done.returncode == _shell.FAILED
    assert {os.fsencode(path.name) for path in tmp_path.iterdir()} == set(NAMES)


def test_a_command_that_is_cut_is_not_done(shell: Shell, tmp_path: Path) -> None:
    lines: list[bytes] = []
    batches = Batches(lines.append)
    for name in ("./a", "./b c"):
        (tmp_path / name).write_text("x")
        batches.add("rm -f --", name)
    batches.flush()
    (line,) = lines
    for cut in range(1, len(line) - len(b" || exit 90\n") - len(b" </dev/null") + 1, 3):
        shell.run(_shell.apply_script(str(tmp_path), make=False, parents=False), data=line[: cut - 1])
        assert len(list(tmp_path.iterdir())) == 2, line[: cut - 1]


def test_what_transfers_left_is_removed_and_a_root_that_is_empty_then(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "root" / ".one" / "deep").mkdir(parents=True)
    (tmp_path / "root" / ".one" / "deep" / "file").write_text("x")
    (tmp_path / "root" / "mine").mkdir()
    script = _shell.clean_script(str(tmp_path / "root"), [".one", ".two"], True)
    assert shell.run(script).returncode == 0
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["mine"]
    (tmp_path / "root" / "mine").rmdir()
    assert shell.run(script).returncode == 0
    assert not (tmp_path / "root").exists()
    assert shell.run(script).returncode == 0
