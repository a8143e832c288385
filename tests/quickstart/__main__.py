# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m quickstart``: what ``./quickstart.sh`` runs in its environment."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from quickstart import sample
from quickstart.play import Compression, PlayFailed, backup, command, compression, shown
from quickstart.scene import POD, SSH_HOST, scene

MEBIBYTES = 64


def main() -> int:
    """Bring the machines up, back the pod up, look at what arrived, restore it, take the machines down."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        _show()
    except KeyboardInterrupt:
        print("\ninterrupted; everything was taken down", flush=True)
        return 130
    except PlayFailed as failure:
        print(f"\nquickstart: {failure}", file=sys.stderr)
        return 1
    print("\nEverything was taken down again.", flush=True)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show() -> None:
    way = compression()
    with scene(MEBIBYTES) as there:
        _say(f"A pod ({POD}) with {_size(there.data)} of mixed data, and an SSH host ({SSH_HOST}), both on loopback.")
        arrived = there.backups / f"{POD}{way.suffix}"
        argv = command(there, arrived.name, way.compress)
        _say(f"$ {shown(argv)}")
        started = time.monotonic()
        result = backup(there, argv)
        _say(f"The playbook took {time.monotonic() - started:.1f} s. What was streamed:")
        for step in result["steps"]:
            print(f"    {step['name']:<10}{step['context']:<16}{_bytes(step, 'in')}{_bytes(step, 'out')}".rstrip())
        _compare(arrived, result)
        _restore(arrived, there.data, there.scratch / "restored", way)


def _bytes(step: dict[str, Any], direction: str) -> str:
    count = step[f"bytes_{direction}"]
    return f"{count:>12,} bytes {direction}" if count else " " * (19 + len(direction))


def _compare(arrived: Path, result: dict[str, Any]) -> None:
    """Show the file that arrived, its own checksum beside the task's."""
    ours = sample.sha256(arrived)
    _say(f"What arrived on {SSH_HOST}: {arrived.name}, {arrived.stat().st_size:,} bytes")
    print(f"    sha256 of the file   {ours}")
    print(f"    sha256 from the task {result.get('checksum')}")
    if str(result.get("checksum")).removeprefix("sha256:") != ours:
        raise PlayFailed("the checksum that the task returned is not that of the file")


def _restore(arrived: Path, original: Path, restored: Path, way: Compression) -> None:
    """Unpack the file and compare it with the pod's folder, entry by entry."""
    restored.mkdir()
    with subprocess.Popen([*way.decompress, str(arrived)], stdout=subprocess.PIPE) as unpacked:
        tar = subprocess.run(["tar", "xf", "-", "-C", str(restored)], stdin=unpacked.stdout, check=False)
    if tar.returncode or unpacked.returncode:
        raise PlayFailed(f"{arrived.name} cannot be unpacked")
    before, after = sample.fingerprint(original), sample.fingerprint(restored)
    different = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    if different:
        raise PlayFailed(f"the restored folder differs in {len(different)} entries, such as {min(different)}")
    _say(f"Restored: {len(after)} entries, all identical to those in the pod.")


def _size(folder: Path) -> str:
    return f"{sum(path.lstat().st_size for path in folder.rglob('*') if path.is_file()) / sample.MIB:.0f} MiB"


def _say(text: str) -> None:
    print(f"\n==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
