# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError

from unit.support import FakeContext, Pipelines, command, sink


@pytest.mark.parametrize("what", ["file", "directory", "empty file"])
def test_nothing_is_done_where_it_exists(pipelines: Pipelines, tmp_path: Path, what: str) -> None:
    there = tmp_path / "it's * there"
    if what == "directory":
        there.mkdir()
    else:
        there.write_text("x" if what == "file" else "")
    context = FakeContext("db")
    pipelines.add(context)
    result = pipelines.run(command(f"touch {tmp_path}/ran", "db"), sink(tmp_path / "file", "db"), creates=str(there))
    assert result.msg == f"nothing was done: {there} exists"
    assert (result.changed, result.failed_step, result.steps) == (False, None, ())
    assert not result.as_task_result()["failed"]
    assert list(tmp_path.iterdir()) == [there]
    assert context.closed == 1


def test_it_is_done_where_it_does_not_exist(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(command("printf new"), sink(tmp_path / "file"), creates=str(tmp_path / "file"))
    assert (result.msg, result.changed, (tmp_path / "file").read_text()) == (None, True, "new")


def test_it_is_looked_for_where_the_last_step_runs(pipelines: Pipelines, tmp_path: Path) -> None:
    """The home directory is another one there."""
    (tmp_path / "there").touch()
    there = ("/bin/sh", "-c", f'HOME={tmp_path}; export HOME; exec /bin/sh -c "$1"', "transport")
    pipelines.add(FakeContext("db", there))
    assert pipelines.run(command("true"), command("cat", "db"), creates="~/there").msg is not None
    pipelines.add(FakeContext("db", there))
    assert pipelines.run(command("true", "db"), command("cat"), creates="~/there").msg is None


@pytest.mark.parametrize(
    "transport",
    [
        ("/bin/sh", "-c", "echo 'no route' >&2; exit 255", "transport"),
        ("/bin/sh", "-c", '/bin/sh -c "$1" | head -c 10; echo "no route" >&2; exit 0', "transport"),
        ("/bin/sh", "-c", '/bin/sh -c "$1" | head -c 10; echo "no route" >&2; exit 1', "transport"),
    ],
    ids=["refused", "cut with status 0", "cut with status 1"],
)
def test_an_answer_that_was_lost_is_no_answer(pipelines: Pipelines, tmp_path: Path, transport: tuple[str, ...]) -> None:
    pipelines.add(FakeContext("db", transport))
    result = pipelines.run(
        command(f"touch {tmp_path}/ran"), sink(tmp_path / "file", "db"), creates=str(tmp_path / "file")
    )
    assert result.failed_step == "sink"
    assert result.msg == f"step 'sink' (db): looking for {tmp_path}/file ('creates'): no route"
    assert list(tmp_path.iterdir()) == []


def test_a_context_out_of_reach_is_told(pipelines: Pipelines, tmp_path: Path) -> None:
    class Unreachable(FakeContext):
        def open(self, seconds: float = 60.0) -> None:  # noqa: ARG002
            raise ContextError("db", "connecting by SSH", "Connection refused", "Check ansible_port.")

    pipelines.add(Unreachable("db"))
    result = pipelines.run(command("true"), sink(tmp_path / "file", "db"), creates="/x")
    assert result.msg == "step 'sink' (db): connecting by SSH: Connection refused. Check ansible_port."
