# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing ssh masters (ControlPersist) by the sockets they left in a folder."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

from testbed.processes import StillRunningError, await_exit, command_of


def sockets_in(directory: Path) -> list[Path]:
    """Return the UNIX sockets in a folder and the folders below it."""
    found = []
    for path in directory.rglob("*"):
        try:
            if stat.S_ISSOCK(path.lstat().st_mode):
                found.append(path)
        except FileNotFoundError:
            continue
    return found


def close_masters(directory: Path, timeout: float = 10) -> None:
    """Ask each master with a socket in or below the folder to end, and wait until it has."""
    for control_path in sockets_in(directory):
        told = _ask(control_path, "check")
        running = re.search(r"pid=(\d+)", told)
        if running is None:
            continue  # not a master's, or the master is dead already
        pid = int(running[1])
        _ask(control_path, "exit")
        if await_exit([pid], timeout):
            raise StillRunningError(f"an ssh master did not end: {pid}: {command_of(pid)}")


def _ask(control_path: Path, what: str) -> str:
    # the host's name is a placeholder: everything is said over the socket
    done = subprocess.run(
        ["ssh", "-F", "none", "-O", what, "-o", f"ControlPath={control_path}", "master"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stdout + done.stderr
