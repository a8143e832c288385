# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams of random size through kubectl, cut at a random byte of a random leg; none may pass for whole.

One engine process runs them all, several at a time; each of its places is a pod of its own, so that a fault is
claimed by the stream that it is meant for. WebSocket streams go to real containers; SPDY streams to pods of plain
processes, where the test bed speaks SPDY itself: containerd's own endpoint cannot be made to report success.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.controllers import CELL_VARIABLE
from faults.model import Leg, Role, Transport
from faults.scene import TARGET
from faults.sites import PodSite, Sites
from testbed.inventory import collections_path
from testbed.kube.faults import Action, Direction
from testbed.run import Run

LARGEST = 4 << 20
_PREAMBLE = 2500
"""About what goes to a stage before its data: its script."""
_MARK = 74
_REPORT = 150
"""About what a sink prints, with its mark."""
_PLACES = 3
"""Streams at a time of each protocol."""
_STREAM_SECONDS = 120.0

_SUCCESS = {
    Leg.OUTPUT: (Action.END_WITH_SUCCESS,),
    Leg.INPUT: (Action.END_WITH_SUCCESS, Action.EARLY_EOF),
}
_ABRUPT = (Action.RESET, Action.END_WITHOUT_STATUS)
_ROLES = {
    Leg.OUTPUT: (Role.SOURCE, Role.MIDDLE, Role.SINK),
    Leg.INPUT: (Role.MIDDLE, Role.LAST, Role.SINK),
}
_DIRECTIONS = {Leg.OUTPUT: Direction.STDOUT, Leg.INPUT: Direction.STDIN}


@dataclass(frozen=True)
class Cut:
    """One stream and where it is cut."""

    number: int
    transport: Transport
    role: Role
    leg: Leg
    action: Action
    size: int
    after: int
    """Bytes of the leg that pass, those of the stage's script and of its mark included."""

    @property
    def succeeds(self) -> bool:
        """Whether the transport reports exit status 0 (or the command's own, which is 0 on a short input)."""
        return self.action not in _ABRUPT


@dataclass(frozen=True)
class Verdict:
    """What came of a stream."""

    cut: Cut
    green: bool
    whole: bool
    untouched: bool
    """Nothing is at the destination."""
    struck: bool
    """The fault came before the stream ended."""
    told: str

    @property
    def undetected(self) -> bool:
        """Whether the task said that all is well and it was not."""
        return self.green and not self.whole

    @property
    def partial(self) -> bool:
        """Whether a part of the data got the final name."""
        return not self.whole and not self.untouched


@dataclass(frozen=True)
class Cuts:
    """What came of all."""

    seed: int
    verdicts: tuple[Verdict, ...]
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nothing passed for whole that was not."""
        return not any(each.undetected or each.partial or each.told.startswith("crashed") for each in self.verdicts)


def plan(count: int, seed: int) -> list[Cut]:
    """Return the streams of a run; the same seed gives the same ones."""
    chance = random.Random(seed)
    return [_cut(number, chance) for number in range(count)]


def _cut(number: int, chance: random.Random) -> Cut:
    leg = chance.choice(list(Leg))
    role = chance.choice(_ROLES[leg])
    # alternating in pairs, so that each protocol has as many of both kinds
    action = chance.choice(_SUCCESS[leg] if number // 2 % 2 else _ABRUPT)
    size = round(math.exp(chance.uniform(0, math.log(LARGEST + 1)))) - 1
    report = role is Role.SINK and leg is Leg.OUTPUT
    longest = _REPORT if report else size + (_PREAMBLE if leg is Leg.INPUT else _MARK)
    transport = (Transport.WEBSOCKET, Transport.SPDY)[number % 2]
    return Cut(number, transport, role, leg, action, size, chance.randrange(longest + 1))


class _Engine:
    """The one process that runs all streams."""

    def __init__(self, run: Run, messages: Path) -> None:
        tests = Path(__file__).resolve().parents[1]
        path = os.pathsep.join([collections_path(run), str(tests), os.environ.get("PYTHONPATH", "")])
        self._lock = threading.Lock()
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        with messages.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faults.driver", "--many"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": path, CELL_VARIABLE: f"cuts-{run.id}"},
            )
        self._reader = threading.Thread(target=self._read, name="cuts", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._answers[answer["id"]].put(answer["result"])

    def run(self, number: int, request: dict[str, Any]) -> dict[str, Any]:
        """Run a pipeline and return its result."""
        assert self._process.stdin is not None
        self._answers[number] = queue.SimpleQueue()
        with self._lock:
            self._process.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
            self._process.stdin.flush()
        try:
            return self._answers[number].get(timeout=_STREAM_SECONDS)
        except queue.Empty:
            return {"crashed": f"no result within {_STREAM_SECONDS:g} s", "failed": True}

    def close(self) -> None:
        """End the process when its work is done; kill it if that takes too long."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)


def steps(cut: Cut, data: Path, dest: Path) -> list[dict[str, Any]]:
    """Return the pipeline: what arrives ends up in ``dest``, written by a sink or by the command itself."""
    there, here = {"context": TARGET}, {"context": "local"}
    source = {"name": "source", "argv": ["head", "-c", str(cut.size), str(data)]}
    save = {"name": "save", **here, "dest": str(dest)}
    if cut.role is Role.SOURCE:
        return [source | there, save]
    if cut.role is Role.MIDDLE:
        return [source | here, {"name": "middle", **there, "argv": ["cat"]}, save]
    if cut.role is Role.LAST:
        return [source | here, {"name": "last", **there, "command": f"cat >{dest}"}]
    return [source | here, {"name": "sink", **there, "dest": str(dest)}]


def _one(engine: _Engine, cut: Cut, site: PodSite) -> Verdict:
    dest = site.directory / f"cut-{cut.number}"
    fault = site.arm(_DIRECTIONS[cut.leg], cut.action, cut.after)
    contexts = {"local": {"kind": "local"}, TARGET: site.description([])}
    result = engine.run(cut.number, {"contexts": contexts, "steps": steps(cut, site.data, dest)})
    content = dest.read_bytes() if dest.exists() else None
    with contextlib.suppress(FileNotFoundError):
        dest.unlink()
    crashed = f"crashed: {result['crashed']}" if "crashed" in result else ""
    whole = content == site.data.read_bytes()[: cut.size]
    # what a last command wrote for itself is its own affair, and no destination of ours
    untouched = content is None or cut.role is Role.LAST
    green = not crashed and not result["failed"]
    return Verdict(cut, green, whole, untouched, fault.fired.is_set(), crashed or str(result.get("msg")))


def run(run: Run, sites: Sites, count: int, seed: int) -> Cuts:
    """Cut so many streams and say what came of them."""
    started = time.monotonic()
    if not count:
        return Cuts(seed, ())
    verdicts: list[Verdict] = []
    engine = _Engine(run, run.directory / "cuts.log")
    try:
        threads = [
            threading.Thread(target=_serve, args=(engine, streams, site, verdicts))
            for streams, site in _places(sites, plan(count, seed))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        engine.close()
    return Cuts(seed, tuple(sorted(verdicts, key=lambda each: each.cut.number)), time.monotonic() - started)


def _places(sites: Sites, cuts: list[Cut]) -> Iterator[tuple[list[Cut], PodSite]]:
    for transport in (Transport.WEBSOCKET, Transport.SPDY):
        ours = [cut for cut in cuts if cut.transport is transport]
        for place in range(_PLACES):
            site = sites.pod_site(transport, plain=transport is Transport.SPDY, number=place)
            yield ours[place::_PLACES], site


def _serve(engine: _Engine, cuts: list[Cut], site: PodSite, verdicts: list[Verdict]) -> None:
    for cut in cuts:
        verdict = _one(engine, cut, site)
        verdicts.append(verdict)
        if verdict.undetected or verdict.partial or verdict.told.startswith("crashed"):
            print(f"FAIL  {verdict}", flush=True)
