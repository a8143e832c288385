# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _stall

from unit.support import FakeContext, Pipelines, command, sink, temporaries

BIG = "head -c 8000000 /dev/zero"
"""More than all buffers between two stages hold."""
SECONDS = 0.4

_STOPS_READING = r"""
import os, subprocess, sys
child = subprocess.Popen(["/bin/sh", "-c", sys.argv[1]], stdin=subprocess.PIPE, bufsize=0)
count = 200000
while count and (data := os.read(0, min(count, 65536))):
    child.stdin.write(data)
    count -= len(data)
child.wait()
"""


def _stops_reading() -> tuple[str, ...]:
    """A transport that takes nothing more at some point, and stays."""
    return (sys.executable, "-S", "-E", "-c", _STOPS_READING)


def _said(why: str) -> str:
    return f"not a byte moved for {SECONDS:g} seconds: this step {why}"


def test_a_source_that_does_not_write_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command("printf x; sleep 1000", name="source"), command("cat"), sink(tmp_path / "file"), stall_timeout=SECONDS
    )
    assert result.msg == f"step 'source' (local): {_said('does not write')}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("after", [0, 100_000])
def test_a_reader_that_does_not_read_is_named(pipelines: Pipelines, tmp_path: Path, after: int) -> None:
    result = pipelines.run(
        command("yes"),
        command("cat"),
        command(f"head -c {after}; sleep 1000", name="stuck"),
        command("cat"),
        sink(tmp_path / "file"),
        stall_timeout=SECONDS,
    )
    assert result.msg == f"step 'stuck' (local): {_said('does not read its input')}"
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_sits_on_its_input_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command("echo x"),
        command("cat >/dev/null; sleep 1000", name="stuck"),
        command("cat"),
        sink(tmp_path / "file"),
        stall_timeout=SECONDS,
    )
    assert result.msg == f"step 'stuck' (local): {_said('was given all its input and neither writes nor ends')}"
    assert list(tmp_path.iterdir()) == []


def test_a_branch_that_does_not_read_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command(BIG, name="source"),
        sink(tmp_path / "file"),
        command("sleep 1000", name="stuck", input="source"),
        command("cat", name="behind it"),
        stall_timeout=SECONDS,
    )
    assert result.msg == f"step 'stuck' (local): {_said('does not read its input')}"
    assert list(tmp_path.iterdir()) == []


def test_a_branch_that_sits_on_its_input_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command("echo x", name="source"),
        sink(tmp_path / "file"),
        command("cat >/dev/null; sleep 1000", name="stuck", input="source"),
        stall_timeout=SECONDS,
    )
    assert result.msg == f"step 'stuck' (local): {_said('was given all its input and neither writes nor ends')}"
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_stops_is_named_before_its_branches(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command(f"{BIG}; sleep 1000", name="source"),
        command("cat >/dev/null"),
        sink(tmp_path / "file", input="source"),
        stall_timeout=SECONDS,
    )
    assert result.msg == f"step 'source' (local): {_said('does not write')}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("go_on", [False, True])
def test_a_destination_that_takes_nothing_more_is_named(pipelines: Pipelines, tmp_path: Path, go_on: bool) -> None:
    pipelines.add(FakeContext("db", _stops_reading()))
    result = pipelines.run(
        command(BIG, name="source"),
        {"name": "good", "dest": str(tmp_path / "good")},
        {"name": "stuck", "dest": str(tmp_path / "stuck"), "context": "db", "input": "source"},
        stall_timeout=SECONDS,
        on_sink_failure_continue=go_on,
    )
    assert result.msg == f"step 'stuck' (db): {_said('does not read its input')}"
    assert not (tmp_path / "stuck").exists()
    assert (tmp_path / "good").exists() is go_on
    if go_on:
        assert (tmp_path / "good").read_bytes() == bytes(8_000_000)
    assert not temporaries(tmp_path)


def test_a_destination_that_sits_on_its_input_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    swallows = _STOPS_READING.replace("child.wait()", "while os.read(0, 65536):\n    pass\nchild.wait()")
    pipelines.add(FakeContext("db", (sys.executable, "-S", "-E", "-c", swallows)))
    result = pipelines.run(
        command("head -c 300000 /dev/zero", name="source"),
        {"name": "stuck", "dest": str(tmp_path / "stuck"), "context": "db"},
        stall_timeout=SECONDS,
    )
    assert result.failed_step == "stuck"
    assert list(tmp_path.iterdir()) == []


# -- when there is a stall ---------------------------------------------------------------------------------------------


def _part(moved: int = 0, *, settled: bool = False, reads_back: bool = False) -> Any:
    stage = SimpleNamespace(pump=SimpleNamespace(moved=moved, blocked=()), stdin=3)
    return SimpleNamespace(stage=stage, settled=settled, reads_back=reads_back, writer=None, readers=[])


class _Time:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(_stall, "time", SimpleNamespace(monotonic=lambda: self.now))


def test_a_byte_a_moment_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    time, part = _Time(monkeypatch), _part()
    watch = _stall.Watch(10)
    for _turn in range(50):
        assert watch.look([part]) is None
        time.now += 9.9
        part.stage.pump.moved += 1


def test_a_step_that_ends_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    time, parts = _Time(monkeypatch), [_part(), _part()]
    watch = _stall.Watch(10)
    assert watch.look(parts) is None
    time.now += 9.9
    parts[0].settled = True
    assert watch.look(parts) is None
    time.now += 9.9
    assert watch.look(parts) is None
    time.now += 0.1
    blame = watch.look(parts)
    assert blame is not None and blame.part is parts[1]


def test_the_time_before_anything_flowed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    time, part = _Time(monkeypatch), _part()
    watch = _stall.Watch(10)
    time.now += 100
    assert watch.look([part]) is None


def test_a_stall_is_told_again_only_after_as_long_again(monkeypatch: pytest.MonkeyPatch) -> None:
    time, part = _Time(monkeypatch), _part()
    watch = _stall.Watch(10)
    assert watch.look([part]) is None
    time.now += 10
    assert watch.look([part]) is not None
    assert watch.look([part]) is None
    time.now += 10
    assert watch.look([part]) is not None


def test_without_a_limit_nothing_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    time, part = _Time(monkeypatch), _part()
    watch = _stall.Watch(None)
    assert watch.look([part]) is None
    time.now += 1e9
    assert watch.look([part]) is None


def test_steps_that_all_ended_are_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    time, part = _Time(monkeypatch), _part(settled=True)
    watch = _stall.Watch(10)
    assert watch.look([part]) is None
    time.now += 100
    assert watch.look([part]) is None


def test_a_destination_that_reads_itself_back_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    time, part = _Time(monkeypatch), _part(reads_back=True)
    watch = _stall.Watch(10)
    assert watch.look([part]) is None
    time.now += 1e6
    assert watch.look([part]) is None


def test_a_destination_that_reads_itself_back_is_not_blamed_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    time, source, reading = _Time(monkeypatch), _part(settled=True), _part(reads_back=True)
    stuck = _part()
    reading.writer = stuck.writer = source
    watch = _stall.Watch(10)
    assert watch.look([source, reading, stuck]) is None
    time.now += 10
    blame = watch.look([source, reading, stuck])
    assert blame is not None and blame.part is stuck
