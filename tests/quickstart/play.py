# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running ``playbooks/backup.yml`` as a user would, and reading what its task returned."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstart.scene import SOURCE, SSH_HOST, Scene
from testbed.playbook import CALLBACKS, TaskResult, read_results

REPOSITORY = Path(__file__).resolve().parents[2]
_CONFIG = REPOSITORY / "examples" / "ansible.cfg"


class PlayFailed(Exception):
    """The playbook did not succeed, or its result is not what arrived."""


@dataclass(frozen=True)
class Compression:
    """The command that compresses on the way, and the one that undoes it."""

    compress: str
    decompress: tuple[str, ...]
    suffix: str


def compression() -> Compression:
    """Return zstd's commands, or gzip's where the machine has no zstd."""
    if shutil.which("zstd"):
        return Compression("zstd -3 -T0", ("zstd", "-dc"), ".tar.zst")
    return Compression("gzip -1", ("gzip", "-dc"), ".tar.gz")


def command(scene: Scene, filename: str, compress: str) -> list[str]:
    """Return the command line that a user would type."""
    variables = {
        "source": SOURCE,
        "source_path": scene.data.name,
        "destination": SSH_HOST,
        "dest_dir": scene.backups.name,
        "filename": filename,
        "compress": compress,
    }
    given = [word for name, value in variables.items() for word in ("-e", f"{name}={shlex.quote(value)}")]
    return ["ansible-playbook", "-i", str(scene.inventory.path), str(REPOSITORY / "playbooks" / "backup.yml"), *given]


def shown(argv: list[str]) -> str:
    """Return a command line to be read, with the names of files instead of their paths."""
    words = [Path(word).name if word.startswith("/") else word for word in argv]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def backup(scene: Scene, argv: list[str]) -> dict[str, Any]:
    """Run the playbook, its output on ours; return the result of its pipeline task."""
    results = scene.scratch / "results.jsonl"
    _run(argv, _environment(scene, results), scene.scratch)
    return pipeline_result(read_results(results))


def pipeline_result(tasks: list[TaskResult]) -> dict[str, Any]:
    """Return the result of the last task that moved bytes."""
    for task in reversed(tasks):
        if task.action.endswith("pipeline") and task.status == "ok":
            return task.result
    raise PlayFailed("no pipeline task of the playbook succeeded")


def _environment(scene: Scene, results: Path) -> dict[str, str]:
    return scene.inventory.environment() | {
        "ANSIBLE_CONFIG": str(_CONFIG),
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_CALLBACKS_ENABLED": "testbed_results",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(scene.inventory.control_path_directory),
        "ANSIBLE_FORCE_COLOR": "true" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "false",
        "TESTBED_RESULTS": str(results),
        "PYTHONUNBUFFERED": "1",
    }


def _run(command: list[str], environment: dict[str, str], folder: Path) -> None:
    # in our own process group: Ctrl-C reaches it as it reaches us
    process = subprocess.Popen(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        raise
    if code:
        raise PlayFailed(f"ansible-playbook ended with {code}")
