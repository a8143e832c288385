# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run cost: wall time, and the CPU time and memory of everything it started."""

from __future__ import annotations

import contextlib
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CPUACCT = Path("/sys/fs/cgroup/cpuacct")
_UNIFIED = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Cost:
    """Wall and CPU time of one run, in seconds."""

    wall: float
    cpu: float
    output: str = ""
    """What it printed."""


class CpuAccount:
    """A control group that counts the CPU time of all that runs in it, daemons such as ssh masters included."""

    def __init__(self) -> None:
        base = _CPUACCT if _CPUACCT.is_dir() else _UNIFIED
        self._folder = base / f"manifold-benchmark-{os.getpid()}"
        self._folder.mkdir()

    def seconds(self) -> float:
        """Return the CPU seconds used so far."""
        usage = self._folder / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        fields = dict(line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6

    def close(self) -> None:
        """End what is left in the group and remove it."""
        for _attempt in range(50):
            for pid in (self._folder / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            try:
                self._folder.rmdir()
            except OSError:
                time.sleep(0.1)  # the kernel removes a group some time after its last process
            else:
                return

    def run(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Cost:
        """Run a program to its end and return what it cost; raise CalledProcessError if it failed."""
        # a shell joins the group: code of our own between fork and exec does not go with the threads of gRPC
        join = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._folder / "cgroup.procs")]
        before, start = self.seconds(), time.monotonic()
        done = subprocess.run([*join, *argv], env=env, cwd=cwd, capture_output=True, check=False)
        wall = time.monotonic() - start
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, argv, done.stdout[-4000:], done.stderr[-4000:])
        return Cost(wall, self.seconds() - before, done.stdout.decode(errors="replace"))


def interval(ratios: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """Return the 95% bootstrap interval of the median."""
    random.seed(1)
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _draw in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def compare(ours: Callable[[], Cost], theirs: Callable[[], Cost], pairs: int) -> list[tuple[Cost, Cost]]:
    """Run both in turn, ``pairs`` times, swapping who goes first; one round before that is not counted."""
    ours()
    theirs()
    costs = []
    for number in range(pairs):
        if number % 2:
            other = theirs()
            costs.append((ours(), other))
        else:
            one = ours()
            costs.append((one, theirs()))
    return costs


def pss(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def family(pid: int) -> dict[int, str]:
    """Return the process and its descendants, each with the name of its program."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                name, _paren, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                children.setdefault(int(rest.split()[1]), []).append(int(entry.name))
                names[int(entry.name)] = name
    found: dict[int, str] = {}
    queue = [pid]
    while queue:
        current = queue.pop()
        if current in names:
            found[current] = names[current]
            queue += children.get(current, [])
    return found
