# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tools import processes

pytestmark = pytest.mark.timeout(60)

_RUNNER = """\
import os, sys
from pathlib import Path
from tools import processes
processes.stop_on_signals()
try:
    processes.run(["sh", "-c", "trap 'echo tidied; exit 0' INT; echo started; while :; do sleep 0.05; done"],
                  cwd=Path("/"), env=dict(os.environ))
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_lets_its_program_tidy_up(number: signal.Signals) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[1])}
    runner = subprocess.Popen([sys.executable, "-c", _RUNNER], stdout=subprocess.PIPE, text=True, env=env)
    assert runner.stdout
    assert runner.stdout.readline() == "started\n"
    runner.send_signal(number)
    assert runner.stdout.read() == "tidied\n"
    assert runner.wait(10) == 130


def test_a_run_that_a_shell_put_in_the_background_can_be_interrupted() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[1])}
    in_background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-c", _RUNNER]
    runner = subprocess.Popen(in_background, stdout=subprocess.PIPE, text=True, env=env)
    assert runner.stdout
    assert runner.stdout.readline() == "started\n"
    runner.send_signal(signal.SIGINT)
    assert runner.stdout.read() == "tidied\n"


def test_a_signal_while_a_program_starts_does_not_leave_it_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Slow(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    with pytest.raises(KeyboardInterrupt):
        processes.run(["sleep", "600"], cwd=tmp_path, env=dict(os.environ))
    assert started[0].returncode == -signal.SIGINT


def test_a_second_signal_kills_what_does_not_end(tmp_path: Path) -> None:
    stubborn = _RUNNER.replace("echo tidied; exit 0", "echo $$ >pid")
    stubborn = stubborn.replace('Path("/")', f"Path({str(tmp_path)!r})")
    env = {**os.environ, "PYTHONPATH": str(Path(processes.__file__).parents[1])}
    runner = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE, text=True, env=env)
    assert runner.stdout
    runner.stdout.readline()
    runner.send_signal(signal.SIGINT)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        time.sleep(0.02)
    runner.send_signal(signal.SIGINT)
    assert runner.wait(10) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_log_is_appended_to_and_shown_on_failure(tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = dict(os.environ)
    processes.must(["echo", "one"], cwd=tmp_path, env=env, log=log)
    with pytest.raises(processes.Failed) as failure:
        processes.must(["sh", "-c", "echo two; exit 3"], cwd=tmp_path, env=env, log=log)
    assert failure.value.output == "one\ntwo\n"
    assert "ended with 3" in str(failure.value)
