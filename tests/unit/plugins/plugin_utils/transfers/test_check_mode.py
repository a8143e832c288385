# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode says exactly what the real run then does, and after that there is nothing to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._filter import make_filter
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

NOW = 1_700_000_000
DIFFERS = {"operation_id", "duration_ms", "rate", "steps", "checksum"}


def _write(path: Path, text: str, mode: int = 0o644, time: int = NOW) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    os.utime(path, (NOW, time))


def _new(_root: Path) -> None:
    """Nothing is there."""


def _same(root: Path) -> None:
    _write(root / "dest/a", "text a")


def _other_content(root: Path) -> None:
    _write(root / "dest/a", "older", time=NOW - 7)


def _other_time(root: Path) -> None:
    _write(root / "dest/a", "text a", time=NOW - 7)


def _other_mode(root: Path) -> None:
    _write(root / "dest/a", "text a", 0o600)


def _tree(root: Path) -> None:
    _other_content(root)
    _write(root / "dest/sub/b", "text b", 0o600)
    _write(root / "dest/extra/in/x", "x")
    (root / "dest/link").symlink_to("elsewhere")


CASES: list[tuple[Callable[[Path], None], str, str, dict[str, Any]]] = [
    *((there, "a", "dest/a", {"create_parents": True}) for there in (_new, _same, _other_content, _other_mode)),
    (_other_time, "a", "dest/a", {}),
    (_other_time, "a", "dest/a", {"checksum": True}),
    (_other_content, "a", "dest", {"checksum": True}),
    (_new, "", "dest", {}),
    (_new, "", "deep/er/dest", {"create_parents": True}),
    (_tree, "", "dest", {}),
    (_tree, "", "dest", {"delete": True}),
    (_tree, "", "dest", {"delete": True, "checksum": True, "filter": make_filter([], ["x"])}),
    (_tree, "*", "dest", {}),
    (_new, "*", "dest", {}),
    (_tree, "none", "dest", {}),
    (_tree, "a", "dest/extra/", {}),
    (_tree, "a", "dest/sub", {}),
    (_tree, "a", "nowhere/a", {}),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a source."""
    _write(tmp_path / "src/a", "text a")
    _write(tmp_path / "src/sub/b", "text b")
    (tmp_path / "src/link").symlink_to("a")
    os.link(tmp_path / "src/a", tmp_path / "src/again")
    for folder in ("src/sub", "src"):
        os.utime(tmp_path / folder, (NOW, NOW))
    return tmp_path


def _transfer(root: Path, src: str, dest: str, **options: Any) -> Result:
    request = Request(Endpoint("local", f"{root}/src/{src}"), Endpoint("local", f"{root}/{dest}"), diff=True, **options)
    return run_transfer(request, lambda _end: LocalContext("local"))


def _told(result: Result) -> dict[str, Any]:
    return {name: value for name, value in result.as_task_result(diff=True).items() if name not in DIFFERS}


def _state(root: Path) -> dict[str, Any]:
    paths = [path for path in root.rglob("*") if "src" not in path.parts]
    return {str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_ino) for path in paths}


@pytest.mark.parametrize(("there", "src", "dest", "options"), CASES)
def test_check_mode_says_what_is_done(
    root: Path, there: Callable[[Path], None], src: str, dest: str, options: dict[str, Any]
) -> None:
    there(root)
    before = _state(root)
    check = _transfer(root, src, dest, check_mode=True, **options)
    assert _state(root) == before, "check mode changes nothing"
    real = _transfer(root, src, dest, **options)
    assert _told(check) == _told(real)
    assert (_state(root) != before) is real.changed
    again = _transfer(root, src, dest, check_mode=True, **options)
    if real.failure is None:
        assert (again.changed, again.before) == (False, again.after)


def test_the_difference_of_a_file_is_that_of_size_content_mode_and_time(root: Path) -> None:
    _other_content(root)
    diff = _transfer(root, "a", "dest/a").as_task_result(diff=True)["diff"]
    before, after = diff["before"].splitlines(), diff["after"].splitlines()
    assert [line.partition(":")[0] for line in before] == [line.partition(":")[0] for line in after]
    told = dict(line.split(": ", 1) for line in after)
    assert (told["size"], told["mode"]) == ("6", "0644")
    changed = {one.partition(":")[0] for one, other in zip(before, after, strict=True) if one != other}
    assert changed == {"size", "sha256", "modified"}
