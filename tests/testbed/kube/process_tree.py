# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and end every process of a pod, also those that have left their parent or their session."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
_POLL_SECONDS = 0.01


def find(marker: bytes, sessions: Iterable[int]) -> set[int]:
    """Return the living processes that have ``marker`` (``NAME=value``) in their environment or are in a session.

    The environment finds what has made a session of its own, the session what has emptied its environment.
    Without ``/proc`` (not Linux) only the session leaders are found.
    """
    wanted = set(sessions)
    if not _PROC.is_dir():
        return {pid for pid in wanted if _exists(pid)}
    return {int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit() and _belongs(entry, marker, wanted)}


def _belongs(entry: Path, marker: bytes, sessions: set[int]) -> bool:
    try:
        # The command name in parentheses may hold anything; the state, parent, group and session follow it.
        state, _, _, session = (entry / "stat").read_bytes().rpartition(b")")[2].split()[:4]
        if state in (b"Z", b"X"):
            return False
        return int(session) in sessions or marker in (entry / "environ").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return False  # it has ended, or it is not ours to look at


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def end(marker: bytes, sessions: Iterable[int], grace_seconds: float) -> None:
    """Send SIGTERM, wait for up to ``grace_seconds``, then SIGKILL until nothing is left."""
    wanted = set(sessions)
    alive = find(marker, wanted)
    _send(alive, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while alive and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        alive = find(marker, wanted)
    while alive:
        _send(alive, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
        alive = find(marker, wanted)
