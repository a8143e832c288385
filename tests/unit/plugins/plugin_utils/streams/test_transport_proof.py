# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextKind, Launch

from unit.support import EVERY_BYTE, FakeContext, Pipelines, command, ends, sink, temporaries, until

BULK = EVERY_BYTE * 12_000


class NoShell(FakeContext):
    """A place without a shell: programs are run as they are, and nothing else can be."""

    kind = ContextKind.KUBERNETES

    def __init__(self, name: str) -> None:
        no_shell = ("/bin/sh", "-c", "echo 'sh: executable file not found' >&2; exit 126", "transport")
        super().__init__(name, *[no_shell] * 1000)

    def launch_argv(self, argv: Sequence[str]) -> Launch:
        return Launch(argv=tuple(word.encode() for word in argv))


@pytest.fixture(autouse=True)
def _place(pipelines: Pipelines) -> None:
    pipelines.add(NoShell("bare"))


def _bare(*argv: str, **more: object) -> dict[str, object]:
    return {"argv": list(argv), "context": "bare", "proof": "transport", **more}


@pytest.mark.parametrize("data", [b"", b"\0", BULK], ids=["empty", "1", "bulk"])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_program_without_a_shell_is_a_source(
    pipelines: Pipelines, tmp_path: Path, data: bytes, checksum: bool
) -> None:
    (tmp_path / "data").write_bytes(data)
    result = pipelines.run(_bare("cat", str(tmp_path / "data")), sink(tmp_path / "file"), checksum=checksum)
    assert result.msg is None
    assert (tmp_path / "file").read_bytes() == data
    assert isinstance(bare := pipelines.contexts["bare"], NoShell)
    assert bare.launched == [], "no shell was asked for"
    assert [step.proof for step in result.steps] == ["transport", "marker"]
    assert (result.steps[0].rc, result.steps[0].bytes_out) == (0, len(data))


@pytest.mark.parametrize("data", [b"", b"\0", BULK], ids=["empty", "1", "bulk"])
def test_a_program_without_a_shell_is_a_filter_and_an_end(pipelines: Pipelines, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data").write_bytes(data)
    result = pipelines.run(
        {"src": str(tmp_path / "data")}, _bare("cat"), command("cat"), _bare("tee", str(tmp_path / "copy"))
    )
    assert result.msg is None
    assert (tmp_path / "copy").read_bytes() == data
    assert [step.proof for step in result.steps] == ["marker", "transport", "marker", "transport"]


def test_words_are_passed_on_as_they_are(pipelines: Pipelines) -> None:
    result = pipelines.run(_bare("printf", "%s|", "it's", "$HOME", "", "a\nb"))
    assert result.stdout == "it's|$HOME||a\nb|"


def test_its_exit_status_is_believed(pipelines: Pipelines, tmp_path: Path) -> None:
    dest = tmp_path / "file"
    dest.write_text("old")
    result = pipelines.run(_bare("sh", "-c", "echo data; echo reason >&2; exit 3"), sink(dest))
    assert result.msg == "step 'step 1' (bare): it failed with exit status 3: reason"
    assert dest.read_text() == "old" and not temporaries(tmp_path)
    allowed = pipelines.run(_bare("sh", "-c", "echo data; exit 3", ok_codes=[3]), sink(dest))
    assert (allowed.msg, dest.read_text()) == (None, "data\n")


def test_a_program_that_is_killed_has_failed(pipelines: Pipelines) -> None:
    result = pipelines.run(_bare("sh", "-c", "kill -KILL $$"))
    assert result.msg == "step 'step 1' (bare): it failed with exit status 137"


def test_a_program_that_fails_before_its_turn_is_named(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(command("echo data"), _bare("false"), sink(tmp_path / "file"))
    assert result.failed_step == "step 2"
    assert result.msg is not None and "exit status 1" in result.msg
    assert list(tmp_path.iterdir()) == []


def test_when_another_step_fails_it_is_ended_here_and_said_that_there_is_no_telling(
    pipelines: Pipelines, tmp_path: Path
) -> None:
    line = f"echo $$ >{tmp_path}/pid; exec sleep 1000"
    fails = command(f"until [ -s {tmp_path}/pid ]; do sleep 0.01; done; exit 3")
    result = pipelines.run(_bare("sh", "-c", line), fails)
    assert result.failed_step == "step 2"
    assert ends(int((tmp_path / "pid").read_text()))
    assert len(result.warnings) == 1 and "could not confirm that it ended there" in result.warnings[0]


def test_check_mode_does_not_run_it(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(
        command("echo data"), _bare("touch", str(tmp_path / "ran")), sink(tmp_path / "file"), check_mode=True
    )
    assert (result.msg, result.changed) == (None, True)
    assert list(tmp_path.iterdir()) == []


def test_it_does_not_run_before_the_others_are_ready(pipelines: Pipelines, tmp_path: Path) -> None:
    result = pipelines.run(_bare("touch", str(tmp_path / "ran")), command("no-such-program"))
    assert (
        result.msg
        == "step 'step 2' (local): the command 'no-such-program' was not found; install it there, or give its path"
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("check_mode", [False, True])
def test_where_there_is_always_a_shell_it_is_refused(pipelines: Pipelines, tmp_path: Path, check_mode: bool) -> None:
    pipelines.add(FakeContext("db"))
    result = pipelines.run(
        command(f"touch {tmp_path}/ran"),
        _bare("cat") | {"context": "db"},
        sink(tmp_path / "file"),
        check_mode=check_mode,
    )
    assert result.failed_step == "step 2"
    assert result.msg is not None and "Leave 'proof' out: the proof by marker is the stronger one." in result.msg
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_named(pipelines: Pipelines) -> None:
    result = pipelines.run(_bare("no-such-program"), command("cat"))
    assert result.failed_step == "step 1"
    assert result.msg is not None and "no-such-program" in result.msg


def test_a_source_that_waits_for_its_input_is_not_left_behind(pipelines: Pipelines, tmp_path: Path) -> None:
    line = f"echo $$ >{tmp_path}/pid; exec cat"
    result = pipelines.run(_bare("sh", "-c", line), command("cat"), timeout=2)
    assert result.failed_step == "step 1"
    until(lambda: ends(int((tmp_path / "pid").read_text())), "the program ended")
