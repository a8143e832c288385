# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders for ``ANSIBLE_COLLECTIONS_PATH``.

The collections we depend on are taken out of the ``ansible`` package of PyPI, so that no Galaxy server is
needed. A *tree* links them and the checkout together; a *snapshot* holds a copy of the checkout's files
instead, for tools that write beside what they read or do not follow links.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tools import places, processes
from tools.environments import Environment, requirement_lines

_TAKEN = ("kubernetes/core", "ansible/posix")
_MARKER = ".complete"
_NEVER_COPIED = {".git", "__pycache__", "collections", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".ansible"}


def dependencies(leg: str, environment: Environment, say: Callable[[str], None]) -> Path:
    """Return the folder of the other collections a leg needs, downloaded when it is not there yet."""
    wanted = places.REQUIREMENTS / f"collections-{leg}.txt"
    digest = hashlib.sha256("\n".join([*requirement_lines(wanted), *_TAKEN]).encode()).hexdigest()[:12]
    root = places.cache_root() / "collections"
    folder = root / f"{leg}-{digest}"
    with places.locked(root / f"{folder.name}.lock"):
        if not (folder / _MARKER).exists():
            say(f"collections of leg {leg}: downloading {' '.join(requirement_lines(wanted))}")
            shutil.rmtree(folder, ignore_errors=True)
            _download(wanted, environment, folder)
        (folder / _MARKER).touch()
    places.remove_unused(root, _MARKER)
    return folder


def _download(wanted: Path, environment: Environment, folder: Path) -> None:
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        pip = [environment.tool("python"), "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--only-binary=:all:", "--dest", scratch, "--requirement", str(wanted)]
        processes.must(command, cwd=folder, env=environment.variables(), log=folder / "build.log")
        for wheel in Path(scratch).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                parts = tuple(f"ansible_collections/{name}/" for name in _TAKEN)
                archive.extractall(folder, [name for name in archive.namelist() if name.startswith(parts)])


def tree(leg: str, others: Path) -> Path:
    """Return the collections path on which ``manifold.core`` is this checkout itself."""
    root = places.cache_root() / "trees" / f"{places.checkout_key()}-{leg}"
    with places.locked(root.parent / f"{root.name}.lock"):
        _link(root / "ansible_collections" / "manifold" / "core", places.CHECKOUT)
        _link_others(root, others)
    return root


def snapshot(root: Path, others: Path) -> Path:
    """Copy the files of the checkout that git does not ignore below ``root``; return the copy's path."""
    copy = root / "ansible_collections" / "manifold" / "core"
    copy.mkdir(parents=True)
    for name in _files():
        source = places.CHECKOUT / name
        if not source.exists() and not source.is_symlink():
            continue  # deleted, and the deletion is not committed yet
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, copy / name, follow_symlinks=False)
    _link_others(root, others)
    return copy


def _files() -> list[str]:
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listing, cwd=places.CHECKOUT, capture_output=True, text=True, check=True)
        return sorted({name for name in done.stdout.split("\0") if name})
    except (OSError, subprocess.CalledProcessError):  # no git, or a source archive
        return _files_without_git()


def _files_without_git() -> list[str]:
    found: list[str] = []
    for folder, folders, names in os.walk(places.CHECKOUT):
        folders[:] = [name for name in folders if name not in _NEVER_COPIED]
        found += [str((Path(folder) / name).relative_to(places.CHECKOUT)) for name in names]
    return sorted(found)


def _link_others(root: Path, others: Path) -> None:
    for name in _TAKEN:
        _link(root / "ansible_collections" / name, others / "ansible_collections" / name)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.symlink_to(target)
    fresh.replace(link)
