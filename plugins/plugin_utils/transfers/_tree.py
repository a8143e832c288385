# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer of a tree: compare, send what differs to a directory beside it, verify that, and rename it into place."""

from __future__ import annotations

import itertools
from dataclasses import replace

from ._continue import left_by
from ._delivery import Delivery
from ._errors import TransferError
from ._job import Job
from ._listing import Listing, PathKind
from ._manifest import Kind, from_line, key, key_of, path_of
from ._plan import SHOWN, Plan, Planner, Rules, Work, same_size
from ._proof import differing
from ._space import check_space
from ._spec import Request
from ._spool import Spool

_SHOWN_LINES = 10_000
_NAMED = 5


def send_tree(job: Job) -> None:
    """Bring the destination to what the source is, and note it in the result; raise TransferError."""
    rules = replace(_rules(job.request, job.dest.uid), clears=bool(left_by(job)))
    if job.dest.kind is PathKind.ABSENT and job.src.ahead is not None:
        _carry_out(job, job.src.ahead, rules)  # closed with the listing
        return
    wrong = Spool()
    try:
        if rules.by_checksum:
            _compare_sums(job, wrong)
        planner = Planner(rules, (line[:-1] for line in wrong.lines()))
        try:
            plan = planner.make(job.src.manifest.lines(), job.dest.manifest.lines(), job.dest.keys())
            _carry_out(job, plan, rules)
        finally:
            planner.plan.close()
    finally:
        wrong.close()


def plan_for_nothing(request: Request, source: Listing) -> Plan:
    """Return the plan for sending all of a tree to where nothing is; it has to be closed."""
    planner = Planner(_rules(request))
    try:
        return planner.make(source.manifest.lines(), ())
    except BaseException:
        planner.plan.close()
        raise


def _rules(request: Request, uid: int = 0) -> Rules:
    return Rules(request.delete, uid, request.checksum, request.diff)


def _carry_out(job: Job, plan: Plan, rules: Rules) -> None:
    """Do what is planned, and note it in the result; raise TransferError."""
    _refuse(job, plan)
    lost: list[bytes] = []
    check_space(job, plan)
    if (plan.changes or rules.clears) and not job.request.check_mode:
        lost = Delivery(job, plan, rules).run()
    _report(job, plan)
    job.result.changed = plan.changes
    if lost:
        _tell_lost(job, plan, lost)


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace").replace("\n", "\\n")


def _compare_sums(job: Job, wrong: Spool) -> None:
    """Write the keys of those files of one size whose content differs."""
    for path in differing(job, job.root, lambda: same_size(job.src.manifest.lines(), job.dest.manifest.lines())):
        wrong.write(key(path) + b"\n")


def _report(job: Job, plan: Plan) -> None:
    """Note in the result what was done, or in check mode what would be."""
    result = job.result
    result.files, result.links, result.directories = plan.files, plan.links, plan.made
    result.bytes = plan.size - result.resumed
    result.attributes, result.deleted, result.unchanged = plan.changed_attributes, plan.deleted, plan.unchanged
    result.excluded = job.src.excluded
    result.special = tuple(_shown(path) for path in plan.special)
    if job.request.diff:
        lines = [line.decode(errors="replace") for line in itertools.islice(plan.shown.lines(), _SHOWN_LINES + 1)]
        more = [f"and more than {_SHOWN_LINES} lines\n"] if len(lines) > _SHOWN_LINES else []
        result.after = "".join([*lines[:_SHOWN_LINES], *more])


def _refuse(job: Job, plan: Plan) -> None:
    """Raise TransferError for a plan that must not be carried out."""
    if plan.conflicts:
        names = ", ".join(_shown(path) for path in plan.conflicts[:_NAMED])
        raise TransferError(
            f"dest: {job.result.dest}: a directory, or something excluded, stands where the source has a file or a "
            f"directory: {names}. Remove it, or set 'delete' for directories."
        )
    if job.request.delete and not plan.sources and plan.deleted and not job.request.allow_empty:
        raise TransferError(
            f"src: {job.request.src} is empty, and 'delete' would remove {plan.deleted} entries of {job.result.dest}; "
            "set 'allow_empty' if that is meant"
        )


def _tell_lost(job: Job, plan: Plan, lost: list[bytes]) -> None:
    """Take what was not put in place out of the result, and raise TransferError."""
    names = frozenset(lost)
    for work, line in plan.lines():
        if work is Work.SEND and path_of(key_of(line)) in names:
            entry = from_line(line)
            job.result.files -= entry.kind is Kind.FILE
            job.result.links -= entry.kind is Kind.LINK
            job.result.bytes -= entry.size if entry.kind is Kind.FILE else 0
    job.result.unstable = tuple(_shown(path) for path in lost[:SHOWN])
    raise TransferError(
        f"src: {len(lost)} entries of {job.request.src} changed while they were read, or could not be read, and were "
        f"left as they were at {job.result.dest}: {', '.join(job.result.unstable[:_NAMED])}. The others are in place."
    )
