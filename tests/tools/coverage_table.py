# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of each kind of context the tests reach, workers of ansible-playbook included."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools import places

if TYPE_CHECKING:
    from tools.workshop import Workshop

_CONTEXTS = "plugins/plugin_utils/contexts"


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
    """Write coverage's settings for a run and return their path.

    Ansible's workers are forked, and end in ``os._exit``: without the patches they would count for nothing.
    """
    data = folder / "coverage"
    data.mkdir(exist_ok=True)
    path = data / "settings.ini"
    lines = [
        "[run]",
        f"source = {places.CHECKOUT / 'plugins'}",
        f"data_file = {data / 'data'}",
        "parallel = true",
        "patch = subprocess, _exit",
        "disable_warnings = no-data-collected, module-not-measured",
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
    """Return statements reached and statements there are, by path from the root of the collection."""
    python = workshop.environment("default")
    data = workshop.folder / "coverage"
    if not any(data.glob("data.*")):
        return {}
    base = [python.tool("python"), "-m", "coverage"]
    rc = f"--rcfile={data / 'settings.ini'}"
    env = python.variables()
    workshop.check("coverage combine", [*base, "combine", "--quiet", rc], cwd=places.CHECKOUT, env=env)
    table = data / "table.json"
    workshop.check("coverage json", [*base, "json", "--quiet", rc, "-o", str(table)], cwd=places.CHECKOUT, env=env)
    files = json.loads(table.read_text())["files"] if table.exists() else {}
    return {_relative(name): _counts(entry["summary"]) for name, entry in files.items()}


def _relative(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(places.CHECKOUT)) if path.is_absolute() else name


def _counts(summary: dict[str, int]) -> tuple[int, int]:
    return summary["covered_lines"], summary["num_statements"]
