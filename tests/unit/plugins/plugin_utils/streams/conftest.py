# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shells to run scripts in, and the check that no test leaves a process behind.

Imports of the collection wait until a fixture runs: pytest may load this file before it knows the collection.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from unit.support import Pipelines, Shell

_TAG = "MANIFOLD_UNIT_TEST"


@pytest.fixture(autouse=True)
def _nothing_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test starts inherits a mark; none of it may be alive when the test is over."""
    from unit.support import leftovers

    tag = secrets.token_hex(8)
    monkeypatch.setenv(_TAG, tag)
    yield
    left = leftovers(f"{_TAG}={tag}", 5)
    assert not left, f"left running: {left}"


def _plain(name: str) -> Shell:
    from unit.support import Shell

    path = shutil.which(name)
    if path is None:
        pytest.skip(f"there is no {name} on this machine")
    return Shell(name, path, os.environ["PATH"])


def _busybox(folder: Path) -> Shell:
    """A shell with nothing but busybox's own tools."""
    from unit.support import Shell

    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("there is no busybox on this machine")
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        (folder / applet).symlink_to(busybox)
    return Shell("busybox", str(folder / "sh"), str(folder))


def _without(name: str, folder: Path, **instead: str) -> Shell:
    """A shell for which some programs are others, as a line for ``sh`` says."""
    from unit.support import Shell

    dash = _plain("dash")
    for program, line in instead.items():
        wrapper = folder / program
        wrapper.write_text(f"#!/bin/sh\n{line}\n")
        wrapper.chmod(0o755)
    return Shell(name, dash.path, f"{folder}:{dash.search}")


_NONE = "exit 127"
_SILENT = f'exec {shutil.which("dd")} status=none "$@"'
_SHELLS: dict[str, dict[str, str]] = {
    "dash without perl": {"perl": _NONE},
    "dash, silent dd": {"perl": _NONE, "dd": _SILENT},
}


@pytest.fixture(scope="session", params=["dash", "bash", "busybox", *_SHELLS])
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Each shell that contexts have, with its own tools: each way of counting has one that takes it."""
    name = str(request.param)
    if name in ("dash", "bash"):
        return _plain(name)
    folder = tmp_path_factory.mktemp("tools")
    return _busybox(folder) if name == "busybox" else _without(name, folder, **_SHELLS[name])


@pytest.fixture
def pipelines() -> Pipelines:
    """Runs pipelines."""
    from unit.support import Pipelines

    return Pipelines()
