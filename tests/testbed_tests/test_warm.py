# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A forked run of ansible-playbook and one that is started afresh, seen from outside: they are the same."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.inventory import Inventory
from testbed.playbook import PLAY_VARIABLE, PlaybookRun
from testbed.warm import ForkedRun, WarmAnsible

pytestmark = pytest.mark.embedded

both_ways = pytest.mark.parametrize("forked", [True, False], ids=["forked", "afresh"])
Inventories = Callable[..., Inventory]


def held(made: Inventory, forked: bool, env: dict[str, str] | None = None) -> PlaybookRun:
    """Start a play of which a task says its settings and then waits for a line from a FIFO; return it at that point.

    The command of the task says through a second FIFO that it runs: a SIGINT that comes while Ansible still starts
    the task's worker can be lost.
    """
    gate, begun = made.directory / "gate", made.directory / "begun"
    os.mkfifo(gate)
    os.mkfifo(begun)
    command = f"echo {{{{ lookup('config', 'DEFAULT_FORKS') }}}} $X; echo > {begun}; cat {gate}; exit 3"
    with os.fdopen(os.open(begun, os.O_RDONLY | os.O_NONBLOCK), "rb") as told:
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"name": "told", "shell": command}]}
        run = made.play_async([play], env=env, forked=forked)
        assert select.select([told], [], [], 60)[0], "the task did not begin"
    begun.unlink()
    assert isinstance(run.process, ForkedRun) is forked
    return run


def let_go(made: Inventory) -> None:
    """Let the task of a held play end."""
    with (made.directory / "gate").open("w") as gate:
        gate.write("done\n")


def seen(run: PlaybookRun) -> dict[str, Any]:
    """Return what the kernel shows of a play, without what is meant to differ from play to play."""
    process = Path(f"/proc/{run.pid}")
    status = (process / "status").read_text().splitlines()
    words = (process / "environ").read_bytes().rstrip(b"\0").split(b"\0")
    variables = dict(word.split(b"=", 1) for word in words)
    own = {PLAY_VARIABLE.encode(), b"TESTBED_RESULTS", b"_"}
    return {
        "arguments": (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")[:-1],
        "variables": {name: value for name, value in variables.items() if name not in own},
        "name": (process / "comm").read_text(),
        "folder": (process / "cwd").readlink(),
        "leads its session": os.getsid(run.pid) == run.pid,
        "input": (process / "fd" / "0").readlink(),
        "signals": [line for line in status if line.startswith(("SigBlk", "SigIgn", "SigCgt"))],
    }


def test_the_kernel_shows_the_same_of_both(inventory: Inventories) -> None:
    made = inventory()
    views = []
    for forked in (True, False):
        run = held(made, forked, {"X": "a b"})
        views.append(seen(run))
        assert run.pid in run.processes()
        let_go(made)
        run.wait()
        (made.directory / "gate").unlink()
    assert views[0] == views[1]


@both_ways
def test_a_run_has_its_own_settings_and_its_exit_status(forked: bool, inventory: Inventories) -> None:
    for forks in ("7", "9"):
        made = inventory()
        run = held(made, forked, {"ANSIBLE_FORKS": forks, "X": "mine"})
        assert run.process.poll() is None
        let_go(made)
        result = run.wait()
        assert result.rc == 2, result.describe()
        assert result.task("told").result["stdout"].splitlines() == [f"{forks} mine", "done"]
        assert run.process.poll() == 2


@both_ways
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run(forked: bool, number: signal.Signals, inventory: Inventories) -> None:
    run = held(inventory(), forked)
    if number is signal.SIGINT:
        run.interrupt()
    else:
        run.send_signal(number)
    expected = {signal.SIGKILL: {-signal.SIGKILL}, signal.SIGTERM: {-signal.SIGTERM, 143}, signal.SIGINT: {99}}
    assert run.wait(30).rc in expected[number]
    run.kill_all()


def test_what_python_reads_at_its_start_keeps_a_run_from_being_forked(warm: WarmAnsible) -> None:
    usual = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    assert warm.serves(["ansible-playbook"], usual)
    assert not warm.serves(["ansible-playbook"], usual | {"PYTHONOPTIMIZE": "1"})
    assert not warm.serves(["ansible-playbook", "x" * 100_000], usual)
