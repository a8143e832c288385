# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only other parts of the collection ask of a pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options, run_pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import Step, StepKind, parse_steps

from unit.support import EVERY_BYTE, FakeContext, Pipelines, command, cuts_output, sink

BULK = EVERY_BYTE * 12_000


@pytest.fixture
def outputs() -> Iterator[list[BinaryIO]]:
    """Two files, with something in them."""
    with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as other:
        for file in (one, other):
            file.write(b"old" * len(BULK))
        yield [one, other]


def _fan_out(path: Path, outputs: list[BinaryIO]) -> list[Step]:
    read = Step("read", StepKind.SOURCE, src=str(path))
    lines = ("cat", "head -c 5; cat >/dev/null")
    known = zip(("all", "some"), lines, outputs, strict=True)
    return [read, *(Step(n, StepKind.COMMAND, command=c, input="read", output=o) for n, c, o in known)]


def test_what_commands_print_goes_to_their_files_whole(tmp_path: Path, outputs: list[BinaryIO]) -> None:
    (tmp_path / "bulk").write_bytes(BULK)
    result = run_pipeline(_fan_out(tmp_path / "bulk", outputs), Pipelines().resolve, Options())
    assert result.msg is None
    for file, expected in zip(outputs, (BULK, BULK[:5]), strict=True):
        file.seek(0)
        assert file.read() == expected


def test_an_output_that_was_cut_is_a_failure(tmp_path: Path, outputs: list[BinaryIO]) -> None:
    pipelines = Pipelines()
    pipelines.add(FakeContext("far", cuts_output(1000, "close")))
    (tmp_path / "bulk").write_bytes(BULK)
    steps = _fan_out(tmp_path / "bulk", outputs)
    steps[1] = replace(steps[1], context="far")
    result = run_pipeline(steps, pipelines.resolve, Options())
    assert result.failed_step == "all"


def test_contexts_stay_open_if_that_is_asked_for() -> None:
    pipelines = Pipelines()
    far = FakeContext("far")
    pipelines.add(far)
    assert pipelines.run(command("true", "far"), keep_contexts=True).msg is None
    assert far.closed == 0
    assert pipelines.run(command("true", "far")).msg is None
    assert far.closed == 1


def test_a_time_that_was_asked_for_is_given_and_counts_as_a_change(tmp_path: Path) -> None:
    dest = tmp_path / "dest"
    source, target = parse_steps([command("printf data"), sink(dest)])
    for mtime, changed in ((1_000, True), (1_000, False), (2_000, True)):
        steps = [source, replace(target, mtime=mtime)]
        result = run_pipeline(steps, Pipelines().resolve, Options())
        assert (result.msg, result.changed, dest.stat().st_mtime) == (None, changed, mtime)
