# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cell while it runs: its pipeline, its folder, and where the processes are that a fault can strike."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.controllers import Controller
from faults.gate import Gate
from faults.model import SIZE, STALL_SECONDS, Cell, Old, Place, Role
from faults.sites import LOCKED_NAMES, OLD_CONTENT, Site, comm_of, open_files
from testbed.processes import command_of, marked, parent_of

STEP_VARIABLE = "MANIFOLD_FAULT_STEP"
"""Set in the environment of a step's command, which is how it is found, wherever it runs."""
TARGET = "target"
"""The name of the context that the fault befalls."""
_FIND_SECONDS = 15.0


class NotThere(Exception):
    """A process that was to be struck does not run."""


class Scene:
    """A pipeline of up to three steps, of which one, named like its role, runs in the site's context."""

    controller: Controller

    def __init__(self, cell: Cell, site: Site, mark: str) -> None:
        self.cell = cell
        self.site = site
        self.mark = mark
        self.prefix: list[str] = []
        """Words in front of the program that reaches the context."""
        self.directory = site.directory / mark
        self.directory.mkdir()
        self.directory.chmod(0o777)
        self.gate = Gate(self.directory)
        self.dest = self._dest()

    def _dest(self) -> Path:
        place = self.cell.fault.place
        if place is Place.USUAL:
            folder = self.directory / "out"
            folder.mkdir()
            folder.chmod(0o777)
            return folder / "file"
        if place is Place.FULL:
            return self.site.folder(place) / self.mark
        return self.site.folder(place) / LOCKED_NAMES[self.cell.old.value]

    def furnish(self) -> None:
        """Put what is at the destination before."""
        if self.cell.old is Old.PRESENT and self.cell.fault.place is not Place.LOCKED:
            self.dest.write_bytes(OLD_CONTENT)
            self.dest.chmod(0o666)

    # -- the pipeline --------------------------------------------------------------------------------------------

    def steps(self, *, healthy: bool = False) -> list[dict[str, Any]]:
        """Return the steps; ``healthy``: the source prints all its data at once."""
        role = self.cell.role
        name = role.value if role is Role.SOURCE else "feed"
        source = self._step(name, role is Role.SOURCE, command=self._source(healthy))
        save = {"name": "save", "context": "local", "dest": str(self.dest)}
        if role is Role.SOURCE:
            return [source, save]
        if role is Role.MIDDLE:
            return [source, self._step(role.value, True, argv=["cat"]), save]
        if role is Role.LAST:
            return [source, save, self._step(role.value, True, argv=["wc", "-c"], input=name)]
        return [source, {"name": role.value, "context": TARGET, "dest": str(self.dest)}]

    def _step(self, name: str, there: bool, **what: Any) -> dict[str, Any]:
        mark = {STEP_VARIABLE: f"{self.mark}-{name}"}
        return {"name": name, "context": TARGET if there else "local", "environment": mark, **what}

    def _source(self, healthy: bool) -> str:
        data, fault = self.site.data, self.cell.fault
        if healthy:
            return f"cat {data}"
        first = round(fault.at * SIZE)
        start = f"head -c {first} {data}"
        if fault.source_fails:
            return f"{start}; exit 1"
        wait = f"echo here >{self.gate.reached} && read -r _ <{self.gate.gate}"
        return f"{start} && {wait} && tail -c +{first + 1} {data}"

    def options(self) -> dict[str, Any]:
        """Return the options of the pipeline."""
        return {"stall_timeout": STALL_SECONDS} if self.cell.fault.stalls else {}

    def request(self, *, healthy: bool = False) -> dict[str, Any]:
        """Return the pipeline as the driver takes it."""
        contexts = {"local": {"kind": "local"}, TARGET: self.site.description([] if healthy else self.prefix)}
        return {"contexts": contexts, "steps": self.steps(healthy=healthy), "options": self.options()}

    # -- what a fault strikes ------------------------------------------------------------------------------------

    def command(self) -> list[int]:
        """Return the processes of the step's command, wherever they run."""
        step = f"{self.mark}-{self.cell.role.value}"
        if self.cell.role is Role.SINK:
            return self._await(self._writers, "the command of the sink")
        return self._await(lambda: marked(STEP_VARIABLE, step), f"the command of the {self.cell.role.value}")

    def _writers(self) -> list[int]:
        """Return the processes that write the destination's temporary."""
        prefix = f"{self.dest.parent}/.{self.dest.name}."
        here = {*self.controller.processes(), *self.site.processes()}
        writers = [pid for pid in here if any(path.startswith(prefix) for path in open_files(pid))]
        return [pid for pid in writers if comm_of(pid) == "cat"]  # dash opens it in the stage's own shell as well

    def client(self) -> list[int]:
        """Return the local process that reaches the step."""
        if self.site.client == "sh":
            return [parent_of(pid) for pid in self.command()]
        self.command()  # a connection of which the command does not run yet is not in use
        return self._await(self._clients, self.site.client)

    def _clients(self) -> list[int]:
        here = [pid for pid in self.controller.processes() if self.site.reached_by(pid)]
        return [pid for pid in here if not is_master(pid)]

    def _await(self, find: Callable[[], list[int]], what: str) -> list[int]:
        deadline = time.monotonic() + _FIND_SECONDS
        while not (found := find()):
            if time.monotonic() > deadline:
                raise NotThere(f"{what} does not run")
            time.sleep(0.02)  # /proc has nothing to wait on
        return found

    # -- afterwards ----------------------------------------------------------------------------------------------

    def temporaries(self) -> list[str]:
        """Return the temporaries beside the destination."""
        return sorted(path.name for path in self.dest.parent.glob(f".{self.dest.name}.*"))

    def close(self) -> None:
        """Free what the cell holds."""
        self.gate.close()
        if self.cell.fault.place is Place.FULL:
            for path in self.dest.parent.iterdir():
                path.unlink()


def is_master(pid: int) -> bool:
    """Return whether a process is an ssh master, which outlives its streams on purpose, for a minute."""
    command = command_of(pid)
    return "[mux]" in command or "ControlMaster=yes" in command
