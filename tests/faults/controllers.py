# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs a pipeline and can be killed: the engine in a process of its own, or a whole ansible-playbook."""

from __future__ import annotations

import abc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.inventory import Inventory
from testbed.playbook import PlaybookError
from testbed.processes import children_of, command_of, marked

CELL_VARIABLE = "MANIFOLD_FAULT_CELL"
"""Set to the cell's mark in the engine's process and in everything that it starts on this machine."""
_TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. ``result`` is what the task returned; None if the run was ended from outside."""

    status: int
    """Exit status; negative if a signal ended the process."""
    result: dict[str, Any] | None
    messages: str

    @property
    def failed_step(self) -> str | None:
        """The step that was blamed."""
        return self.result.get("failed_step") if self.result else None


class Hung(Exception):
    """A run did not end in time."""


class Controller(abc.ABC):
    """A running pipeline as its machine sees it."""

    pid: int

    @abc.abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Do what a user (SIGINT, SIGTERM) or the kernel (SIGKILL) does to the processes of a controller."""

    @abc.abstractmethod
    def wait(self, seconds: float) -> Outcome:
        """Wait for the end; raise Hung."""

    @abc.abstractmethod
    def processes(self) -> list[int]:
        """Return what it started on this machine and what still runs."""

    @abc.abstractmethod
    def close(self) -> None:
        """Kill the process if it still runs."""


class Engine(Controller):
    """``python -m faults.driver``."""

    def __init__(self, request: Mapping[str, Any], mark: str, collections: str, messages: Path) -> None:
        self._mark = mark
        self._messages = messages
        paths = [collections, str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        with messages.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faults.driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, CELL_VARIABLE: mark, "PYTHONPATH": os.pathsep.join(paths)},
                start_new_session=True,
            )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        with self._process.stdin as stdin:
            stdin.write(json.dumps(request).encode())
        self._process.stdin = None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float) -> Outcome:
        try:
            output, _none = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired as exc:
            raise Hung(f"it did not end within {seconds:g} s") from exc
        result = json.loads(output) if output else None
        return Outcome(self._process.returncode, result, self._messages.read_text(errors="replace"))

    def processes(self) -> list[int]:
        return marked(CELL_VARIABLE, self._mark)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


class Play(Controller):
    """``ansible-playbook`` with one pipeline task."""

    TASK = "Stream"

    def __init__(self, inventory: Inventory, arguments: Mapping[str, Any], mark: str, environment: dict[str, str]):
        task = {"name": self.TASK, "manifold.core.pipeline": dict(arguments)}
        play = {"hosts": "localhost", "gather_facts": False, "tasks": [task]}
        self._mark = mark
        self._run = inventory.play_async([play], env={**environment, CELL_VARIABLE: mark})
        self.pid = self._run.pid

    def signal(self, number: signal.Signals) -> None:
        """Signal like a terminal (SIGINT to the group), a supervisor (SIGTERM) or the kernel (SIGKILL to all of it)."""
        if number is signal.SIGINT:
            self._run.interrupt()
        elif number is signal.SIGTERM:
            self._run.send_signal(number)
        else:
            for pid in [*_workers(self.pid), self.pid]:
                os.kill(pid, number)

    def wait(self, seconds: float) -> Outcome:
        try:
            done = self._run.wait(seconds)
        except PlaybookError as exc:
            raise Hung(str(exc)) from exc
        results = [{**task.result, "failed": task.status == "failed"} for task in done.tasks if task.task == self.TASK]
        return Outcome(done.rc, results[-1] if results else None, done.stdout + done.stderr)

    def processes(self) -> list[int]:
        return [pid for pid in marked(CELL_VARIABLE, self._mark) if pid != self.pid]

    def close(self) -> None:
        self._run.kill_all()


def _workers(pid: int) -> list[int]:
    """Return the processes of a play that run its tasks, the last ones first."""
    found = [child for child in children_of(pid) if "ansible-playbook" in command_of(child)]
    return [*(deeper for child in found for deeper in _workers(child)), *found]
