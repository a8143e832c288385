# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipeline says of how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.operations._progress import Flow, Meter

from unit.support import EVERY_BYTE, Pipelines, command, sink

BULK = EVERY_BYTE * 40_000


class _Watched(Meter):
    """Looks whenever it may, and keeps what it was told."""

    def __init__(self) -> None:
        super().__init__(lambda _text: None, str, 1.0)
        self.told: list[list[Flow]] = []
        self.finished = 0

    def look(self, flows: Callable[[], Sequence[Flow]]) -> None:
        self.told.append(list(flows()))

    def finish(self) -> None:
        self.finished += 1

    def of(self, name: str) -> list[Flow]:
        """Return what was told of one stream."""
        return [flow for flows in self.told for flow in flows if flow.name == name]


@pytest.fixture
def meter() -> _Watched:
    """A meter that misses nothing."""
    return _Watched()


@pytest.fixture
def bulk(tmp_path: Path) -> Path:
    """A file of some size."""
    path = tmp_path / "bulk"
    path.write_bytes(BULK)
    return path


def _grows(flows: Sequence[Flow], end: int) -> bool:
    moved = [flow.moved for flow in flows]
    return moved == sorted(moved) and moved[-1] == end


def test_a_file_that_is_copied_has_a_total(pipelines: Pipelines, meter: _Watched, bulk: Path, tmp_path: Path) -> None:
    result = pipelines.run({"src": str(bulk)}, sink(tmp_path / "copy"), meter=meter)
    assert result.msg is None
    assert _grows(meter.of(""), len(BULK)), "one stream needs no name"
    assert {flow.total for flow in meter.of("")} == {len(BULK)}
    assert meter.finished == 1


def test_behind_a_filter_the_whole_is_known_of_the_source_only(
    pipelines: Pipelines, meter: _Watched, bulk: Path, tmp_path: Path
) -> None:
    pipelines.run({"name": "read", "src": str(bulk)}, command("head -c 1000"), sink(tmp_path / "copy"), meter=meter)
    assert {flow.total for flow in meter.of("read")} == {len(BULK)}
    assert {flow.total for flow in meter.of("sink")} == {None}
    assert meter.of("sink")[-1].moved == 1000


def test_each_destination_is_told_apart(pipelines: Pipelines, meter: _Watched, bulk: Path, tmp_path: Path) -> None:
    save = {"name": "b", "dest": str(tmp_path / "b"), "input": "read"}
    result = pipelines.run({**command(f"cat {bulk}"), "name": "read"}, sink(tmp_path / "a"), save, meter=meter)
    assert result.msg is None
    assert _grows(meter.of("sink"), len(BULK)) and _grows(meter.of("b"), len(BULK))
    assert {flow.total for flows in meter.told for flow in flows} == {None}


@pytest.mark.parametrize("steps", [1, 2])
def test_without_a_destination_it_is_what_the_last_step_was_given(
    pipelines: Pipelines, meter: _Watched, bulk: Path, steps: int
) -> None:
    pipelines.run(*[command(f"cat {bulk}"), command("cat >/dev/null")][:steps], meter=meter)
    assert _grows(meter.of(""), len(BULK))


def test_it_is_finished_when_a_step_fails(pipelines: Pipelines, meter: _Watched, tmp_path: Path) -> None:
    result = pipelines.run(command("exit 3"), sink(tmp_path / "copy"), meter=meter)
    assert result.failed_step
    assert meter.finished == 1
