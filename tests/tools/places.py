# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are kept: the checkout, the cache beside no one's feet, and one folder per run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
REQUIREMENTS = CHECKOUT / "tests" / "requirements"
UNUSED_FOR = 45 * 86400.0
"""Seconds after which a cached thing that no run has used is removed."""


def cache_root() -> Path:
    """Return the folder of everything that outlives a run; it is made when it is missing."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = (Path(base) if base.startswith("/") else Path.home() / ".cache") / "manifold-core"
    root.mkdir(parents=True, exist_ok=True)
    return root


def checkout_key() -> str:
    """Return a short name of this checkout, so that two checkouts do not share what is theirs alone."""
    return hashlib.sha256(str(CHECKOUT).encode()).hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` (made when missing); waits while another run holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def run_folder() -> Iterator[Path]:
    """Give a folder for this run alone and remove it at the end; remove those of runs that died."""
    runs = cache_root() / "runs"
    runs.mkdir(exist_ok=True)
    remove_dead_runs(runs)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%d-%H%M%S-"), dir=runs))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_dead_runs(runs: Path) -> None:
    """Remove run folders whose lock is free: their run has ended without tidying up."""
    for folder in runs.iterdir():
        with contextlib.suppress(OSError), (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def remove_unused(folder: Path, marker: str) -> None:
    """Remove the entries of ``folder`` whose ``marker`` file was not touched for a long time."""
    for used in folder.glob(f"*/{marker}"):
        with contextlib.suppress(OSError):
            if time.time() - used.stat().st_mtime > UNUSED_FOR:
                shutil.rmtree(used.parent, ignore_errors=True)
