# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard in a container of its own: a real process, a socket, and a file that is put back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic import _attendant
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._snapshot import File, Snapshot, boot_id
from ansible_collections.manifold.core.plugins.module_utils.multinic._state import State
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import LocalSystem

from unit.forwards import imports

CODE = f"""
import sys
from pathlib import Path
from {_attendant.__name__} import main
sys.exit(main(sys.argv[1], Path(sys.argv[2])))
"""


class Pod:
    """A guard over a node of one file, and the agent's end of it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.file = self.root / "etc/file"
        self.file.parent.mkdir(parents=True)
        self.file.write_text("after")
        self.socket = str(folder / "s")
        self.state = State(LocalSystem(self.root))
        argv = [sys.executable, "-c", CODE, self.socket, str(self.root)]
        self.process = subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": imports()})
        until = time.monotonic() + 20
        while True:
            try:
                self.agent = _attendant.connect(self.socket, "")
                return
            except GuardError:
                if self.process.poll() is not None or time.monotonic() > until:
                    self.close()
                    raise
                time.sleep(0.01)

    def arm(self, seconds: float = 60) -> _attendant.Attendant:
        """Begin a change of the file and arm the guard."""
        snapshot = Snapshot("abc", boot_id(), files=(File("/etc/file", b"before"),))
        self.state.begin(replace(snapshot, deadline=time.monotonic() + seconds), b"")
        guard = _attendant.Attendant(LocalSystem(self.root), self.socket)
        guard.arm("abc", seconds)
        return guard

    def ended(self) -> int:
        """Return the exit status of the guard."""
        return self.process.wait(20)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    made = Pod(tmp_path)
    yield made
    made.agent.close()
    made.close()


def test_a_change_that_is_kept_stays_and_the_guard_ends_with_the_agent(pod: Pod) -> None:
    guard = pod.arm()
    assert pod.state.keep("abc", "the run") is None
    guard.disarm()
    pod.agent.close()
    assert (pod.ended(), pod.file.read_text()) == (0, "after")


@pytest.mark.parametrize("end", ["run", "agent", "term", "deadline"])
def test_a_change_that_nobody_decides_is_undone(pod: Pod, end: str) -> None:
    guard = pod.arm(0.2 if end == "deadline" else 60)
    if end == "run":
        guard.disarm()  # which is what the kernel does to a process that dies
    elif end == "term":
        pod.process.send_signal(signal.SIGTERM)
    elif end == "agent":
        pod.agent.close()
    until = time.monotonic() + 20
    while not pod.state.path("restored.json").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    assert pod.file.read_text() == "before"
    pod.agent.close()
    assert pod.ended() == 0
    assert json.loads(pod.state.path("restored.json").read_text())["by"] == "the guard (container)"


def test_what_is_not_in_progress_cannot_be_armed(pod: Pod) -> None:
    with pytest.raises(GuardError, match="there is no such change"):
        _attendant.connect(pod.socket, "other")


def test_a_pod_without_a_guard_says_so(tmp_path: Path) -> None:
    system = LocalSystem(tmp_path)
    assert _attendant.Attendant(system, "").missing() == "this is no pod with a guard container"
    missing = _attendant.Attendant(system, str(tmp_path / "none")).missing()
    assert missing is not None and "does not answer" in missing
