# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Pythons this machine has."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PROBE = "import ensurepip, ssl, sys, venv; print(*sys.version_info[:3], sys.executable)"
_DEFAULT_LEG = ((3, 11), (3, 12), (3, 13))
_NEWEST_LEG = ((3, 13), (3, 12), (3, 14))


@dataclass(frozen=True)
class Interpreter:
    """A Python that can make virtual environments."""

    path: Path
    version: tuple[int, int, int]

    @property
    def text(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


class NoInterpreter(Exception):
    """No Python that would do was found; the text says which were wanted."""


def for_default_leg() -> Interpreter:
    """Return the oldest Python that the oldest supported ansible-core runs on."""
    return _first(_DEFAULT_LEG)


def for_newest_leg() -> Interpreter:
    """Return a Python that the newest ansible-core runs on."""
    return _first(_NEWEST_LEG)


def has_newest_leg() -> bool:
    """Return whether there is a Python for the newest ansible-core."""
    try:
        for_newest_leg()
    except NoInterpreter:
        return False
    return True


def _first(wanted: tuple[tuple[int, int], ...]) -> Interpreter:
    for minor in wanted:
        for candidate in _candidates(minor):
            found = probe(candidate)
            if found and found.version[:2] == minor:
                return found
    raise NoInterpreter("no Python " + ", ".join(f"{a}.{b}" for a, b in sorted(wanted)) + " with its venv module")


def _candidates(minor: tuple[int, int]) -> list[str]:
    name = f"python{minor[0]}.{minor[1]}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    by_pyenv = sorted(pyenv.glob(f"{minor[0]}.{minor[1]}.*/bin/python"), key=_numbers, reverse=True)
    on_path = [shutil.which(name, path=folder) for folder in os.get_exec_path()]
    return [path for path in on_path if path] + [str(path) for path in by_pyenv] + ["python3"]


def _numbers(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.parts[-3])]


@cache
def probe(candidate: str) -> Interpreter | None:
    """Return what ``candidate`` is, or None where it does not start or cannot make environments."""
    try:
        out = subprocess.run([candidate, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if out.returncode:
        return None
    major, minor, micro, path = out.stdout.strip().split(" ", 3)
    return Interpreter(Path(path), (int(major), int(minor), int(micro)))
