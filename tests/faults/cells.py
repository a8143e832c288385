# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a cell of the matrix and says what does not hold."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator

import yaml

from faults.controllers import Controller, Engine, Hung, Outcome, Play
from faults.model import SIZE, Cell, Expected, Finding, Place, Role, Transport
from faults.scene import TARGET, NotThere, Scene, is_master
from faults.sites import OLD_CONTENT, Site, Sites
from testbed.bed import Bed
from testbed.inventory import Inventory, collections_path
from testbed.processes import await_exit, command_of, send_signal
from testbed.run import Run

_GATE_SECONDS = 60.0
_END_SECONDS = 90.0
_EXIT_SECONDS = 12.0
"""How long what a run started may take to end after it."""

Start = Callable[[Scene, bool], Controller]
"""Starts the pipeline of a scene; the flag asks for the healthy one."""


class Runner:
    """Runs cells, one after another for each site."""

    def __init__(self, run: Run, bed: Bed, sites: Sites) -> None:
        self._run, self._bed, self._sites = run, bed, sites
        self._numbers: Iterator[int] = itertools.count(1)
        self._collections = collections_path(run)

    def site(self, cell: Cell) -> Site:
        """Return where the step of a cell runs.

        containerd's own SPDY cannot be made to lie, and loses the end of a large input by itself
        (containerd/containerd#13934); the test bed's SPDY, in front of plain processes, does neither unless told to.
        """
        plain = cell.transport is Transport.SPDY and (cell.fault.lies or cell.role is not Role.SOURCE)
        return self._sites.of(cell.transport, plain=plain)

    def through_engine(self, cell: Cell) -> Finding:
        """Run a cell against the stream engine."""
        return self._cell(cell, self._engine)

    def through_playbook(self, cell: Cell) -> Finding:
        """Run a cell through ansible-playbook."""
        made: list[Inventory] = []

        def play(scene: Scene, healthy: bool) -> Controller:
            made.append(self._bed.inventory(text=_inventory(scene, healthy)))
            arguments = {"steps": scene.steps(healthy=healthy), **scene.options()}
            return Play(made[-1], arguments, scene.mark, scene.site.environment)

        try:
            return self._cell(cell, play)
        finally:
            for inventory in made:
                inventory.close()

    def _engine(self, scene: Scene, healthy: bool) -> Controller:
        request = scene.request(healthy=healthy)
        return Engine(request, scene.mark, self._collections, scene.directory / "messages")

    def _cell(self, cell: Cell, start: Start) -> Finding:
        started = time.monotonic()
        site = self.site(cell)
        site.ready()
        scene = Scene(cell, site, f"cell{next(self._numbers)}-{self._run.id}")
        try:
            problems = _Trial(scene, start).run()
        finally:
            site.heal()
            scene.close()
        return Finding(cell, tuple(problems), time.monotonic() - started)


def _inventory(scene: Scene, healthy: bool) -> str:
    variables = scene.site.inventory_vars([] if healthy else scene.prefix)
    return yaml.safe_dump({"all": {"hosts": {TARGET: variables}}})


class _Trial:
    """One run of a scene and its verdict."""

    def __init__(self, scene: Scene, start: Start) -> None:
        self._scene = scene
        self._start = start
        self._fault = scene.cell.fault
        self._inode: int | None = None
        self._problems: list[str] = []

    def run(self) -> list[str]:
        scene, fault = self._scene, self._fault
        scene.furnish()
        self._inode = scene.dest.stat().st_ino if scene.dest.exists() else None
        fault.prepare(scene)
        scene.controller = self._start(scene, False)
        try:
            outcome = self._strike_and_wait()
            if outcome is not None:
                self._judge(outcome)
            scene.site.heal()
            self._judge_processes()
        finally:
            scene.controller.close()
        if fault.temporary_stays:
            self._judge_next_run()
        elif scene.temporaries():
            self._problems.append(f"temporaries are left: {scene.temporaries()}")
        return self._problems

    def _strike_and_wait(self) -> Outcome | None:
        scene, fault = self._scene, self._fault
        try:
            if not fault.source_fails and fault.place is not Place.LOCKED:
                if scene.gate.wait(scene.controller.pid, _GATE_SECONDS):
                    fault.strike(scene)
                else:
                    self._problems.append("the source did not come to its gate")
            return scene.controller.wait(_END_SECONDS)
        except (NotThere, Hung) as exc:
            self._problems.append(str(exc))
        return None

    # -- the verdict ---------------------------------------------------------------------------------------------

    def _judge(self, outcome: Outcome) -> None:
        expected, state = self._fault.expected, self._state()
        if expected is Expected.ENDED:
            if outcome.status == 0 or (outcome.result and not outcome.result.get("failed")):
                self._problems.append(f"the controller was not ended: {_describe(outcome)}")
        elif outcome.result is None or "failed_step" not in outcome.result:
            self._problems.append(f"no result: {_describe(outcome)}")
        elif not outcome.result.get("failed"):
            if expected is Expected.RED or state != "whole":
                self._problems.append(f"UNDETECTED: green, and the destination is {state}")
        elif expected is Expected.WHOLE:
            self._problems.append(f"red without a fault: {outcome.result.get('msg')}")
        elif outcome.failed_step not in self._fault.blamed(self._scene.cell.role):
            self._problems.append(f"'{outcome.failed_step}' is blamed: {outcome.result.get('msg')}")
        self._judge_destination(outcome, state)

    def _judge_destination(self, outcome: Outcome, state: str) -> None:
        green = outcome.result is not None and not outcome.result.get("failed")
        wanted = "whole" if green else "untouched"
        if state != wanted:
            self._problems.append(f"the destination is {state}, expected {wanted}")

    def _state(self) -> str:
        dest = self._scene.dest
        if not dest.exists():
            return "untouched" if self._inode is None else "gone"
        content = dest.read_bytes()
        if content == self._scene.site.data.read_bytes():
            return "whole"
        if self._inode == dest.stat().st_ino and content == OLD_CONTENT:
            return "untouched"
        return f"partial ({len(content)} of {SIZE} bytes)"

    def _judge_processes(self) -> None:
        """Wait until nothing runs any more; what does is reported, and killed."""
        deadline = time.monotonic() + _EXIT_SECONDS
        while (left := self._left()) and time.monotonic() < deadline:
            await_exit(left, max(0.0, deadline - time.monotonic()))
        if left:
            self._problems.append(f"left running: {', '.join(sorted(command_of(pid)[:40] for pid in left))}")
            send_signal(left, signal.SIGKILL)

    def _left(self) -> list[int]:
        here = [pid for pid in self._scene.controller.processes() if not is_master(pid)]
        return [*here, *self._scene.site.processes()]

    def _judge_next_run(self) -> None:
        """Run the same pipeline without a fault: it has to do its work, and to remove what the first one left."""
        scene = self._scene
        scene.site.ready()
        scene.controller = self._start(scene, True)
        try:
            outcome = scene.controller.wait(_END_SECONDS)
        except Hung as exc:
            self._problems.append(f"the next run: {exc}")
            return
        finally:
            scene.controller.close()
        if self._state() != "whole":
            self._problems.append(f"after the next run the destination is {self._state()}: {_describe(outcome)}")
        if scene.temporaries():
            self._problems.append(f"temporaries are left after the next run: {scene.temporaries()}")


def _describe(outcome: Outcome) -> str:
    told = (outcome.result or {}).get("msg") or outcome.messages[-600:]
    return f"exit status {outcome.status}, {told}"
