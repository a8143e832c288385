# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of a transfer of a large file that was cut: its name, whose it is, and what becomes of it.

The name says what it is a part of, so that a later run knows it without being told, and whose it is, so that no run
takes it from one that is still at work.
"""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .._owner import OWNER, Fate, fate_of, owner
from ._endpoint import LOCAL, Endpoint

_NAME = re.compile(rf"([0-9a-f]{{16}})-([0-9a-f]{{16}})\.({OWNER})", re.ASCII)


@dataclass(frozen=True)
class Origin:
    """What a partial file is a part of."""

    place: str
    """Stands for the source and the destination."""
    state: str
    """Stands for size and time of change of the source."""

    def mine(self) -> str:
        """Return the middle of the name of this process's partial file."""
        return f"{self.place}-{self.state}.{owner()}"


def origin(src: Endpoint, dest: str, size: int, mtime: int) -> Origin:
    """Return what tells a partial file of a source from any other; ``dest`` is the path of the destination."""
    # 'local' is another place on each machine
    machine = _machine() if src.context == LOCAL else ""
    return Origin(_digest(str(src), machine, dest), _digest(str(size), str(mtime)))


@dataclass
class Left:
    """What is to be done about partial files that are there."""

    claimed: str | None = None
    """The one that is gone on with."""
    removed: list[str] = field(default_factory=list)


def judge(left: Iterable[str], idle: Collection[str], old: Collection[str], wanted: Origin) -> Left:
    """Return what is to be done about temporaries beside a destination, named by the middle of their names.

    Of another machine it is not known whether it is still at work; its files are taken once nobody has written to them
    for minutes (``idle``). Those of another source go when they are ``old``. What is no partial file is left alone.
    """
    found = Left()
    for name in sorted(left, key=lambda each: each != wanted.mine()):
        match = _NAME.fullmatch(name)
        if match is None or not _is_free(match[3], name in idle):
            continue
        if (match[1], match[2]) == (wanted.place, wanted.state) and found.claimed is None:
            found.claimed = name
        elif match[1] == wanted.place or name in old:
            found.removed.append(name)
    return found


def owner_in(name: str) -> str:
    """Return the owner that is part of a name."""
    return name.rpartition(".")[2]


def _is_free(whose: str, idle: bool) -> bool:
    fate = fate_of(whose)
    return whose == owner() or fate is Fate.GONE or (fate is Fate.UNKNOWN and idle)


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:16]


def _machine() -> str:
    try:
        identity = Path("/etc/machine-id").read_text().strip()
    except OSError:
        identity = ""
    return f"{socket.gethostname()} {identity}"
