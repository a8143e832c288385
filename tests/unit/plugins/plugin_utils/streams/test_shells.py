# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shells that are started before it is known what they will run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _shell, _shells
from ansible_collections.manifold.core.plugins.plugin_utils.streams._loop import Loop
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import Mark
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pump import CapturePump
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shell import Surroundings
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shells import Shell, Shells
from ansible_collections.manifold.core.plugins.plugin_utils.streams._stage import Phase, Stage, StageRefused

from unit.support import NONCE, PATIENCE, FakeContext, processes_with, until

LABEL = "manifold step dump"


@pytest.fixture
def shells() -> Iterator[Shells]:
    made = Shells()
    yield made
    made.close()


def _wait(loop: Loop, condition: Callable[[], bool]) -> None:
    loop.run(condition, time.monotonic() + PATIENCE)


def _stage(loop: Loop, context: Context, line: str, shell: Shell | None) -> Stage:
    nonce = shell.nonce if shell is not None else NONCE
    script = _shell.source_script(nonce, _shell.shell_command(line), Surroundings())
    return Stage("dump", context, script, nonce, loop, shell=shell)


def _output(loop: Loop, stage: Stage) -> bytes:
    _wait(loop, lambda: stage.phase is Phase.READY)
    pump = CapturePump(stage.stdout, 1 << 20)
    stage.release(pump)
    _wait(loop, lambda: stage.phase is Phase.DONE)
    stage.kill()
    return bytes(pump.captured)


def _taken(shells: Shells, context: Context) -> Shell:
    shells.start(context, LABEL)
    shell = shells.take(context)
    assert shell is not None
    return shell


def test_a_stage_runs_in_a_shell_that_waited_for_it(loop: Loop, shells: Shells) -> None:
    context, other = FakeContext("a"), FakeContext("b")
    shells.start(context, LABEL)
    assert shells.take(other) is None
    stage = _stage(loop, context, "echo data", shells.take(context))
    stage.start()
    assert (_output(loop, stage), stage.mark, len(context.launched)) == (b"data\n", Mark(0, None, False), 1)
    assert LABEL in context.launched[0]
    assert shells.take(context) is None, "it serves one stage"


def test_one_that_has_ended_or_waited_long_is_not_given(shells: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    context = FakeContext("a")
    shells.start(context, LABEL)
    ((_context, shell),) = shells._waiting
    shell.process.kill()
    shell.process.wait()
    assert shells.take(context) is None
    monkeypatch.setattr(_shells, "_FRESH_SECONDS", 0.0)
    shells.start(context, LABEL)
    ((_context, shell),) = shells._waiting
    assert shells.take(context) is None
    assert shell.process.poll() is not None, "it was ended"


def test_one_that_ends_too_early_is_no_failure_of_the_stage(loop: Loop, shells: Shells, tmp_path: Path) -> None:
    context = FakeContext("a")
    shell = _taken(shells, context)
    shell.process.kill()
    stage = _stage(loop, context, f"echo once >>{tmp_path}/runs; echo data", shell)
    stage.start(alone=True)
    assert (_output(loop, stage), len(context.launched)) == (b"data\n", 2)
    assert (tmp_path / "runs").read_text() == "once\n"


def test_whoever_starts_anew_is_told_why_that_fails(loop: Loop, shells: Shells) -> None:
    ends_when_spoken_to = ("/bin/sh", "-c", "read -r _", "transport")
    context = FakeContext("a", ends_when_spoken_to, ("/bin/sh", "-c", "exit 3", "transport"))
    stage = _stage(loop, context, "echo data", _taken(shells, context))
    stage.start()
    with pytest.raises(StageRefused, match="ended with status 3"):
        _wait(loop, lambda: stage.phase is Phase.READY)
    stage.kill()


def test_nothing_is_left_of_those_that_nobody_needed(loop: Loop, shells: Shells) -> None:
    context = FakeContext("a")
    never_started = _stage(loop, context, "echo data", _taken(shells, context))
    until(lambda: bool(processes_with(never_started.nonce)), "the shell runs")
    never_started.kill()
    until(lambda: not processes_with(never_started.nonce), "the shell of a stage that never started is gone")
    shells.start(context, LABEL)
    ((_context, shell),) = shells._waiting
    until(lambda: bool(processes_with(shell.nonce)), "another shell runs")
    shells.close()
    until(lambda: not processes_with(shell.nonce), "the one that nobody took is gone")
    shells.start(context, LABEL)
    assert shells.take(context) is None, "no more are started"


def test_what_cannot_be_started_ahead_is_told_when_it_is_needed(shells: Shells) -> None:
    context = FakeContext("a", ("/no/such/program",))
    shells.start(context, LABEL)
    assert shells.take(context) is None


def test_a_stage_alone_begins_at_once(loop: Loop, tmp_path: Path) -> None:
    context = LocalContext("local")
    stage = _stage(loop, context, f"echo data; echo begun >{tmp_path}/begun", None)
    stage.start(alone=True)
    _wait(loop, lambda: stage.status is not None)
    assert (stage.phase, (tmp_path / "begun").read_text()) == (Phase.READY, "begun\n")
    assert (_output(loop, stage), stage.mark) == (b"data\n", Mark(0, None, False))
