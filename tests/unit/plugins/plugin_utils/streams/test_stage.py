# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils._linux import make_pipe
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context, ContextError, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.streams._loop import DeadlineReached, Loop
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import Mark
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pump import CapturePump
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shell import Surroundings
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shells import Shells
from ansible_collections.manifold.core.plugins.plugin_utils.streams._stage import (
    STDERR_LIMIT,
    Phase,
    Stage,
    StageRefused,
)

from unit.become import FakeBecome
from unit.support import EVERY_BYTE, NONCE, PATIENCE, FakeContext, processes_with


class Making(Protocol):
    def __call__(
        self, line: str, context: Context | None = None, *, consumer: bool = False, needs: tuple[str, ...] = ()
    ) -> Stage: ...


@pytest.fixture
def make(loop: Loop) -> Iterator[Making]:
    """Make and start stages; they are killed with the test."""
    made: list[Stage] = []

    def stage(
        line: str, context: Context | None = None, *, consumer: bool = False, needs: tuple[str, ...] = ()
    ) -> Stage:
        around, run = Surroundings(needs=needs), _shell.shell_command(line)
        if consumer:
            script = _shell.consumer_script(NONCE, run, around, counted=True)
        else:
            script = _shell.source_script(NONCE, run, around)
        one = Stage("dump", context or LocalContext("local"), script, NONCE, loop)
        made.append(one)
        one.start()
        return one

    yield stage
    for one in made:
        one.kill()
        one.kill()


def _wait(loop: Loop, condition: Callable[[], bool]) -> None:
    loop.run(condition, time.monotonic() + PATIENCE)


def _run(loop: Loop, stage: Stage) -> bytes:
    """Run a stage to its end and return its data."""
    _wait(loop, lambda: stage.phase is Phase.READY)
    pump = CapturePump(stage.stdout, 1 << 24)
    stage.release(pump)
    _wait(loop, lambda: stage.phase is Phase.DONE)
    return bytes(pump.captured)


def test_a_stage_waits_until_it_is_released(loop: Loop, make: Making) -> None:
    stage = make("echo data; echo said >&2; exit 3")
    _wait(loop, lambda: stage.phase is Phase.READY)
    assert stage.ready_after is not None and stage.ready_after > 0
    assert (stage.mark, stage.status, stage.stderr) == (None, None, "")
    assert _run(loop, stage) == b"data\n"
    assert stage.mark == Mark(3, None, False)
    assert (stage.status, stage.stderr) == (3, "said\n")


def test_every_byte_value_passes_through_a_stage(loop: Loop, make: Making) -> None:
    stage = make("cat", consumer=True)
    _wait(loop, lambda: stage.phase is Phase.READY)
    pump = CapturePump(stage.stdout, 1 << 20)
    stage.release(pump)
    assert stage.stdin is not None
    os.write(stage.stdin, EVERY_BYTE)
    stage.end_input()
    stage.end_input()
    _wait(loop, lambda: stage.phase is Phase.DONE)
    assert pump.captured == EVERY_BYTE
    assert stage.mark == Mark(0, len(EVERY_BYTE), False)


def test_only_the_last_of_a_long_stderr_is_kept(loop: Loop, make: Making) -> None:
    stage = make("i=0; while [ $i -lt 4000 ]; do echo line $i of many >&2; i=$((i + 1)); done")
    _run(loop, stage)
    assert stage.stderr.endswith("line 3999 of many\n")
    assert len(stage.stderr) == STDERR_LIMIT


def test_stderr_that_is_no_text_is_shown_as_far_as_it_can_be(loop: Loop, make: Making) -> None:
    stage = make(r"printf 'a\377b' >&2")
    _run(loop, stage)
    assert stage.stderr == "a\N{REPLACEMENT CHARACTER}b"


def test_a_missing_command_is_refused_by_name(loop: Loop, make: Making) -> None:
    make("true", needs=("no-such-program",))
    with pytest.raises(StageRefused, match=r"^the command 'no-such-program' was not found; install it"):
        _wait(loop, lambda: False)


def test_a_program_that_is_not_on_this_machine_is_named(make: Making) -> None:
    class Gone(LocalContext):
        def launch(self, command: str) -> Launch:
            return Launch(argv=(b"no-such-kubectl", command.encode()))

    with pytest.raises(ContextError) as refused:
        make("true", Gone("shop"))
    assert str(refused.value) == (
        "context 'shop': starting no-such-kubectl: No such file or directory. "
        "Install no-such-kubectl on this machine and put it on PATH."
    )


def test_what_was_passed_to_a_program_that_could_not_start_is_closed(make: Making) -> None:
    closed = []

    class Gone(LocalContext):
        def launch(self, command: str) -> Launch:
            return Launch(argv=(b"no-such-ssh", command.encode()), started=lambda: closed.append(1))

    with pytest.raises(ContextError):
        make("true", Gone("shop"))
    assert closed == [1]


def test_a_transport_that_ends_before_the_command_is_explained(loop: Loop, make: Making) -> None:
    make("true", FakeContext("db", ("/bin/sh", "-c", "echo 'ssh: no route' >&2; exit 255", "transport")))
    with pytest.raises(StageRefused, match=r"^ssh: no route$"):
        _wait(loop, lambda: False)


def test_a_transport_that_loses_the_script_is_explained(loop: Loop, make: Making) -> None:
    make("true", FakeContext("db", ("/bin/sh", "-c", 'head -c 300 | /bin/sh -c "$1"', "transport")))
    with pytest.raises(StageRefused, match=r"^the shell was given only a part of its script$"):
        _wait(loop, lambda: False)


def test_a_stage_that_ends_before_its_turn_is_refused(loop: Loop, make: Making) -> None:
    stage = make("true")
    _wait(loop, lambda: stage.phase is Phase.READY)
    stage.end_input()
    with pytest.raises(StageRefused, match=r"^it ended before its turn \(the connection's exit status is 95\)$"):
        _wait(loop, lambda: False)


def test_a_stage_that_is_killed_leaves_no_mark_and_no_process(loop: Loop, make: Making) -> None:
    stage = make("echo data; sleep 1000")
    _wait(loop, lambda: stage.phase is Phase.READY)
    stage.release(CapturePump(stage.stdout, 100))
    _wait(loop, lambda: bool(processes_with(f"MANIFOLD_STAGE={NONCE}")))
    stage.kill()
    assert stage.status == -9
    assert stage.mark is None


def test_a_stage_is_done_although_something_keeps_its_stderr_open(loop: Loop, make: Making) -> None:
    stage = make("sleep 1000 >/dev/null & echo said >&2")
    _run(loop, stage)
    assert stage.mark == Mark(0, None, False)
    assert stage.stderr == "said\n"
    for pid in processes_with(f"MANIFOLD_STAGE={NONCE}"):
        os.kill(pid, signal.SIGKILL)


def test_a_stage_lingers_while_something_keeps_its_connection_open(
    loop: Loop, make: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{Stage.__module__}.MARK_GRACE", 0.0)
    transport = ("/bin/sh", "-c", '/bin/sh -c "$1"; exec sleep 1000', "transport")
    stage = make("echo data", FakeContext("db", transport))
    _wait(loop, lambda: stage.phase is Phase.READY)
    pump = CapturePump(stage.stdout, 100)
    stage.release(pump)
    _wait(loop, lambda: stage.lingers)
    assert stage.phase is Phase.RUNNING
    stage.let_go()
    assert (stage.phase, bytes(pump.captured)) == (Phase.DONE, b"data\n")
    assert stage.mark == Mark(0, None, False)


def test_a_script_larger_than_a_pipe_reaches_its_shell(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{Shells.__module__}.make_pipe", lambda: make_pipe(4096))
    script = "# " + "x" * 20_000 + "\n" + _shell.source_script(NONCE, "echo data", Surroundings())
    stage = Stage("dump", LocalContext("local"), script, NONCE, loop)
    stage.start()
    assert _run(loop, stage) == b"data\n"
    assert stage.mark == Mark(0, None, False)
    stage.kill()


# -- becoming another user ---------------------------------------------------------------------------------------------


def _becoming(password: str | None, *, prompts: bool = True) -> LocalContext:
    return LocalContext("local", become=FakeBecome(password, prompts=prompts))


@pytest.mark.parametrize("prompts", [True, False])
def test_a_password_is_given_when_it_is_asked_for(loop: Loop, make: Making, prompts: bool) -> None:
    stage = make("echo data; echo said >&2", _becoming("secret", prompts=prompts))
    assert _run(loop, stage) == b"data\n"
    assert stage.stderr == "said\n", "nothing of the dialog is the command's"
    assert stage.mark == Mark(0, None, False)


def test_a_wrong_password_is_refused_at_once(loop: Loop, make: Making) -> None:
    make("true", _becoming("wrong"))
    with pytest.raises(StageRefused) as refused:
        _wait(loop, lambda: False)
    assert refused.value.cause == "becoming somebody by fake: the password was refused"
    assert refused.value.remedy == "Check ansible_become_password of this context."


def test_a_missing_password_is_told(loop: Loop, make: Making) -> None:
    make("true", _becoming(None))
    with pytest.raises(StageRefused) as refused:
        _wait(loop, lambda: False)
    assert refused.value.cause == "becoming somebody by fake: a password is required"
    assert refused.value.remedy == "Set ansible_become_password."


def test_a_program_that_wants_a_password_without_asking_is_told(loop: Loop, make: Making) -> None:
    class Silent(FakeBecome):
        def build_become_command(self, cmd: str, shell: object) -> str:
            del shell
            return f"echo 'sudo: a password is required' >&2; sleep 1000; : {shlex.quote(cmd)}"

    make("true", LocalContext("local", become=Silent(None)))
    with pytest.raises(StageRefused, match="becoming somebody by fake: a password is required"):
        _wait(loop, lambda: False)


def test_a_password_is_written_once_and_only_after_the_prompt(loop: Loop, make: Making) -> None:
    class Slow(FakeBecome):
        def build_become_command(self, cmd: str, shell: object) -> str:
            line = super().build_become_command(cmd, shell)
            return re.sub("^printf", "[ -p /dev/stdin ] && printf", line, count=1)

    stage = make("cat", LocalContext("local", become=Slow("secret")), consumer=True)
    _wait(loop, lambda: stage.phase is Phase.READY)
    pump = CapturePump(stage.stdout, 100)
    stage.release(pump)
    stage.end_input()
    _wait(loop, lambda: stage.phase is Phase.DONE)
    assert bytes(pump.captured) == b""
    assert stage.mark == Mark(0, 0, False), "nothing of the password is left in the data"


def test_a_transport_that_never_gets_ready_meets_the_deadline(loop: Loop, make: Making) -> None:
    stage = make("true", FakeContext("db", ("/bin/sh", "-c", "exec sleep 1000")))
    with pytest.raises(DeadlineReached):
        loop.run(lambda: stage.phase is not Phase.STARTING, time.monotonic() + 0.05)
