# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our files as they are found on the node."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path
from typing import Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import OwnFile, record_of
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import open_regular
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_MOST = 65536
"""How many bytes of a file of ours are looked at; what we write is below 1 KiB."""


def find(system: System, folder: str, name: re.Pattern[str]) -> tuple[OwnFile, ...]:
    """Return the files of a folder whose whole name fits, in order of path; a folder that is missing has none.

    :raises NodeError: something of that name cannot be read or replaced.
    """
    seen = system.path(folder)
    try:
        names = sorted(entry.name for entry in seen.iterdir() if name.fullmatch(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as exc:
        raise NodeError(f"cannot list {folder}: {exc.strerror}") from exc
    return tuple(_own(seen / entry, f"{folder}/{entry}") for entry in names)


def in_order(*found: Sequence[OwnFile]) -> tuple[OwnFile, ...]:
    """Return several findings as one, in order of path."""
    return tuple(sorted((file for files in found for file in files), key=lambda file: file.path))


def _own(seen: Path, path: str) -> OwnFile:
    try:
        status = seen.lstat()
        if stat.S_ISDIR(status.st_mode):
            raise NodeError(f"{path} is a folder, where a file of ours belongs; remove it")
        content = _content(seen)
    except OSError as exc:
        raise NodeError(f"cannot read {path}: {exc.strerror}") from exc
    plain = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
    return OwnFile(path, content, stat.S_IMODE(status.st_mode) if plain else 0, record_of(content))


def _content(seen: Path) -> str:
    """Return the beginning of a file, also through a symbolic link; nothing of what is no regular file."""
    try:
        stream = open_regular(seen)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # a link to nowhere, a socket
            return ""
        raise
    if stream is None:
        return ""
    with stream:
        return stream.read(_MOST).decode(errors="replace")
