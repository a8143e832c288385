# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers of a tree that meet a fault in each of their phases.

The script of one step waits at a gate, when it begins or in the middle of what it reads or prints; there the fault
strikes. A cell holds if the task is red, or the destination is what the source is; if every file at the destination
is the old or the new one, whole; if nothing is left running; and if the next transfer repairs everything, leaves
nothing of the first behind, and the one after it has nothing to do.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from faults.controllers import Engine, Hung, Outcome
from faults.gate import Gate
from faults.model import KUBECTL, SIZE, SSH, Leg, Place, Transport
from faults.mounts import FULL_BYTES
from faults.scene import STEP_VARIABLE, TARGET, NotThere, is_master
from faults.sites import PodSite, RemoteSite, Site, Sites, SshSite
from testbed.inventory import collections_path
from testbed.processes import await_exit, command_of, marked, send_signal
from testbed.run import Run
from testbed.ssh.line import Cut
from testbed.ssh.masters import close_masters

_GATE_SECONDS = 60.0
_END_SECONDS = 90.0
_EXIT_SECONDS = 12.0
_FILES = 80
_OLD_TIME, _NEW_TIME = 1_600_000_000, 1_700_000_000


class Side(Enum):
    """Which end of the transfer is the context that the fault befalls; the other one is this machine."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True)
class Phase:
    """What a transfer is doing when the fault strikes: a step, and where in it."""

    name: str
    step: str
    side: Side
    wraps: str
    """The script around that of the step: ``@SCRIPT@`` is the step's, ``@WAIT@`` waits at the gate."""
    options: tuple[tuple[str, bool], ...] = ()
    """What it takes to have that step."""


_START = "@WAIT@ || exit 99\n@SCRIPT@"


def _then_wait(count: int | None) -> str:
    """Return a filter that waits after about so many bytes, or after all."""
    # not head: that of busybox takes more from a pipe than it passes on
    first = "cat" if count is None else f"dd bs={min(count, 4096)} count={max(1, count // 4096)} 2>/dev/null"
    return f"{{ {first}; @WAIT@ || exit 99; cat; }}"


def _reading(count: int | None) -> str:
    return f"{_then_wait(count)} | (\n@SCRIPT@\n)"


def _printing(count: int) -> str:
    return f"(\n@SCRIPT@\n) | {_then_wait(count)}"


_CHECKSUM = (("checksum", True),)
PHASES = (
    Phase("listing the source", "list source", Side.SOURCE, _printing(100)),
    Phase("listing the destination", "list destination", Side.DESTINATION, _printing(60)),
    Phase("packing, at its start", "pack", Side.SOURCE, _START),
    Phase("packing", "pack", Side.SOURCE, _printing(SIZE // 2)),
    Phase("hashing the source", "checksums of source", Side.SOURCE, _printing(100), _CHECKSUM),
    Phase("hashing the destination", "checksums of destination", Side.DESTINATION, _reading(100), _CHECKSUM),
    Phase("unpacking, at its start", "unpack", Side.DESTINATION, _START),
    Phase("unpacking", "unpack", Side.DESTINATION, _reading(SIZE // 2)),
    Phase("verifying", "unpack", Side.DESTINATION, _printing(100)),
    Phase("putting in place, at its start", "put in place", Side.DESTINATION, _START),
    Phase("putting in place", "put in place", Side.DESTINATION, _reading(1500)),
    Phase("deleting", "put in place", Side.DESTINATION, _reading(None)),
    Phase("attributes of directories", "attributes of directories", Side.DESTINATION, _reading(2000)),
)


@dataclass(frozen=True, eq=False)
class Fault:
    """What befalls a transfer at the gate."""

    name: str
    strike: Callable[[TransferScene], None]
    options: tuple[tuple[str, float], ...] = ()
    ends: bool = False
    """Whether it ends the controller."""
    heals_late: bool = False
    """Whether processes may be left until the next run, because nothing leads there any more."""
    transports: tuple[Transport, ...] = tuple(Transport)
    phases: tuple[str, ...] = ()
    """The steps that it can befall; all if there are none."""
    place: Place = Place.USUAL


@dataclass(frozen=True)
class TransferCell:
    """One transfer and what befalls it."""

    fault: Fault
    transport: Transport
    phase: Phase
    there: bool
    """Whether an older tree is at the destination, so that there is something to replace and to delete."""

    @property
    def name(self) -> str:
        """What the cell is called in messages."""
        there = "over an older tree" if self.there else "to nothing"
        return f"{self.fault.name} | {self.transport.value} | {self.phase.name} | {there}"


class TransferScene:
    """A transfer while it runs."""

    def __init__(self, cell: TransferCell, site: Site, mark: str) -> None:
        self.cell = cell
        self.site = site
        self.mark = mark
        self.directory = site.directory / mark
        self.directory.mkdir()
        self.directory.chmod(0o777)
        self.gate = Gate(self.directory)
        self.source = self.directory / "source"
        place = self.directory if cell.fault.place is Place.USUAL else site.folder(cell.fault.place)
        self.dest = place / "dest"
        self.filler = place / "filler"
        self.controller: Engine
        _furnish(self.source, SIZE if cell.fault.place is Place.USUAL else FULL_BYTES // 4, new=True)
        if cell.there:
            _furnish(self.dest, SIZE, new=False)
        self._hand_over()
        self.before = contents(self.dest)

    def _hand_over(self) -> None:
        """Give both trees to the user of the context, with times that tell old from new."""
        user = self.site.host.user if isinstance(self.site, SshSite) else None
        for root, when in ((self.source, _NEW_TIME), (self.dest, _OLD_TIME)):
            for path in [root, *root.rglob("*")] if root.exists() else []:
                if user is not None and not path.is_symlink():
                    shutil.chown(path, user)
                os.utime(path, (when, when), follow_symlinks=False)

    def request(self, *, healthy: bool) -> dict[str, Any]:
        """Return the transfer as the driver takes it; ``healthy``: without the gate."""
        target = self.site.description([])
        src, dest = ("local", str(self.source) + "/"), ("local", str(self.dest))
        if self.cell.phase.side is Side.SOURCE:
            src = (TARGET, src[1])
        else:
            dest = (TARGET, dest[1])
        options: dict[str, float | bool] = dict(self.cell.phase.options)
        options |= {} if healthy else dict(self.cell.fault.options)
        request: dict[str, Any] = {
            "contexts": {"local": {"kind": "local"}, TARGET: target},
            "transfer": {"src": src, "dest": dest, "delete": True, **options},
        }
        if not healthy:
            wait = f"{STEP_VARIABLE}={self.mark} sh -c 'echo here >{self.gate.reached}; read -r _ <{self.gate.gate}'"
            script = self.cell.phase.wraps.replace("@WAIT@", wait)
            request["gate"] = {"step": self.cell.phase.step, "script": script}
        return request

    def waiting(self) -> list[int]:
        """Return the processes that wait at the gate, wherever they run."""
        found = marked(STEP_VARIABLE, self.mark)
        if not found:
            raise NotThere("nobody waits at the gate")
        return found

    def clients(self) -> list[int]:
        """Return the processes on this machine that reach the context."""
        if self.site.client == "sh":
            return self.waiting()
        here = self.controller.processes()
        found = [pid for pid in here if self.site.reached_by(pid) and not is_master(pid)]
        if not found:
            raise NotThere(self.site.client)
        return found

    def close(self) -> None:
        """Free what the cell holds."""
        self.gate.close()
        self.filler.unlink(missing_ok=True)
        shutil.rmtree(self.dest, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def _furnish(root: Path, size: int, *, new: bool) -> None:
    """Make the tree of the source, or an older one: files to replace, to delete and to leave alone."""
    data = os.urandom(size // _FILES)
    for number in range(_FILES):
        folder = root / f"folder-{number:02d}" / "deeper"
        folder.mkdir(parents=True, exist_ok=True)
        if new:
            (folder / f"file-{number:02d}").write_bytes(b"new" + data)
        elif number % 2:
            (folder / f"file-{number:02d}").write_bytes(b"old" + data[: 1000 + number])
    (root / "link").symlink_to("new" if new else "old")
    if not new:
        (root / "gone" / "in").mkdir(parents=True)
        (root / "gone" / "in" / "file").write_text("older")


def contents(root: Path) -> dict[str, bytes | str]:
    """Return what stands at each name."""
    found: dict[str, bytes | str] = {}
    for path in sorted(root.rglob("*")) if root.exists() else ():
        name = str(path.relative_to(root))
        found[name] = f"-> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_bytes()
    return found


# -- faults ------------------------------------------------------------------------------------------------------------


def _nothing(scene: TransferScene) -> None:
    scene.gate.open()


def _fill_disk(scene: TransferScene) -> None:
    """Leave no room where there was enough."""
    with contextlib.suppress(OSError), scene.filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(1 << 16))
    scene.gate.open()


def _kill_controller(scene: TransferScene) -> None:
    """Kill it; what was given all of its input may go on to its end."""
    scene.controller.signal(signal.SIGKILL)
    scene.gate.open()


def _kill_step(scene: TransferScene) -> None:
    send_signal(scene.waiting(), signal.SIGKILL)


def _kill_client(scene: TransferScene) -> None:
    send_signal(scene.clients(), signal.SIGKILL)


def _signal(number: signal.Signals) -> Callable[[TransferScene], None]:
    return lambda scene: scene.controller.signal(number)


def _cut(how: Cut) -> Callable[[TransferScene], None]:
    def strike(scene: TransferScene) -> None:
        assert isinstance(scene.site, RemoteSite)
        leg = Leg.OUTPUT if scene.cell.phase.side is Side.SOURCE else Leg.INPUT
        scene.site.line(leg).cut_after(0, how)
        scene.gate.open()

    return strike


def _kill_master(scene: TransferScene) -> None:
    masters = [pid for pid in scene.controller.processes() if is_master(pid)]
    if not masters:
        raise NotThere("a master")
    send_signal(masters, signal.SIGKILL)
    scene.gate.open()


def _keep_shut(scene: TransferScene) -> None:
    """Let it wait at the gate for good."""


def _restart_sshd(scene: TransferScene) -> None:
    assert isinstance(scene.site, SshSite)
    scene.site.host.server.restart()


def _delete_pod(scene: TransferScene) -> None:
    assert isinstance(scene.site, PodSite)
    scene.site.remove()


_REMOTE = (*SSH, *KUBECTL)
_STREAM = ("pack", "unpack")
FAULTS = (
    Fault("none", _nothing),
    Fault("SIGKILL of the step", _kill_step),
    Fault("SIGKILL of ssh, kubectl or the local shell", _kill_client),
    Fault("SIGKILL of the ssh master", _kill_master, transports=SSH),
    Fault("connection cut in order", _cut(Cut.FIN), transports=_REMOTE),
    Fault("connection reset", _cut(Cut.RST), transports=_REMOTE),
    Fault("stall", _keep_shut, (("stall_timeout", 2.0),), phases=_STREAM),
    Fault("timeout", _keep_shut, (("timeout", 6.0),)),
    Fault("the disk fills up", _fill_disk, phases=("unpack",), place=Place.FULL),
    Fault("SIGKILL of the controller", _kill_controller, ends=True),
    Fault("Ctrl-C (SIGINT)", _signal(signal.SIGINT), ends=True),
    Fault("SIGTERM", _signal(signal.SIGTERM), ends=True),
    Fault("sshd restarted", _restart_sshd, transports=SSH),
    Fault("pod deleted", _delete_pod, transports=KUBECTL),
)


def cells() -> Iterator[TransferCell]:
    """Return every cell."""
    for fault, transport, phase, there in itertools.product(FAULTS, Transport, PHASES, (True, False)):
        if transport not in fault.transports or (fault.phases and phase.step not in fault.phases):
            continue
        if fault.place is Place.FULL and there:
            continue
        if not there and phase.name == "deleting":
            continue
        yield TransferCell(fault, transport, phase, there)


def subset() -> list[TransferCell]:
    """Return cells that cover every fault, every phase and every transport: what CI runs."""
    chosen = []
    for number, fault in enumerate(FAULTS):
        transport = fault.transports[number % len(fault.transports)]
        these = [cell for cell in cells() if cell.fault is fault and cell.transport is transport]
        chosen.append(these[(5 * number) % len(these)])
    reached = {cell.phase for cell in chosen}
    lacking = [phase for phase in PHASES if phase not in reached]
    kills = [cell for cell in cells() if cell.fault.strike is _kill_client and cell.there]
    for number, phase in enumerate(lacking):
        chosen.append(next(each for each in kills[number:] if each.phase is phase))
    return chosen


# -- one cell ----------------------------------------------------------------------------------------------------------


class TransferRunner:
    """Runs cells, one after another for each site."""

    def __init__(self, run: Run, sites: Sites) -> None:
        self._run, self._sites = run, sites
        self._numbers = itertools.count(1)
        self._collections = collections_path(run)

    def site(self, cell: TransferCell) -> Site:
        """Return the context that the fault befalls."""
        return self._sites.of(cell.transport)

    def problems(self, cell: TransferCell) -> list[str]:
        """Run a cell and return what does not hold."""
        site = self.site(cell)
        site.ready()
        if isinstance(site, SshSite) and cell.fault.strike is _kill_master:
            close_masters(site.control)  # that of the cell before, which would serve this one too
        scene = TransferScene(cell, site, f"transfer{next(self._numbers)}-{self._run.id}")
        try:
            return _Trial(scene, self._start).run()
        finally:
            site.heal()
            scene.close()

    def _start(self, scene: TransferScene, healthy: bool) -> Engine:
        return Engine(scene.request(healthy=healthy), scene.mark, self._collections, scene.directory / "messages")


@dataclass(frozen=True)
class TransferFinding:
    """What came of a cell: no problems means that it holds."""

    cell: TransferCell
    problems: tuple[str, ...]


def run_all(
    runner: TransferRunner, chosen: Sequence[TransferCell], tell: Callable[[TransferFinding, float], None]
) -> list[TransferFinding]:
    """Run cells, those of different transports side by side, and return what came of them."""

    def serve(transport: Transport) -> list[TransferFinding]:
        found = []
        for cell in chosen:
            if cell.transport is transport:
                started = time.monotonic()
                try:
                    problems = tuple(runner.problems(cell))
                except Exception as exc:
                    problems = (f"the harness failed: {exc!r}",)
                found.append(TransferFinding(cell, problems))
                tell(found[-1], time.monotonic() - started)
        return found

    for cell in chosen:
        runner.site(cell)  # one after another: sites share what they are made of
    with ThreadPoolExecutor(len(Transport)) as pool:
        return [finding for part in pool.map(serve, Transport) for finding in part]


class _Trial:
    def __init__(self, scene: TransferScene, start: Callable[[TransferScene, bool], Engine]) -> None:
        self._scene, self._start = scene, start
        self._problems: list[str] = []

    def run(self) -> list[str]:
        scene, fault = self._scene, self._scene.cell.fault
        scene.controller = self._start(scene, False)
        try:
            if scene.gate.wait(scene.controller.pid, _GATE_SECONDS):
                fault.strike(scene)
            else:
                self._problems.append("the step did not come to its gate")
            outcome = scene.controller.wait(_END_SECONDS)
            scene.site.heal()
            self._judge_processes()
            self._judge(outcome)
        except (NotThere, Hung) as exc:
            self._problems.append(str(exc))
        finally:
            scene.controller.close()
        scene.filler.unlink(missing_ok=True)
        self._judge_next_runs()
        return self._problems

    def _judge(self, outcome: Outcome) -> None:
        fault, now, wanted = self._scene.cell.fault, self._here(), contents(self._scene.source)
        green = outcome.result is not None and not outcome.result.get("failed")
        if fault.ends:
            if outcome.status == 0:
                self._problems.append("the controller was not ended")
        elif outcome.result is None:
            self._problems.append(f"no result: {outcome.messages[-600:]}")
        elif fault.strike is _nothing and not green:
            self._problems.append(f"red without a fault: {outcome.result.get('msg')}")
        if green and now != wanted:
            self._problems.append(f"UNDETECTED: green, and {_first_difference(now, wanted)}")
        known = (wanted, self._scene.before)
        partial = [name for name, what in now.items() if not any(each.get(name) == what for each in known)]
        if partial:
            self._problems.append(f"neither old nor new: {partial[:3]}")
        if "Traceback" in outcome.messages and not fault.ends:
            self._problems.append(f"a traceback: {outcome.messages[-600:]}")

    def _here(self) -> dict[str, bytes | str]:
        return {name: what for name, what in contents(self._scene.dest).items() if not name.startswith(".manifold-")}

    def _judge_processes(self) -> None:
        deadline = time.monotonic() + _EXIT_SECONDS
        while (left := self._left()) and time.monotonic() < deadline:
            await_exit(left, max(0.0, deadline - time.monotonic()))
        if left:
            self._problems.append(f"left running: {', '.join(sorted(command_of(pid)[:60] for pid in left))}")
            send_signal(left, signal.SIGKILL)

    def _left(self) -> list[int]:
        here = [pid for pid in self._scene.controller.processes() if not is_master(pid)]
        return [*here, *self._scene.site.processes()]

    def _judge_next_runs(self) -> None:
        """Transfer again, twice, without a fault."""
        scene = self._scene
        scene.site.ready()
        for number in (1, 2):
            scene.controller = self._start(scene, True)
            try:
                outcome = scene.controller.wait(_END_SECONDS)
            except Hung as exc:
                self._problems.append(f"next run {number}: {exc}")
                return
            finally:
                scene.controller.close()
            result = outcome.result or {"failed": True, "msg": outcome.messages[-600:]}
            now = contents(scene.dest)
            if result.get("failed"):
                self._problems.append(f"next run {number} is red: {result.get('msg')}")
            elif now != contents(scene.source):
                self._problems.append(f"after next run {number}: {_first_difference(now, contents(scene.source))}")
            elif number == 2 and result.get("changed"):
                self._problems.append("the run after that still changes something")


def _first_difference(one: dict[str, bytes | str], other: dict[str, bytes | str]) -> str:
    names = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    return f"{len(names)} entries are not as they should be, the first is {names[0]}"
