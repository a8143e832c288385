# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Goes on with a tree whose transfer was cut: finds what it left, takes it over, and keeps what is complete in it.

What is taken over has size, time, mode and owner of the source; its content is proven with all the rest, before
anything is put in place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .._owner import owner
from ..streams._leftovers import abandoned
from ..streams._spec import Step
from . import _shell
from ._apply import Batches, command_name
from ._ends import NAMES, Ends
from ._errors import TransferError
from ._filter import Filter
from ._job import Job
from ._large import LARGE
from ._listing import Listing, read_listing
from ._manifest import Kind, are_alike, kind_of, path_of
from ._plan import Plan, joined
from ._spool import Spool

_END_SECONDS = 60.0


def staging_name(middle: str) -> str:
    """Return the name of a staging directory."""
    return f".manifold-{middle}.part"


def staging_of(job: Job) -> str:
    """Return the name of this transfer's own, the same each time it is tried."""
    return _mine(job.result.operation_id)


def _mine(operation_id: str) -> str:
    return staging_name(f"{operation_id}.{owner()}")


def left_by(job: Job) -> list[str]:
    """Return the staging directories at the destination that nobody works on, those to go on with first."""
    return _left_in(job.dest, job.result.operation_id)


def _left_in(dest: Listing, operation_id: str) -> list[str]:
    mine = _mine(operation_id)
    names = sorted(map(staging_name, abandoned(dest.left)), reverse=True)
    return [mine, *names] if mine in map(staging_name, dest.left) else names


def marked(step: Step, job: Job) -> Step:
    """Return a step that works on the staging directory, as one that a later transfer can find and end."""
    return replace(step, environment={_shell.MARK: staging_of(job)})


def end_others(ends: Ends, dest: Listing, operation_id: str) -> bool:
    """End what still works at the destination for a transfer that is gone; return whether there was anything.

    It would go on to put in place what it has. What would not end becomes a warning.
    """
    left = _left_in(dest, operation_id)
    if not left:
        return False
    try:
        said = ends.errand("end what is left", ends.dest, _shell.end_others_script(left), ends.within(_END_SECONDS))
    except TransferError as exc:
        ends.warnings.append(f"a transfer that is gone may still be at work in {', '.join(left)}: {exc}")
        return False
    if "stays" in said.split():
        ends.warnings.append(f"{ends.dest.context.name}: a transfer that is gone is still at work in {', '.join(left)}")
    return "ended" in said.split()


def keeps(job: Job, plan: Plan) -> bool:
    """Return whether what arrived stays when the transfer is cut: sending a little again takes less than proving it."""
    return job.request.resume and plan.size >= LARGE


def take_over(job: Job, plan: Plan, left: str) -> Spool | None:
    """Make a staging directory this transfer's own; return the keys of what is complete in it.

    Whatever else is in it is removed. Returns None if it is gone: another transfer took it.
    """
    ends, raw, commands = job.ends, Spool(), Spool()
    mine = staging_of(job)
    try:
        script = _shell.take_over_script(job.root, left, mine)
        try:
            ends.report(marked(ends.command("list what is left", ends.dest, script, NAMES, raw), job))
        except TransferError as exc:
            if exc.passing:
                raise
            return None
        there = read_listing(raw, Filter())
        try:
            kept = _sort_out(job, plan, there, commands)
        finally:
            there.close()
        script = _shell.apply_script(f"{job.root.rstrip('/')}/{mine}", make=False, parents=False)
        ends.report(marked(ends.command("remove the rest", ends.dest, script, NAMES), job), names=commands)
        return kept
    finally:
        raw.close()
        commands.close()


def _sort_out(job: Job, plan: Plan, there: Listing, commands: Spool) -> Spool:
    """Return the keys of what is complete, and write the commands that remove everything else."""
    kept, batches = Spool(), Batches(commands.write)
    owners = job.dest.uid == 0
    for name, wanted, found in joined(plan.sent(), there.manifest.lines()):
        if found is None or kind_of(found) is Kind.DIRECTORY:
            continue
        if wanted is not None and _complete(wanted, found, owners):
            kept.write(name + b"\n")
            if kind_of(wanted) is Kind.FILE:
                job.result.resumed += int(wanted.split(b"\0")[1].split(b" ")[2])
        else:
            batches.add("rm -f --", command_name(path_of(name)))
    batches.flush()
    # directories that nothing is in: the source may not have them any more
    batches.run("find . -depth -type d -exec rmdir -- {} + 2>/dev/null || :")
    return kept


def _complete(wanted: bytes, found: bytes, owners: bool) -> bool:
    """Return whether an entry is there as it is in the source; a file that has several names there has one here."""
    alone, _nul, rest = wanted.rpartition(b"\0")
    return are_alike(alone + b"\0" + b"1" + rest[rest.index(b" ") :], found, owners)


def without(lines: Iterable[bytes], kept: Spool) -> Iterable[bytes]:
    """Return the lines of entries whose keys are not kept."""
    keys = (line[:-1] + b"\0" for line in kept.lines())
    return (line for _name, line, there in joined(lines, keys) if line is not None and there is None)
