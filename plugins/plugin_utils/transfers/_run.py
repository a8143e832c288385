# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer from its request to its result."""

from __future__ import annotations

import itertools
import posixpath
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..contexts._base import Context, ContextError, ContextKind
from ..contexts._passing import may_pass
from ..operations._identity import new_operation_id
from ..streams._spec import Step
from . import _shell
from ._aside import aside
from ._continue import end_others
from ._delivery import UNPACK
from ._endpoint import Endpoint
from ._ends import NAMES, Ends
from ._errors import SpecError, TransferError
from ._file import send_file
from ._glob import choose_commands, expanded
from ._how import is_far
from ._job import Job
from ._large import WRITE
from ._listing import Listing, PathKind, Reading, needs_since_1970, read_listing
from ._spec import MOST_STREAMS, Request, Result
from ._spool import Spool
from ._tree import plan_for_nothing, send_tree

_LONG = 256 * 1024
"""Bytes of a list that takes about as long to read as it takes to look how far away an end is."""
Place = Callable[[Endpoint], Context]
"""Gives the context of an endpoint; raises ContextError."""


def run_transfer(request: Request, place: Place) -> Result:
    """Do what is asked for and return what happened; only cancellation and defects raise."""
    started = time.monotonic()
    operation = new_operation_id()
    result = Result(operation, str(request.src), str(request.dest))
    ends: Ends | None = None
    try:
        _check_request(request)
        ends = Ends(request, place, started)
        result = _try(request, ends, operation)
    except (TransferError, ContextError) as exc:
        result.failure = str(exc)
    finally:
        if ends is not None:
            ends.close()
    if ends is not None:
        result.warnings, result.steps = tuple(dict.fromkeys(ends.warnings)), ends.steps
    result.duration_ms = round((time.monotonic() - started) * 1000)
    return result


def _try(request: Request, ends: Ends, operation: str) -> Result:
    """Do it, again from the lists on after what may pass, as often as is allowed; what is in place is not sent again.

    The result is that of the last time; it says that something changed if it did at any time.
    """
    changed = False
    for attempt in itertools.count():
        result = Result(operation, str(request.src), str(request.dest), retries=attempt)
        passing = False
        try:
            _run(request, ends, result)
        except (TransferError, ContextError) as exc:
            result.failure = str(exc)
            passing = exc.passing if isinstance(exc, TransferError) else may_pass(exc.cause)
        changed = result.changed = result.changed or changed
        delay = request.retry_delay * 2**attempt
        if not passing or attempt >= request.retries or not ends.has(delay):
            break
        ends.suspect()
        time.sleep(delay)
    return result


def _check_request(request: Request) -> None:
    """Raise SpecError or TransferError for what nobody has to be asked about."""
    for name in ("timeout", "stall_timeout", "connect_timeout"):
        seconds = getattr(request, name)
        if seconds is not None and not 0 < seconds < float("inf"):
            raise SpecError(f"{name}: {seconds:g} is not a number of seconds above 0")
    for name in ("retries", "retry_delay"):
        if not 0 <= getattr(request, name) < float("inf"):
            raise SpecError(f"{name}: {getattr(request, name):g} is less than 0, or no number")
    src, dest = request.src, request.dest
    if not 1 <= request.streams <= MOST_STREAMS:
        raise TransferError(f"streams: {request.streams} is not from 1 to {MOST_STREAMS}")
    if (src.context, src.pod, src.container) != (dest.context, dest.pod, dest.container):
        return
    one, other = posixpath.normpath(src.path), posixpath.normpath(dest.path)
    if one == other or (src.follows and f"{other}/".startswith(one.rstrip("/") + "/")):
        raise TransferError(f"dest: {dest} is {src} itself, or in it")


def _run(request: Request, ends: Ends, result: Result) -> None:
    src, dest = _list(request, ends)
    if not request.check_mode and end_others(ends, dest, result.operation_id):
        src.close()
        dest.close()
        src, dest = _list(request, ends)  # it may have changed something since
    try:
        request = expanded(request, src)
        root = _target(request, src, dest)
        result.dest = str(replace(request.dest, path=root))
        job = Job(request, ends, result, src, dest, root)
        _check(job)
        if src.kind is PathKind.FILE:
            send_file(job)
        else:
            send_tree(job)
            if src.matched and dest.kind is PathKind.ABSENT:
                _count_root(result)
    finally:
        src.close()
        dest.close()


def _count_root(result: Result) -> None:
    """Note that the directory was made that what matches a pattern went into: it is no entry of the source."""
    if result.changed:
        result.directories += 1
        result.after = "make .\n" + result.after if result.after else ""


def _list(request: Request, ends: Ends) -> tuple[Listing, Listing]:
    """Return what both ends are and hold."""
    asked, choose = request.src, choose_commands(request.src)
    raw, other = Spool(), Spool()
    src: Listing | None = None
    try:
        source = ends.command("list source", ends.src, _shell.list_script(asked.path, otherwise=choose), NAMES, raw)
        if choose:  # what is looked for at the destination depends on whether something has that very name
            ends.report(source)
            src = read_listing(raw, request.filter)
        name = None if asked.follows or (src is not None and src.matched) else asked.name
        script = _shell.list_script(request.dest.path, name)
        destination = ends.command("list destination", ends.dest, script, NAMES, other)
        if src is not None:
            ends.report(destination)
            dest = read_listing(other, request.filter)
        else:
            src, dest = _list_both(request, ends, (source, raw), (destination, other))
        if needs_since_1970(src, dest):
            src.close()
            dest.close()
            src, dest = (read_listing(spool, request.filter, since_1970=True) for spool in (raw, other))
        return src, dest
    except BaseException:
        if src is not None:
            src.close()
        raise
    finally:
        raw.close()
        other.close()


def _list_both(
    request: Request, ends: Ends, one: tuple[Step, Spool], other: tuple[Step, Spool]
) -> tuple[Listing, Listing]:
    """Return what both ends hold. What is near is read while the other one is still being reached."""

    def look(*lists: tuple[Step, Spool]) -> list[Listing]:
        return _read_as_they_come(request, ends, lists)

    def look_and_plan() -> Listing:
        (source,) = look(one)
        if source.kind is PathKind.TREE and not other[1].written():
            source.ahead = plan_for_nothing(request, source)
        return source

    local = [end.context.kind is ContextKind.LOCAL for end in (ends.src, ends.dest)]
    if local == [True, False]:
        near = aside(look_and_plan)
        (there,) = look(other)
        if request.src.follows:
            _expect(request, ends, PathKind.TREE, there)
        if there.kind is PathKind.ABSENT and one[1].written() > _LONG:
            is_far(ends)  # much will be sent: the way is looked at while the near end is still read
        source = near()
        if not request.src.follows:
            _expect(request, ends, source.kind, there)
        return source, there
    if local == [False, True]:
        near = aside(lambda: look(other)[0])
        return look(one)[0], near()
    source, there = look(one, other)
    _expect(request, ends, source.kind, there)
    return source, there


def _expect(request: Request, ends: Ends, kind: PathKind, there: Listing) -> None:
    """Let the shell be started that writes to where nothing is, unless that is copied where it is."""
    step = {PathKind.TREE: UNPACK, PathKind.FILE: WRITE}.get(kind)
    sent = request.src.context != request.dest.context and not request.check_mode
    if step and sent and there.kind is PathKind.ABSENT:
        ends.expect(ends.dest, step)


def _read_as_they_come(request: Request, ends: Ends, lists: Sequence[tuple[Step, Spool]]) -> list[Listing]:
    """Return what steps print that list an end each; it is read meanwhile."""
    readings = [Reading(raw, request.filter) for _step, raw in lists]
    listings: list[Listing] = []
    try:
        ends.report(*(step for step, _raw in lists))
        while readings:
            listings.append(readings.pop(0).done())
    except BaseException:
        for reading in readings:
            reading.drop()
        for listing in listings:
            listing.close()
        raise
    return listings


def _target(request: Request, src: Listing, dest: Listing) -> str:
    """Return the path that is written: that of dest, or of an entry in it."""
    asked, to = request.src, request.dest
    inside = dest.inside or (not asked.follows and (src.kind is PathKind.TREE or to.path.endswith("/")))
    if not inside:
        return to.path.rstrip("/") or "/"
    if not asked.name:
        raise TransferError(f"src: {asked} has no name that it could have at dest; end it with a slash")
    return f"{to.path.rstrip('/')}/{asked.name}"


def _check(job: Job) -> None:
    """Raise TransferError for what can be seen to be impossible before anything moves."""
    asked, to, place = job.request.src, job.request.dest, job.result.dest
    if job.src.kind is PathKind.ABSENT and asked.follows:
        raise TransferError(f"src: {asked} is no directory that this user can see; leave out the slash if it is a file")
    if job.src.kind is PathKind.ABSENT:
        raise TransferError(f"src: {asked} does not exist, or cannot be seen by this user")
    if job.src.kind is PathKind.SPECIAL:
        raise TransferError(f"src: {asked} is neither a file nor a directory")
    if job.dest.kind is PathKind.SPECIAL:
        raise TransferError(f"dest: {place} is neither a file nor a directory")
    if (job.src.kind, job.dest.kind) == (PathKind.FILE, PathKind.TREE):
        raise TransferError(f"dest: {place} is a directory, and src is a file")
    if (job.src.kind, job.dest.kind) == (PathKind.TREE, PathKind.FILE):
        what = "a pattern, whose matches go into a directory" if job.src.matched else "a directory"
        raise TransferError(f"dest: {place} is a file, and src is {what}")
    if (job.src.kind, job.dest.kind) == (PathKind.TREE, PathKind.LINK):
        raise TransferError(f"dest: {place} is a symbolic link, which may lead out of {to}; remove it, or name its end")
    _check_parent(job)
    for end, listing in ((job.ends.src, job.src), (job.ends.dest, job.dest)):
        if listing.tar == "none" and job.src.kind is PathKind.TREE:
            raise TransferError(f"context '{end.context.name}': there is neither GNU tar nor that of busybox")


def _check_parent(job: Job) -> None:
    parent = job.root.rpartition("/")[0] or ("/" if job.root.startswith("/") else ".")
    # what is an entry of a directory that is not there lacks that directory too
    exists = job.dest.parent_exists and (job.dest.inside or job.root == (job.request.dest.path.rstrip("/") or "/"))
    if not exists and job.dest.kind is PathKind.ABSENT and not job.request.create_parents:
        place = replace(job.request.dest, path=parent)
        raise TransferError(f"dest: the directory {place} does not exist; make it first, or set 'create_parents'")
    if not job.dest.writable:
        raise TransferError(f"dest: {job.result.dest} cannot be written to by this user, or is in no directory")
