# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import environments, places, processes
from tools.interpreters import Interpreter

HERE = Interpreter(Path(sys.executable), sys.version_info[:3])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "REQUIREMENTS", tmp_path)
    return tmp_path / "cache"


def test_comments_do_not_make_another_environment_but_requirements_do(tmp_path: Path) -> None:
    wanted = tmp_path / "one.txt"
    wanted.write_text("# why\nalpha>=1  # a reason\n")
    first = environments.key(wanted, HERE)
    wanted.write_text("alpha>=1  # another reason\n")
    assert environments.key(wanted, HERE) == first
    wanted.write_text("alpha>=2\n")
    assert environments.key(wanted, HERE) != first


def test_an_included_file_counts(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("beta  # why\n")
    (tmp_path / "one.txt").write_text("-r base.txt\nalpha\n")
    assert environments.requirement_lines(tmp_path / "one.txt") == ["alpha", "beta"]


def test_an_environment_is_built_once_and_again_after_a_build_that_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("# nothing needed\n")
    said: list[str] = []
    made = environments.ensure("none", HERE, said.append)
    assert len(said) == 2
    environments.ensure("none", HERE, said.append)
    assert len(said) == 2
    (made.path / ".complete").unlink()
    environments.ensure("none", HERE, said.append)
    assert len(said) == 4


def test_a_requirement_that_cannot_be_had_fails_with_what_pip_said(tmp_path: Path) -> None:
    (tmp_path / "broken.txt").write_text(f"{tmp_path / 'no-such.whl'}\n")
    with pytest.raises(processes.Failed) as failure:
        environments.ensure("broken", HERE, lambda _text: None)
    assert "no-such.whl" in failure.value.output


def test_settings_of_other_tools_do_not_reach_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_FORKS", "99")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    variables = environments.Environment("x", Path("/env"), HERE).variables(MORE="1")
    assert "ANSIBLE_FORKS" not in variables
    assert "PYTHONPATH" not in variables
    assert variables["PATH"].startswith("/env/bin:")
    assert variables["MORE"] == "1"
