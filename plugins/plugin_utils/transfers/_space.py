# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds out before anything moves whether there is room for what is sent."""

from __future__ import annotations

from ..streams._shell import path_word
from . import _shell
from ._continue import keeps, left_by
from ._ends import NAMES, End
from ._errors import TransferError
from ._job import Job
from ._manifest import Kind, key_of, kind_of, path_of
from ._plan import Plan, Work
from ._spool import Spool

_UNIT = 512
"""What stat counts blocks in (%b with %B in stat(1) of coreutils and busybox)."""

_BLOCKS = "cd {path} || exit\nexec xargs -0 stat -c %b\n"


def check_space(job: Job, plan: Plan) -> None:
    """Raise TransferError if the files that are sent need more room than there is at the destination.

    Where nobody knows how much room there is, there is enough.
    """
    if not plan.size or (keeps(job, plan) and left_by(job)):
        return  # what is left of an earlier transfer takes up room that is needed no more
    free = job.dest.free
    if free is None or plan.size <= free:
        return
    needed = plan.size
    if job.src.tar == job.dest.tar == "gnu":
        needed = min(needed, _allocated(job, plan))  # holes stay holes
    if needed > free:
        raise TransferError(
            f"dest: there is no room at {job.result.dest}: it needs {needed} bytes, {free} are free. "
            "Make room there, or choose another directory."
        )


def _allocated(job: Job, plan: Plan) -> int:
    """Return the bytes that the files take up in the source."""
    names = Spool()
    try:
        for work, line in plan.lines():
            if work is Work.SEND and kind_of(line) is Kind.FILE:
                names.write(b"./" + path_of(key_of(line)) + b"\0")
        script = "LC_ALL=C\n" + _BLOCKS.format(path=path_word(job.request.src.path))
        printed = _printed(job, "blocks of source", job.ends.src, script, names, ok=_shell.SUMMED)
    finally:
        names.close()
    return sum(int(line) for line in printed.split() if line.isdigit()) * _UNIT


def _printed(
    job: Job, name: str, end: End, script: str, names: Spool | None = None, ok: tuple[int, ...] = (0,)
) -> bytes:
    """Return what a script prints at an end."""
    output = Spool()
    try:
        job.ends.report(job.ends.command(name, end, script, NAMES, output, ok), names=names)
        return b"".join(output.chunks())
    finally:
        output.close()
