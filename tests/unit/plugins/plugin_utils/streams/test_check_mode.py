# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError
from ansible_collections.manifold.core.plugins.plugin_utils.streams._result import PipelineResult

from unit.support import FakeContext, Pipelines, command, sink


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an old file in it, beside everything that a test leaves elsewhere."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "file").write_text("old")
    return path


def _look(path: Path) -> dict[str, tuple[int, int]]:
    return {str(each): (each.stat().st_ino, each.stat().st_mtime_ns) for each in [path, *path.rglob("*")]}


def _check(pipelines: Pipelines, *steps: dict[str, object], **options: object) -> PipelineResult:
    return pipelines.run(*steps, check_mode=True, **options)


@pytest.mark.parametrize("dest", ["file", "new", "made/for/it/new"])
def test_nothing_runs_moves_or_is_made(pipelines: Pipelines, folder: Path, tmp_path: Path, dest: str) -> None:
    before = _look(tmp_path)
    pipelines.add(FakeContext("db"))
    result = _check(
        pipelines,
        command(f"touch {tmp_path}/source", "db"),
        command(f"tee {tmp_path}/filter"),
        sink(folder / dest, "db", create_parents=True, mode="0600"),
    )
    assert result.msg is None
    assert _look(tmp_path) == before
    assert [(step.rc, step.proof, step.bytes_out) for step in result.steps] == [(None, None, None)] * 3
    assert all(step.connection_time_ms is not None for step in result.steps), "every context was reached"
    assert result.sinks == () and result.stdout is None
    assert not result.warnings


def test_a_destination_would_change(pipelines: Pipelines, folder: Path) -> None:
    assert _check(pipelines, command("printf old"), sink(folder / "file")).changed, "what would come is not known"


def test_a_command_would_change(pipelines: Pipelines) -> None:
    assert _check(pipelines, command("true")).changed


def test_what_exists_would_not_change(pipelines: Pipelines, folder: Path) -> None:
    result = _check(pipelines, command("true"), sink(folder / "file"), creates=str(folder / "file"))
    assert (result.msg, result.changed) == (f"nothing was done: {folder}/file exists", False)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"command": "no-such-program -x"}, "the command 'no-such-program' was not found"),
        ({"argv": ["no-such-program"]}, "the command 'no-such-program' was not found"),
        ({"command": "cat", "chdir": "/nowhere"}, "cannot change to the directory /nowhere"),
        ({"dest": "/nowhere/file"}, "the directory /nowhere does not exist; make it first, or set 'create_parents'"),
        ({"dest": "/"}, "the destination / is a directory; name a file in it"),
        ({"dest": "/etc/passwd/x/file", "create_parents": True}, "the directory /etc/passwd/x"),
    ],
    ids=["no program", "no program in argv", "no chdir", "no directory", "a directory", "no way to make it"],
)
def test_what_cannot_work_is_told(pipelines: Pipelines, step: dict[str, object], message: str) -> None:
    result = _check(pipelines, command("true"), {"name": "bad", **step})
    assert result.msg is not None and result.msg.startswith(f"step 'bad' (local): {message}")
    assert not result.changed


@pytest.mark.parametrize("src", ["/nowhere", "/"])
def test_a_source_that_cannot_be_read_is_told(pipelines: Pipelines, folder: Path, src: str) -> None:
    result = _check(pipelines, {"name": "bad", "src": src}, sink(folder / "file"))
    assert result.msg is not None and result.msg.startswith(f"step 'bad' (local): the source {src} ")


def test_a_context_out_of_reach_is_told(pipelines: Pipelines, folder: Path) -> None:
    class Unreachable(FakeContext):
        def open(self, seconds: float = 60.0) -> None:  # noqa: ARG002
            raise ContextError("db", "connecting by SSH", "Connection refused", "Check ansible_port.")

    pipelines.add(Unreachable("db"))
    result = _check(pipelines, command("true"), sink(folder / "file", "db"))
    assert result.msg == "step 'sink' (db): connecting by SSH: Connection refused. Check ansible_port."
    assert not result.changed


def test_of_several_destinations_those_that_cannot_work_are_told(pipelines: Pipelines, folder: Path) -> None:
    result = _check(
        pipelines,
        command("true", name="source"),
        sink(folder / "file"),
        {"name": "bad", "dest": "/nowhere/a", "input": "source"},
        {"name": "worse", "dest": "/nowhere/b", "input": "source"},
        on_sink_failure_continue=True,
    )
    assert result.msg is not None and "step 'bad'" in result.msg and "step 'worse'" in result.msg
    assert result.failed_step in ("bad", "worse")
    assert (folder / "file").read_text() == "old"
