# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of mixed data, and whether two folders are the same."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

MIB = 1 << 20
_WORDS = b"manifold pipe source sink stream stage bytes count proof marker node pod host archive ledger".split()


def fill(folder: Path, mebibytes: int) -> None:
    """Write about so many MiB: text that shrinks, noise that does not, small files, odd names, a link."""
    (folder / "records").mkdir(parents=True)
    (folder / "empty folder").mkdir()
    chance = random.Random(mebibytes)  # the same data every time
    page = b" ".join(chance.choices(_WORDS, k=MIB // 6))
    with (folder / "journal.log").open("wb") as text:
        for number in range(mebibytes // 2):
            text.write(f"\npage {number} {chance.random()}\n".encode())
            text.write(page[:MIB])
    with (folder / "images.bin").open("wb") as noise:
        for _number in range(mebibytes // 2):
            noise.write(chance.randbytes(MIB))
    for number in range(200):
        (folder / "records" / f"{number:03}.txt").write_bytes(chance.randbytes(64).hex().encode())
    (folder / "a name with blanks & signs (1).txt").write_text("kept as it is\n")
    (folder / "latest").symlink_to("records/199.txt")
    (folder / "run.sh").write_text("#!/bin/sh\necho kept executable\n")
    (folder / "run.sh").chmod(0o750)


def fingerprint(folder: Path) -> dict[str, str]:
    """Return for each entry below a folder what must be the same after a restore: kind, mode, content."""
    return {str(path.relative_to(folder)): _one(path) for path in sorted(folder.rglob("*"))}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _one(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    mode = oct(path.stat().st_mode)
    return f"folder {mode}" if path.is_dir() else f"file {mode} {sha256(path)}"
