# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of each kind of context its unit tests reach.

The unit tests of the contexts run once more for it, alone and in one process: to measure the whole unit and
integration suites would make every process of theirs half as slow again, and the thresholds are held without them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import places
from tools.request import Leg

if TYPE_CHECKING:
    from tools.workshop import Workshop

_CONTEXTS = "plugins/plugin_utils/contexts"
_TESTS = "tests/unit/plugins/plugin_utils/contexts"


@dataclass(frozen=True)
class Threshold:
    """The share of a file's statements that the tests have to reach."""

    kind: str
    file: str
    percent: float


THRESHOLDS = (
    Threshold("interface", f"{_CONTEXTS}/_base.py", 100),
    Threshold("local", f"{_CONTEXTS}/_local.py", 95),
    Threshold("ssh", f"{_CONTEXTS}/_ssh.py", 85),
    Threshold("kubernetes", f"{_CONTEXTS}/_kubernetes.py", 80),
)


def settings(folder: Path) -> Path:
    """Write coverage's settings for a run and return their path."""
    data = folder / "coverage"
    data.mkdir(exist_ok=True)
    path = data / "settings.ini"
    lines = [
        "[run]",
        f"source = {places.CHECKOUT / _CONTEXTS}",
        f"data_file = {data / 'data'}",
        "[report]",
        "exclude_also =",
        "    if TYPE_CHECKING:",
        r"    @(abc\.)?abstractmethod",
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(workshop: Workshop) -> bool:
    """Print the table and return whether every threshold is held."""
    rows = measured(workshop)
    print(f"  {'context kind':<14}{'needed':>8}{'measured':>10}   statements reached")
    held = True
    for threshold in THRESHOLDS:
        covered, statements = rows.get(threshold.file, (0, 0))
        percent = 100.0 * covered / statements if statements else 0.0
        held = held and percent >= threshold.percent
        shown = f"{covered}/{statements}" if statements else "no such file, or nothing of it ran"
        mark = "" if percent >= threshold.percent else "   TOO LOW"
        print(f"  {threshold.kind:<14}{threshold.percent:>7.0f}%{percent:>9.1f}%   {shown}{mark}", flush=True)
    return held


def measured(workshop: Workshop) -> dict[str, tuple[int, int]]:
    """Run the unit tests of the contexts; return statements reached and there, by path from the collection's root."""
    python = workshop.environment("default")
    rc = f"--rcfile={settings(workshop.folder)}"
    table = workshop.folder / "coverage" / "table.json"
    env = workshop.variables(python, workshop.collections(Leg.DEFAULT))
    coverage = [python.tool("python"), "-m", "coverage"]
    options = ["-q", "--ansible-unit-inject-only", "-o", f"cache_dir={workshop.cache / 'pytest-coverage'}"]
    tests = [*coverage, "run", rc, "-m", "pytest", *options, _TESTS]
    for name, argv in {"pytest": tests, "json": [*coverage, "json", "--quiet", rc, "-o", str(table)]}.items():
        if workshop.check(f"coverage {name}", argv, cwd=places.CHECKOUT, env=env) != 0:
            return {}
    files = json.loads(table.read_text())["files"]
    return {_relative(name): _counts(entry["summary"]) for name, entry in files.items()}


def _relative(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(places.CHECKOUT)) if path.is_absolute() else name


def _counts(summary: dict[str, int]) -> tuple[int, int]:
    return summary["covered_lines"], summary["num_statements"]
