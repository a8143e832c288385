# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that are patterns: what they match, in every shell, and what becomes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import Filter, make_filter
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._glob import choose_commands
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._listing import read_listing
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._manifest import from_line
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spool import Spool

from unit.support import Shell

FILES = ["a.gz", "b.gz", "-r f.gz", "n\nl.gz", "\udcff.gz", ".h.gz", "c.txt", "sub.gz/in/file", "other/a.gz", "it's"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with names of every kind."""
    root = tmp_path / "it's a dir"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name.encode(errors="surrogateescape").decode(errors="replace"))
    (root / "lit*").write_text("literal")
    (root / "literal").write_text("not meant")
    (root / "link.gz").symlink_to("a.gz")
    return root


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        (
            "*.gz",
            {"a.gz", "b.gz", "-r f.gz", "n\nl.gz", "\udcff.gz", "sub.gz", "sub.gz/in", "sub.gz/in/file", "link.gz"},
        ),
        ("?.gz", {"a.gz", "b.gz", "\udcff.gz"}),
        ("[a-b].gz", {"a.gz", "b.gz"}),
        ("[!a]*.txt", {"c.txt"}),
        (".*", {".h.gz"}),
        ("-*", {"-r f.gz"}),
        ("it's*", {"it's"}),
        ("*$(touch x)*", set()),
    ],
)
def test_a_pattern_chooses_entries_of_one_folder(shell: Shell, folder: Path, pattern: str, matched: set[str]) -> None:
    end = Endpoint("a", f"{folder}/{pattern}")
    done = shell.run(_shell.list_script(end.path, otherwise=choose_commands(end)))
    assert done.returncode == 0, done.stderr
    raw = Spool()
    raw.write(done.stdout)
    listing = read_listing(raw, Filter())
    assert listing.matched
    assert {os.fsdecode(from_line(line).path) for line in listing.manifest.lines()} == matched
    listing.close()


def _transfer(src: Any, dest: Path, **options: Any) -> Result:
    end = src if isinstance(src, Endpoint) else Endpoint("local", str(src))
    return run_transfer(Request(end, Endpoint("local", str(dest)), **options), lambda _end: LocalContext("local"))


def test_matches_go_into_a_folder_that_is_made_and_are_not_sent_again(folder: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    check = _transfer(folder / "*.gz", dest, check_mode=True, diff=True)
    assert not dest.exists()
    done = _transfer(folder / "*.gz", dest, diff=True)
    assert done.failure is None
    for name in ("changed", "files", "bytes", "links", "directories", "after"):
        assert getattr(done, name) == getattr(check, name)
    assert (done.files, done.links, done.directories) == (6, 1, 3)
    assert (dest / "sub.gz" / "in" / "file").read_text() == "sub.gz/in/file"
    assert {os.fsencode(path.name) for path in dest.iterdir()} == {
        os.fsencode(path.name) for path in folder.iterdir() if path.name.endswith(".gz") and path.name != ".h.gz"
    }
    again = _transfer(folder / "*.gz", dest)
    assert (again.failure, again.changed, again.files) == (None, False, 0)


def test_the_folder_itself_keeps_its_attributes(folder: Path, tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    dest.mkdir(mode=0o711)
    folder.chmod(0o700)
    assert _transfer(folder / "[ab].gz", dest).failure is None
    assert dest.stat().st_mode & 0o7777 == 0o711


def test_something_of_that_very_name_is_meant(folder: Path, tmp_path: Path) -> None:
    result = _transfer(folder / "lit*", tmp_path / "dest")
    assert (result.failure, result.files) == (None, 1)
    assert (tmp_path / "dest").read_text() == "literal"
    literally = Endpoint("local", f"{folder}/[ab].gz", glob=False)
    assert "does not exist" in (_transfer(literally, tmp_path / "dest").failure or "")


def test_a_folder_may_have_a_name_like_a_pattern(folder: Path, tmp_path: Path) -> None:
    folder.rename(tmp_path / "a [dir]")
    result = _transfer(tmp_path / "a [dir]" / "[ab].gz", tmp_path / "dest")
    assert (result.failure, result.files) == (None, 2)


def test_what_is_excluded_is_no_match_but_no_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    result = _transfer(folder / "[ab].gz", tmp_path / "dest", filter=make_filter([], ["*.gz"]))
    assert (result.failure, result.changed, result.excluded) == (None, False, 2)


@pytest.mark.parametrize(
    ("src", "options", "said"),
    [
        ("*.zip", {}, "src: nothing in local:{folder} matches '*.zip'"),
        ("[x]/*", {}, "src: local:{folder}/[x]/* does not exist, and a pattern can only be the last part of a path."),
        ("no/*", {}, "src: local:{folder}/no, where * is looked for, is no directory, or cannot be seen by this user"),
        ("s*/in", {}, "src: local:{folder}/s*/in does not exist, and a pattern can only be the last part of a path."),
        ("s*/", {}, "src: local:{folder}/s*/ does not exist, and a pattern can only be the last part of a path."),
        ("*.gz", {"delete": True}, "src: 'delete' does not go with the pattern local:{folder}/*.gz"),
    ],
)
def test_what_makes_no_sense_is_told(
    folder: Path, tmp_path: Path, src: str, options: dict[str, Any], said: str
) -> None:
    result = _transfer(f"{folder}/{src}", tmp_path / "dest", **options)
    assert result.failure and result.failure.startswith(said.format(folder=folder)), result.failure
    assert not (tmp_path / "dest").exists()


@pytest.mark.parametrize(
    ("dest", "ok"),
    [("", False), ("/", False), ("/sub.gz/new", False), ("/x.gz", False), ("/other", True), ("/new", True)],
)
def test_matches_do_not_go_into_themselves(folder: Path, dest: str, ok: bool) -> None:
    result = _transfer(folder / "*.gz", Path(f"{folder}{dest}"))
    assert (result.failure is None) is ok, result.failure
    assert ok or "is the directory of" in (result.failure or "")


def test_a_file_is_no_place_for_matches(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dest").write_text("old")
    result = _transfer(folder / "a.g*", tmp_path / "dest")
    assert result.failure and "is a file, and src is a pattern, whose matches go into a directory" in result.failure
