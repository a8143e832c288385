# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has left on the machine.

Whatever the test bed makes bears the token of a run in its name, or is attached to something that does.
Such names are compared before and after. Others may use the machine meanwhile: what bears the token of a
run that still lives is theirs to remove. Processes are found by the run's mark and by their parent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from testbed.processes import (
    RUN_VARIABLE,
    ancestors_of,
    await_exit,
    children_of,
    command_of,
    marked,
    naming,
)
from testbed.reaper import LOCK, base_directory
from testbed.run import Run

_TOKEN = re.compile(r"(?:mf|-)([0-9a-f]{8})")
"""How a run's token occurs in what is named after it: ``mf0123abcd``, ``cri-0123abcd``."""


def snapshot() -> set[str]:
    """Return a line for each thing that the test bed might have made and that there is now."""
    lines = [*_mounts(), *_links(), *_accounts(), *_folders(), *_cgroups()]
    return {line for line in lines if _TOKEN.search(line)}


def find_leaks(before: set[str], run: Run | None, patience: float = 5) -> list[str]:
    """Return a line for each thing left; processes that are just ending are given some seconds.

    ``run`` is this process's own, if it has one; its folder is still there.
    """
    own = {run.id} if run else set()
    new = sorted(snapshot() - before)
    left = [line for line in new if not _bears_a_live_token(line, own)]
    kept = {f"folder {run.directory}", f"folder {run.reaper_directory}"} if run else set()
    processes = _processes(run, patience)
    still = snapshot()  # what another run was just removing is gone by now
    return [line for line in left if line in still and line not in kept] + processes


def _bears_a_live_token(line: str, own: set[str]) -> bool:
    tokens = {*_TOKEN.findall(line)} - own
    return any(_lives(token) for token in tokens)


def _lives(token: str) -> bool:
    """Return whether a run with that token still holds its lock, or another than us does."""
    for lock in base_directory().glob(f"*-{token}/{LOCK}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(descriptor)
    return False


def _processes(run: Run | None, patience: float) -> list[str]:
    # a pytest in a pytest carries the outer run's mark and is not a leak of it
    spared = {os.getpid(), *ancestors_of(os.getpid())}
    pids = set(children_of(os.getpid()))
    if run is not None:
        pids |= {*marked(RUN_VARIABLE, run.id), *naming(f"{run.directory}{os.sep}")}
    pids -= spared
    # the run's own reaper ends with it, which is later
    pids = {pid for pid in pids if run is None or str(run.reaper_directory) not in command_of(pid)}
    return [f"process {pid}: {command_of(pid) or '(no command line)'}" for pid in await_exit(sorted(pids), patience)]


def _mounts() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        yield f"mount {line.split()[4]}"


def _links() -> Iterator[str]:
    for path in Path("/sys/class/net").iterdir():
        of = ""
        with contextlib.suppress(OSError):  # it has no master, or is gone by now
            of = f" of {(path / 'master').readlink().name}"
        yield f"interface {path.name}{of}"
    if Path("/run/netns").is_dir():
        yield from (f"network namespace {path.name}" for path in Path("/run/netns").iterdir())


def _accounts() -> Iterator[str]:
    yield from (f"user {user.pw_name}" for user in pwd.getpwall())
    rules = Path("/etc/sudoers.d")
    if os.access(rules, os.R_OK):
        yield from (f"sudo rule {path.name}" for path in rules.iterdir())


def _folders() -> Iterator[str]:
    yield from (f"folder {path}" for path in Path(tempfile.gettempdir()).glob("mf*"))
    yield from (f"folder {path}" for path in base_directory().iterdir())


def _cgroups() -> Iterator[str]:
    for top, names, _files in os.walk("/sys/fs/cgroup"):
        yield from (f"control group {Path(top, name)}" for name in names)
