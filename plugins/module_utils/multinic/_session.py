# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which address of the node this process was reached."""

from __future__ import annotations

import re
from pathlib import Path

_VARIABLE = b"SSH_CONNECTION="
_PARENT = re.compile(r"^PPid:\s*([0-9]+)$", re.MULTILINE)


def connected_addresses(process: str = "self", proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Return the node's addresses of the SSH sessions that a process is in; none without SSH.

    sshd says it in ``SSH_CONNECTION`` (ssh(1)), which sudo takes away: therefore the parents are asked too.
    """
    found = []
    while process not in ("0", ""):
        try:
            environment = (proc / process / "environ").read_bytes().split(b"\0")
            status = (proc / process / "status").read_text()
        except OSError:
            break  # another user's
        for variable in environment:
            words = variable[len(_VARIABLE) :].decode(errors="replace").split()
            if variable.startswith(_VARIABLE) and len(words) == 4:
                found.append(words[2].partition("%")[0])
        parent = _PARENT.search(status)
        process = parent.group(1) if parent else ""
    return tuple(sorted(set(found)))
