# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive of directories with their attributes and nothing in them, made here: the source has no say in it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable

from ._manifest import Entry

_END = bytes(1024)


def write_archive(directories: Iterable[Entry], write: Callable[[bytes], object]) -> None:
    """Write an archive that sets mode, owner and time of directories where it is unpacked."""
    for entry in directories:
        info = tarfile.TarInfo(f"./{entry.path.decode(errors='surrogateescape')}")
        info.type = tarfile.DIRTYPE
        info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
        write(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    write(_END)
