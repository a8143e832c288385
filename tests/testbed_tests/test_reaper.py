# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reaper: clean-ups that outlive their owner."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import testbed
from testbed.reaper import JOURNAL, Reaper, ReaperError, recover

TESTS = Path(testbed.__file__).parents[1]
# argv: work directory, file to which the clean-ups write
OWNER = """
import json, os, signal, subprocess, sys
from pathlib import Path
from testbed.reaper import Reaper
workdir, trace = Path(sys.argv[1]), sys.argv[2]
reaper = Reaper(workdir)
for word in ("first", "second", "third"):
    token = reaper.add_command(["sh", "-c", f"echo {word} >> {trace}"])
    if word == "second":
        reaper.discard(token)
plain = subprocess.Popen(["sleep", "1000"])
reaper.add_process(plain.pid)
leader = subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], start_new_session=True, stdout=subprocess.PIPE)
reaper.add_process(leader.pid, session=True)
child = int(leader.stdout.readline())
if os.fork() == 0:  # holds the pipe to the reaper open
    print(json.dumps({"reaper": reaper.pid, "pids": [plain.pid, leader.pid, child], "fork": os.getpid()}), flush=True)
    signal.pause()
signal.pause()
"""


@dataclass
class Owner:
    """A process with a reaper."""

    process: subprocess.Popen[str]
    reaper: int
    pids: list[int]
    fork: int


def await_end(pid: int, seconds: float = 30) -> None:
    """Wait until a process that need not be our child has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(seconds * 1000), f"process {pid} did not end in {seconds} s"
    finally:
        os.close(fd)


def alive(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    """Start an owner with its work directory at ``tmp_path/base/run``; its clean-ups write to ``tmp_path/trace``."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "base" / "run"), str(tmp_path / "trace")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    yield Owner(process, **facts)
    for pid in (process.pid, facts["fork"], *facts["pids"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()


def test_a_killed_owner_is_cleaned_up_after_in_reverse_order(owner: Owner, tmp_path: Path) -> None:
    assert all(alive(pid) for pid in owner.pids)
    owner.process.kill()
    owner.process.wait()
    await_end(owner.reaper)
    assert (tmp_path / "trace").read_text() == "third\nfirst\n"
    assert not any(alive(pid) for pid in owner.pids)
    assert not (tmp_path / "base" / "run").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_reaper_outlives_the_signals_of_an_impatient_user(
    owner: Owner, tmp_path: Path, signum: signal.Signals
) -> None:
    os.kill(owner.reaper, signum)
    owner.process.kill()
    owner.process.wait()
    await_end(owner.reaper)
    assert (tmp_path / "trace").exists()


def test_recovery_waits_for_the_death_of_owner_and_reaper(owner: Owner, tmp_path: Path) -> None:
    assert recover(tmp_path / "base") == []
    os.kill(owner.reaper, signal.SIGKILL)
    await_end(owner.reaper)
    assert recover(tmp_path / "base") == []
    os.kill(owner.fork, signal.SIGKILL)  # a forked child shares the lock, too
    owner.process.kill()
    owner.process.wait()
    await_end(owner.fork)
    assert recover(tmp_path / "base") == [tmp_path / "base" / "run"]
    assert (tmp_path / "trace").read_text() == "third\nfirst\n"
    assert not any(alive(pid) for pid in owner.pids)
    assert recover(tmp_path / "base") == []


def test_close_runs_what_is_left_and_may_be_called_twice(tmp_path: Path) -> None:
    reaper, tree = Reaper(tmp_path / "run"), tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    reaper.add_tree(tree)
    reaper.close()
    assert not tree.exists()
    assert not reaper.workdir.exists()
    reaper.close()
    with pytest.raises(ReaperError, match="closed"):
        reaper.add_tree(tree)


def test_a_failed_clean_up_is_reported_and_keeps_the_evidence(tmp_path: Path) -> None:
    reaper, tree = Reaper(tmp_path / "run"), tmp_path / "tree"
    tree.mkdir()
    reaper.add_tree(tree)
    reaper.add_command(["sh", "-c", "echo the reason; exit 3"])
    with pytest.raises(ReaperError, match=r"ended with 3: the reason"):
        reaper.close()
    assert tree.exists()
    assert (reaper.workdir / JOURNAL).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_nothing_is_removed_through_a_mount(tmp_path: Path) -> None:
    reaper, treasure = Reaper(tmp_path / "base" / "run"), tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "file").touch()
    (reaper.workdir / "mounted here").mkdir()
    subprocess.run(["mount", "--bind", treasure, reaper.workdir / "mounted here"], check=True)
    try:
        with pytest.raises(ReaperError, match=r"there are mounts in it: .*mounted here"):
            reaper.close()
    finally:
        subprocess.run(["umount", reaper.workdir / "mounted here"], check=True)
    assert (treasure / "file").exists()
    assert recover(tmp_path / "base") == [reaper.workdir]
    assert not reaper.workdir.exists()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        reaper = Reaper(tmp_path / "run")
        reaper.add_process(process.pid, session=True)
        reaper.close()
        assert process.wait(10) == -signal.SIGKILL


def test_a_recycled_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        reaper = Reaper(tmp_path / "run")
        reaper.add_process(process.pid)
        journal = reaper.workdir / JOURNAL
        entry = json.loads(journal.read_text())
        journal.write_text(json.dumps({**entry, "start": entry["start"] - 1}) + "\n")
        reaper.close()
        assert process.poll() is None
        process.kill()


def test_a_half_written_line_is_ignored(tmp_path: Path) -> None:
    reaper, trace = Reaper(tmp_path / "run"), tmp_path / "trace"
    reaper.add_command(["touch", str(trace)])
    with (reaper.workdir / JOURNAL).open("a") as journal:
        journal.write('{"id": 2, "kind": "comm')
    reaper.close()
    assert trace.exists()
