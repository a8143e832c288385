# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run may have left on the machine: looked for by the run's mark, tag and folder.

Names rather than a comparison of before and after, because other runs may share the machine.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from testbed.processes import RUN_VARIABLE, ancestors_of, await_exit, command_of, marked
from testbed.run import Run


def find_leaks(run: Run, patience: float = 5) -> list[str]:
    """Return a line for each thing left; processes that are just ending are given some seconds."""
    return [*_processes(run, patience), *_mounts(run), *_network(run), *_accounts(run), *_cgroups(run)]


def _processes(run: Run, patience: float) -> list[str]:
    # a pytest in a pytest carries the outer run's mark and is not a leak of it
    own = {os.getpid(), *ancestors_of(os.getpid())}
    pids = [pid for pid in marked(RUN_VARIABLE, run.id) if pid not in own]
    return [f"process {pid}: {command_of(pid)}" for pid in await_exit(pids, patience)]


def _mounts(run: Run) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [f"mount {point}" for point in points if run.tag in point]


def _network(run: Run) -> list[str]:
    links = [f"network interface {path.name}" for path in Path("/sys/class/net").iterdir() if run.tag in path.name]
    names = Path("/run/netns")
    if not names.is_dir():
        return links
    return links + [f"network namespace {path.name}" for path in names.iterdir() if run.tag in path.name]


def _accounts(run: Run) -> list[str]:
    users = [f"user {user.pw_name}" for user in pwd.getpwall() if user.pw_name.startswith(run.tag)]
    rules = Path("/etc/sudoers.d")
    if not os.access(rules, os.R_OK):
        return users
    return users + [f"sudo rule {path.name}" for path in rules.iterdir() if run.tag in path.name]


def _cgroups(run: Run) -> list[str]:
    return [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"**/*{run.tag}*") if path.is_dir()]
