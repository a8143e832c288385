# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened, and how it is told."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from enum import Enum

from tools.request import Leg, Suite


class Verdict(Enum):
    """How a suite ended."""

    PASSED = "passed"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """What a suite came to; ``note`` is a remark for the summary."""

    passed: bool
    note: str = ""


@dataclass(frozen=True)
class Result:
    """One suite on one leg."""

    suite: Suite
    leg: Leg
    verdict: Verdict
    seconds: float
    note: str = ""

    def line(self) -> str:
        """Return the line of the closing summary."""
        name = self.suite.value if self.leg is Leg.DEFAULT else f"{self.suite.value} ({self.leg.value} core)"
        told = f"  {name:<28}{self.verdict.value:<9}{self.seconds:6.0f} s"
        return f"{told}  {self.note}" if self.note else told


@dataclass
class Report:
    """The results so far, and what was left out."""

    started: float = field(default_factory=time.monotonic)
    results: list[Result] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Record a result and say it where the suite's own output did not end just now."""
        self.results.append(result)
        say(result.line().strip())

    def skip(self, what: str, why: str) -> None:
        """Record a tier or leg that does not run."""
        self.skipped.append(f"skipped {what}: {why}")

    def close(self) -> int:
        """Print the summary, what was skipped last, and return the exit status."""
        counts = {verdict: sum(r.verdict is verdict for r in self.results) for verdict in Verdict}
        print("\nsummary", flush=True)
        for result in self.results:
            print(result.line())
        print(f"  {'in all':<37}{time.monotonic() - self.started:6.0f} s\n")
        told = ", ".join(f"{counts[verdict]} {verdict.value.lower()}" for verdict in Verdict)
        print(f"suites: {told}")
        for line in self.skipped:
            print(line)
        sys.stdout.flush()
        return 1 if counts[Verdict.FAILED] or not counts[Verdict.PASSED] else 0


def say(text: str) -> None:
    """Print a line of our own, told apart from what the tools print."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{bold}==> {text}{plain}", flush=True)
