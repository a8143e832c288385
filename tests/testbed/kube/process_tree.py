# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and end every process of a pod, also those that have left their parent or their session."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from testbed.processes import all_pids, marked
from testbed.reaper import end_processes


def find(variable: str, value: str, sessions: Iterable[int]) -> set[int]:
    """Return the living processes that carry the mark in their environment or are in one of the sessions.

    The mark finds what has made a session of its own, the session what has emptied its environment.
    """
    wanted = set(sessions)
    return {*marked(variable, value), *(pid for pid in all_pids() if _session_of(pid) in wanted)}


def _session_of(pid: int) -> int | None:
    """Return the session of a living process; None for a zombie or a process that is gone."""
    with contextlib.suppress(OSError, ValueError):
        # The command name in parentheses may hold anything; the state, parent, group and session follow it.
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        state, _ppid, _pgrp, session = stat.rpartition(b")")[2].split()[:4]
        if state not in (b"Z", b"X"):
            return int(session)
    return None


def end(variable: str, value: str, sessions: Iterable[int], grace_seconds: float) -> None:
    """Send SIGTERM, wait for up to ``grace_seconds``, then SIGKILL until nothing is left."""
    wanted = set(sessions)
    while alive := find(variable, value, wanted):
        end_processes(sorted(alive), grace_seconds)
        grace_seconds = 0  # what was started in the meantime has had its warning
