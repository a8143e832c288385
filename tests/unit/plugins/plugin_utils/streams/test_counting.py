# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way to count what a command is given, wherever it can be taken. What follows from the count: test_shell.py."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.streams._marker import Mark

from unit.support import EVERY_BYTE, NONCE, ScriptRun, Shell, until

WAYS = ("by_perl", "by_dd", "by_tee")
TAKEN = {
    "dash": "by_perl",
    "bash": "by_perl",
    "dash without perl": "by_dd",
    "dash, silent dd": "by_tee",
    "busybox": "by_tee",
}
MORE = EVERY_BYTE * 12_000
"""More than all pipes on the way hold."""
SIZES = [0, 1, 65_535, 65_536, 3_000_001]


def _start(shell: Shell, line: str, way: str | None = None, splice: str | None = None) -> ScriptRun:
    """Start a stage that counts in a given way, else in the one it chooses; tell which at the end of its stderr."""
    script = _shell.consumer_script(NONCE, _shell.shell_command(line), _shell.Surroundings(), counted=True)
    choice = 'echo "counted $count" >&2\n'
    if way:
        choice = f"count={way}\n{choice}"
    if splice:
        choice = f"splice={splice}\n{choice}"
    at = script.index("exec 4>&1 5>&2")
    run = shell.start(NONCE, script[:at] + choice + script[at:])
    run.go()
    return run


def _can(shell: Shell, way: str) -> bool:
    """Whether a way can be taken with the tools of a shell."""
    if way == "by_perl":
        return shell.run("perl -e 1").returncode == 0
    return way != "by_dd" or b" bytes" in shell.run("LC_ALL=C dd if=/dev/null 2>&1").stdout


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, shell: Shell) -> str:
    """Each way that a shell can take."""
    name = str(request.param)
    if not _can(shell, name):
        pytest.skip(f"{shell.name} cannot count {name}")
    return name


def test_the_cheapest_way_is_taken(shell: Shell) -> None:
    finished = _start(shell, "cat >/dev/null").finish(b"data")
    assert f"counted {TAKEN[shell.name]}\n" in finished.stderr
    assert finished.mark == Mark(0, 4, False)


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_is_passed_on_and_counted(shell: Shell, way: str, size: int) -> None:
    data = (EVERY_BYTE * (size // 256 + 1))[:size]
    finished = _start(shell, "cat", way).finish(data)
    assert finished.data == data
    assert finished.mark == Mark(0, size, False)


def test_a_command_that_stops_early_is_told_from_one_that_was_cut(shell: Shell, way: str) -> None:
    finished = _start(shell, "head -c 3", way).finish(MORE)
    assert finished.data == EVERY_BYTE[:3]
    assert finished.mark == Mark(0, None, True)


def test_a_counter_that_is_killed_counts_nothing(shell: Shell, way: str, tmp_path: Path) -> None:
    """The command sees the end of its input, and nothing says that it is the true one."""
    run = _start(shell, f"exec 9>&-; cat >{tmp_path}/got", way)
    run.stdin.write(b"data")
    until(lambda: (tmp_path / "got").exists() and (tmp_path / "got").read_bytes() == b"data", "the data arrived")
    counter = {"by_perl": "perl", "by_dd": "dd", "by_tee": "tee"}[way]
    victims = [pid for pid in _family(run.leader) if _counts(pid, counter, tmp_path / "got")]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)
    assert run.finish().mark == Mark(0, None, False, lost_count=True)


def _family(pid: int) -> list[int]:
    """Return the descendants of a process."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [*children, *(each for child in children for each in _family(child))]


def _counts(pid: int, program: str, output: Path) -> bool:
    """Whether a process is the one that counts, and not the command, which writes to ``output``."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return Path(words[0].decode()).name == program and Path(f"/proc/{pid}/fd/1").readlink() != output


@pytest.mark.parametrize("number", ["9999", "1000000"])
def test_without_splice_perl_reads_and_writes(shell: Shell, number: str) -> None:
    if not _can(shell, "by_perl"):
        pytest.skip(f"{shell.name} has no perl")
    data = EVERY_BYTE * 10_000
    finished = _start(shell, "cat", "by_perl", number).finish(data)
    assert finished.data == data
    assert finished.mark == Mark(0, len(data), False)
    early = _start(shell, "head -c 3", "by_perl", number).finish(MORE)
    assert early.mark == Mark(0, None, True)
