# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual environments in the cache, one for each set of requirements and Python.

An environment stays where it was built (its scripts name their own path), so it is built under a lock and
counts only once its marker is there: a build that was cut short is thrown away by the next run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import places, processes
from tools.interpreters import Interpreter

_MARKER = ".complete"
_OF_OTHERS = ("ANSIBLE_", "COVERAGE_", "MOLECULE_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "MANIFOLD_")


@dataclass(frozen=True)
class Environment:
    """A virtual environment that is ready to be used."""

    name: str
    path: Path
    interpreter: Interpreter

    def tool(self, name: str) -> str:
        """Return the path of a program of this environment."""
        return str(self.path / "bin" / name)

    def variables(self, **more: str) -> dict[str, str]:
        """Return the process environment in which this one is active and no other tool's settings count."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_OF_OTHERS)}
        path = os.pathsep.join([str(self.path / "bin"), kept.get("PATH", os.defpath)])
        return {**kept, "PATH": path, "VIRTUAL_ENV": str(self.path), "LC_ALL": "C.UTF-8", **more}


def requirement_lines(path: Path) -> list[str]:
    """Return the requirements of a file and of those it includes, without comments, sorted."""
    lines: set[str] = set()
    for raw in path.read_text().splitlines():
        line = raw.split("#", 1)[0].strip()
        if line.startswith("-r "):
            lines.update(requirement_lines(path.parent / line[3:].strip()))
        elif line:
            lines.add(line)
    return sorted(lines)


def key(path: Path, interpreter: Interpreter) -> str:
    """Return the name under which the environment of a requirement file is kept."""
    seed = "\n".join([*requirement_lines(path), interpreter.text, str(interpreter.path)])
    return f"{path.stem}-{interpreter.text}-{hashlib.sha256(seed.encode()).hexdigest()[:12]}"


def ensure(name: str, interpreter: Interpreter, say: Callable[[str], None], *, fresh: bool = False) -> Environment:
    """Return the environment of ``tests/requirements/NAME.txt``, built when it is not there yet.

    ``fresh`` builds it anew, so that ranges are resolved to today's releases. Raises processes.Failed
    with pip's output where that fails.
    """
    wanted = places.REQUIREMENTS / f"{name}.txt"
    root = places.cache_root() / "environments"
    folder = root / key(wanted, interpreter)
    with places.locked(root / f"{folder.name}.lock"):
        if fresh or not _usable(folder):
            say(f"environment {name}: building with Python {interpreter.text}")
            started = time.monotonic()
            _build(folder, wanted, interpreter)
            say(f"environment {name}: ready after {time.monotonic() - started:.0f} s")
        (folder / _MARKER).touch()
    places.remove_unused(root, _MARKER)
    return Environment(name, folder, interpreter)


def _usable(folder: Path) -> bool:
    if not (folder / _MARKER).exists():
        return False
    try:
        return subprocess.run([folder / "bin" / "python", "-c", ""], check=False).returncode == 0
    except OSError:
        return False


def _build(folder: Path, wanted: Path, interpreter: Interpreter) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    log = folder / "build.log"
    bare = Environment("", folder, interpreter).variables()
    folder.mkdir(parents=True)
    processes.must([str(interpreter.path), "-m", "venv", str(folder)], cwd=folder, env=bare, log=log)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    processes.must([*install, "--requirement", str(wanted)], cwd=folder, env=bare, log=log)
