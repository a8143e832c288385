# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer from its request to its result."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable

from ..contexts._base import Context, ContextError
from ..operations._identity import new_operation_id
from . import _shell
from ._endpoint import Endpoint
from ._ends import NAMES, Ends
from ._errors import TransferError
from ._file import send_file
from ._job import Job
from ._listing import Listing, PathKind, read_listing
from ._spec import MOST_STREAMS, Request, Result
from ._spool import Spool
from ._tree import send_tree

Place = Callable[[Endpoint], Context]
"""Gives the context of an endpoint; raises ContextError."""


def run_transfer(request: Request, place: Place) -> Result:
    """Do what is asked for and return what happened; only cancellation and defects raise."""
    started = time.monotonic()
    result = Result(new_operation_id(), str(request.src), str(request.dest))
    ends: Ends | None = None
    try:
        _check_request(request)
        ends = Ends(request, place(request.src), place(request.dest))
        _run(request, ends, result)
    except (TransferError, ContextError) as exc:
        result.failure = str(exc)
    finally:
        if ends is not None:
            result.warnings = tuple(dict.fromkeys(ends.warnings))
            ends.close()
    result.duration_ms = round((time.monotonic() - started) * 1000)
    return result


def _check_request(request: Request) -> None:
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
    try:
        root = _target(request, src, dest)
        result.dest = f"{request.dest.context}:{root}"
        job = Job(request, ends, result, src, dest, root)
        _check(job)
        if src.kind is PathKind.FILE:
            send_file(job)
        else:
            send_tree(job)
    finally:
        src.close()
        dest.close()


def _list(request: Request, ends: Ends) -> tuple[Listing, Listing]:
    """Return what both ends are and hold."""
    name = None if request.src.follows else request.src.name
    raw, other = Spool(), Spool()
    try:
        ends.report(
            ends.command("list source", ends.src, _shell.list_script(request.src.path), NAMES, raw),
            ends.command("list destination", ends.dest, _shell.list_script(request.dest.path, name), NAMES, other),
        )
        src = read_listing(raw, request.filter)
        try:
            return src, read_listing(other, request.filter)
        except BaseException:
            src.close()
            raise
    finally:
        raw.close()
        other.close()


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
    if job.src.kind is PathKind.ABSENT:
        raise TransferError(f"src: {asked} does not exist, or cannot be seen by this user")
    if job.src.kind is PathKind.SPECIAL:
        raise TransferError(f"src: {asked} is neither a file nor a directory")
    if job.src.kind is PathKind.FILE and asked.follows:
        raise TransferError(f"src: {asked} is a file; leave out the slash at its end")
    if job.dest.kind is PathKind.SPECIAL:
        raise TransferError(f"dest: {place} is neither a file nor a directory")
    if (job.src.kind, job.dest.kind) == (PathKind.FILE, PathKind.TREE):
        raise TransferError(f"dest: {place} is a directory, and src is a file")
    if (job.src.kind, job.dest.kind) == (PathKind.TREE, PathKind.FILE):
        raise TransferError(f"dest: {place} is a file, and src is a directory")
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
        place = f"{job.request.dest.context}:{parent}"
        raise TransferError(f"dest: the directory {place} does not exist; make it first, or set 'create_parents'")
    if not job.dest.writable:
        raise TransferError(f"dest: {job.result.dest} cannot be written to by this user")
