# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems for destinations: one smaller than the data, one that is read-only."""

from __future__ import annotations

import subprocess
from pathlib import Path

FULL_BYTES = 1 << 20


def unmount(path: str) -> None:
    """Unmount a folder; one that is no mount any more is ignored."""
    subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL, check=False)


def mount_small(path: Path) -> None:
    """Mount a file system of FULL_BYTES that everybody may write to."""
    _mount("tmpfs", path, f"mode=0777,size={FULL_BYTES}")


def mount_locked(path: Path, files: dict[str, bytes]) -> None:
    """Mount a read-only file system that holds files."""
    _mount("tmpfs", path, "mode=0777,size=1M")
    for name, content in files.items():
        (path / name).write_bytes(content)
    _mount("tmpfs", path, "remount,ro")


def _mount(kind: str, path: Path, options: str) -> None:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, "-o", options, "tmpfs", str(path)], check=True)
