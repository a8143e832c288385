# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a task and its competitors in turns, believes only complete copies, and says who took how long."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.site import Site
from testbed.ssh.masters import close_masters

OURS = "transfer"

_PAUSE = 0.9
"""Seconds that the others wait, about as long as it takes until a play gets to its transfer. A virtual machine gives
memory that was freed back to its host meanwhile, and whoever writes then has to get it again: a ``cp`` of 1 GiB took
0.3 s right after the last copy was removed, and 0.6 s a second later."""


@dataclass(frozen=True)
class Times:
    """What one run took, in seconds."""

    whole: float
    duration: float | None = None
    """What the transfer itself took, without Ansible's start."""


class NotComplete(Exception):
    """A run ended well and its copy is not what it should be."""


@dataclass(frozen=True)
class Entrant:
    """One of those who are compared."""

    name: str
    run: Callable[[], Times]
    prepare: Callable[[], None]
    """Done before each run; its time does not count."""
    check: Callable[[], None]
    """Done after each run; raises NotComplete."""


@dataclass(frozen=True)
class Wanted:
    """What a row has to show against one other."""

    ratio: float | None = None
    """Their time over that of ``duration_ms``, at least."""
    behind: float | None = None
    """Seconds that ``duration_ms`` may take longer, at most."""


@dataclass
class Row:
    """A line of the table."""

    name: str
    what: str
    entrants: Sequence[Entrant]
    wanted: Mapping[str, Wanted]
    between: Callable[[int], None] = lambda _turn: None
    """Done before each round."""
    notes: Callable[[], list[str]] = list
    """Further lines of the report, known after the last round."""
    times: dict[str, list[Times]] = field(default_factory=dict)


@dataclass
class Task:
    """Runs transfers through ansible-playbook."""

    site: Site
    results: dict[str, int] = field(default_factory=dict)
    """What the last one counted."""

    def argv(self, src: str, dest: str, options: Mapping[str, Any]) -> list[str]:
        """Return the command that runs one transfer."""
        directory = self.site.inventory.directory
        task = {"manifold.core.transfer": {"src": src, "dest": dest, **options}}
        plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]
        (directory / "transfer.yml").write_text(json.dumps(plays))
        return ["ansible-playbook", "-v", "-i", str(self.site.inventory.path), str(directory / "transfer.yml")]

    def __call__(self, src: str, dest: str, **options: Any) -> Times:
        inventory = self.site.inventory
        argv = self.argv(src, dest, options)
        close_masters(inventory.directory)
        os.sync()
        started = time.monotonic()
        output = called(argv, env=inventory.environment(), cwd=str(inventory.directory))
        whole = time.monotonic() - started
        self.read(output)
        return Times(whole, self.results["duration_ms"] / 1000)

    def read(self, output: str) -> None:
        """Take the counts from what ``ansible-playbook -v`` printed."""
        found = re.findall(r'"(duration_ms|files|bytes|deleted|streams)": (\d+)', output)
        self.results = {name: int(number) for name, number in found}


def called(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str | None = None) -> str:
    """Run a command and return its output; raise CalledProcessError with the end of what it said."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, argv, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


def command(*commands: Sequence[str]) -> Callable[[], Times]:
    """Return what runs commands one after another and measures them."""

    def run() -> Times:
        os.sync()
        time.sleep(_PAUSE)
        started = time.monotonic()
        for argv in commands:
            called(argv)
        return Times(time.monotonic() - started)

    return run


def measure(row: Row, pairs: int) -> None:
    """Let the entrants of a row take turns."""
    for turn in range(pairs + 1):
        row.between(turn)
        shift = turn % len(row.entrants)
        for entrant in [*row.entrants[shift:], *row.entrants[:shift]]:
            entrant.prepare()
            times = entrant.run()
            entrant.check()
            if turn:
                row.times.setdefault(entrant.name, []).append(times)


# -- the report --------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> str:
    """Return the median of some numbers with its quartiles."""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def report(row: Row) -> list[str]:
    """Return the lines that say what a row showed."""
    ours = row.times[OURS]
    durations = [required_duration(times) for times in ours]
    lines = [
        f"{row.name}: {row.what}",
        f"  {OURS + ', duration_ms':24} {spread(durations):>22} s",
        f"  {OURS + ', task':24} {spread([times.whole for times in ours]):>22} s",
    ]
    for entrant in row.entrants:
        if entrant.name == OURS:
            continue
        theirs = [times.whole for times in row.times[entrant.name]]
        by_duration = [other / mine for other, mine in zip(theirs, durations, strict=True)]
        by_task = [other / mine.whole for other, mine in zip(theirs, ours, strict=True)]
        lines.append(
            f"  {entrant.name:24} {spread(theirs):>22} s   / duration_ms {spread(by_duration)}   "
            f"/ task {spread(by_task)}{verdict(row.wanted.get(entrant.name), theirs, durations)}"
        )
    return lines + [f"  {note}" for note in row.notes()]


def required_duration(times: Times) -> float:
    """Return the duration of one of our own runs."""
    assert times.duration is not None
    return times.duration


def verdict(wanted: Wanted | None, theirs: Sequence[float], durations: Sequence[float]) -> str:
    """Return whether a row shows what it has to, by the medians of ``duration_ms``."""
    if wanted is None:
        return ""
    if wanted.ratio is not None:
        ratio = statistics.median(other / mine for other, mine in zip(theirs, durations, strict=True))
        held = ratio >= wanted.ratio
        return f"   wanted {wanted.ratio:g}x: {'yes' if held else 'NO'}"
    assert wanted.behind is not None
    behind = statistics.median(mine - other for other, mine in zip(theirs, durations, strict=True))
    return f"   {behind:+.2f} s, wanted +{wanted.behind:g} s: {'yes' if behind <= wanted.behind else 'NO'}"
