# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer of one file within one place: the kernel copies it, or lets both files share their blocks."""

from __future__ import annotations

from ..operations._identity import new_operation_id
from ..streams._leftovers import abandoned, owner
from ..streams._pipeline import COMMIT_SECONDS
from ..streams._ranges import CHANGED
from ..streams._shell import Sink
from . import _file_shell as shell
from ._content import same_sums
from ._ends import NAMES
from ._errors import TransferError
from ._job import Job
from ._large import changed, sink_of, state_of
from ._manifest import Entry
from ._spool import Spool


def is_one_place(job: Job) -> bool:
    """Return whether both ends are the same context, as the same user."""
    src, dest = job.request.src, job.request.dest
    return (src.context, src.pod, src.container, src.become, src.become_user) == (
        dest.context,
        dest.pod,
        dest.container,
        dest.become,
        dest.become_user,
    )


def copy_file(job: Job, wanted: Entry) -> bool | None:
    """Copy the file where it is and return whether that changed the destination; raise TransferError.

    None says that the source is not found there: a name may stand for several pods.
    """
    ends, sink = job.ends, sink_of(job, wanted, f"{new_operation_id()}.{owner()}")
    name = sink.temporary.rpartition("/")[2]
    try:
        left = _copy(job, sink, state_of(wanted))
        if left is None:
            return None
        if job.request.checksum and not same_sums(job, sink.temporary):
            raise TransferError(f"dest: what was copied for {job.result.dest} is not what {job.request.src} holds")
        old = ends.errand("put in place", ends.dest, shell.place_script(sink, wanted.size), COMMIT_SECONDS)
    except BaseException:
        ends.clean(sink.parent, [name], empty_root=False)
        raise
    if left:
        ends.clean(sink.parent, [f"{sink.hidden}.{each}.part" for each in left], empty_root=False)
    return old.strip() == "committed"


def _copy(job: Job, sink: Sink, state: str) -> list[str] | None:
    """Make the temporary and return what other runs have left beside it; None if the source is not there."""
    ends, raw, nothing = job.ends, Spool(), Spool()
    try:
        script = shell.copy_script(job.request.src.path, state, sink)
        done = ends.attempt([ends.names(nothing), ends.command("copy", ends.dest, script, NAMES, raw)])
        said = b"".join(raw.chunks()).decode(errors="surrogateescape").splitlines()
    finally:
        raw.close()
        nothing.close()
    rc = done.steps[-1].rc if done.steps else None
    if rc == shell.ELSEWHERE:
        return None
    if rc == CHANGED:
        raise changed(job)
    if rc == shell.NO_ROOM:
        _room, needed, free = next(line for line in said if line.startswith("room ")).split()
        raise TransferError(
            f"dest: there is no room for {job.result.dest}: it needs {needed} bytes, {free} are free. "
            "Make room there, or choose another directory."
        )
    if done.failed_step is not None:
        raise TransferError(done.msg or "'copy' failed")
    return abandoned(line.removeprefix("left ") for line in said if line.startswith("left "))
