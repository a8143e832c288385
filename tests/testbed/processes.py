# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and ending the processes of the test bed by a mark in their environment.

A parent's list of children is not enough: a test may leave a process that was reparented or moved into
a session of its own. Each process that a server starts therefore inherits a mark, and is found by it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

RUN_VARIABLE = "MANIFOLD_TESTBED"
"""Set to the run's id in every process that the run starts."""
HOST_VARIABLE = "MANIFOLD_TESTBED_HOST"
"""Set to a host's own mark in every process that runs "on" that host."""


class StillRunningError(Exception):
    """A process outlived the signal that was to end it."""


def all_pids() -> list[int]:
    """Return the pids of all processes that ``/proc`` shows."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def marked(variable: str, value: str) -> list[int]:
    """Return the pids whose initial environment holds ``variable=value``, without this process.

    Zombies have no environment and are not listed, nor are processes whose environment is not readable.
    """
    wanted = f"{variable}={value}".encode()
    found = []
    for pid in all_pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def parent_of(pid: int) -> int:
    """Return the parent's pid; 0 if the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    # the name in parentheses may itself hold spaces and parentheses
    return int(stat.rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """Return the pids of the direct children of a process."""
    return [other for other in all_pids() if parent_of(other) == pid]


def ancestors_of(pid: int) -> list[int]:
    """Return the pids from the parent up to the first process."""
    chain = []
    while (pid := parent_of(pid)) > 0:
        chain.append(pid)
    return chain


def command_of(pid: int) -> str:
    """Return the command line of a process for a message; an empty text if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _is_reaper(pid: int) -> bool:
    return f"{os.sep}reaper.py " in command_of(pid)


def await_exit(pids: list[int], timeout: float) -> list[int]:
    """Wait until the processes have ended (or are zombies); return those that have not in time."""
    waiting: dict[int, int] = {}
    poller = select.poll()
    try:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                waiting[fd] = pid
                poller.register(fd, select.POLLIN)
        deadline = time.monotonic() + timeout
        left = dict(waiting)
        while left and (remaining := deadline - time.monotonic()) > 0:
            for fd, _event in poller.poll(remaining * 1000):
                poller.unregister(fd)
                del left[fd]
        return list(left.values())
    finally:
        for fd in waiting:
            os.close(fd)


def send_signal(pids: list[int], number: signal.Signals) -> None:
    """Signal the processes; those that have gone are ignored."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def naming(text: str) -> list[int]:
    """Return the pids whose command line holds a text, without this process.

    A server that sets its title (sshd) overwrites its environment with it: then the mark is lost, while
    the title still names the configuration file.
    """
    return [pid for pid in all_pids() if pid != os.getpid() and text in command_of(pid)]


def kill_marked(variable: str, value: str, timeout: float = 10) -> None:
    """Kill every process with the mark, those started meanwhile too; raise StillRunningError if one stays.

    Spared are the ancestors of this process and reapers, which have cleaning of their own to do.
    """
    _kill(lambda: marked(variable, value), timeout)


def kill_naming(text: str, timeout: float = 10) -> None:
    """The same for every process whose command line holds a text."""
    _kill(lambda: naming(text), timeout)


def _kill(find: Callable[[], list[int]], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    spared = set(ancestors_of(os.getpid()))
    while pids := [pid for pid in find() if pid not in spared and not _is_reaper(pid)]:
        send_signal(pids, signal.SIGKILL)
        await_exit(pids, max(0.0, deadline - time.monotonic()))
        if time.monotonic() > deadline:
            raise StillRunningError(f"still running after SIGKILL: {[(pid, command_of(pid)) for pid in pids]}")
