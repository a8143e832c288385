# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Short lists that are a part of the script that reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import Step, StepKind
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._inline import LONGEST, inlined


def _steps(path: Path) -> list[Step]:
    names = Step("names", StepKind.COMMAND, context="here", argv=("cat", str(path)))
    far = Step("far", StepKind.COMMAND, "far", command="cat\n", input="names")
    near = Step("near", StepKind.COMMAND, "near", command="cat\n", input="names")
    return [names, far, near]


def _inlined(steps: list[Step], *takers: str) -> list[Step]:
    return inlined(steps, lambda step: step.context == "here", lambda step: step.context in takers)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"./a\0./b c\0",
        b"./it's\n\\0 %s -n\0./\xff\xfe\0-n\0",
        b"rm -f -- './a'\n\n",
        b"\0\0x",
        b"%d\0\0last",
    ],
)
@pytest.mark.parametrize("shell", [["sh"], ["busybox", "sh"]])
def test_a_script_reads_exactly_the_list(tmp_path: Path, data: bytes, shell: list[str]) -> None:
    path = tmp_path / "list"
    path.write_bytes(data)
    (step,) = _inlined(_steps(path)[:2], "far")
    assert step.input is None and step.command is not None
    script = step.command.encode(errors="surrogateescape")
    assert subprocess.run([*shell, "-c", script], capture_output=True, check=True).stdout == data


def test_the_status_is_that_of_the_script(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"x\0")
    steps = [_steps(path)[0], Step("far", StepKind.COMMAND, "far", command="exec sh -c 'exit 7'\n", input="names")]
    (step,) = _inlined(steps, "far")
    assert subprocess.run(["sh", "-c", step.command or ""], check=False).returncode == 7


def test_who_does_not_take_it_still_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"x\0")
    names, far, near = _inlined(_steps(path), "far")
    assert (names.name, far.input, near.input) == ("names", None, "names")


@pytest.mark.parametrize("data", [b"x" * (LONGEST + 1), b"'" * LONGEST])
def test_a_list_too_long_for_an_argument_is_read(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "list"
    path.write_bytes(data)
    assert _inlined(_steps(path), "far", "near") == _steps(path)
