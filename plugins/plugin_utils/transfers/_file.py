# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer of one file: a stream to a destination that appears whole or not at all."""

from __future__ import annotations

from ..streams._shell import path_word
from ..streams._spec import Step, StepKind
from . import _shell
from ._diff import note_after, note_before
from ._ends import NAMES
from ._errors import TransferError
from ._filter import Filter
from ._job import Job
from ._listing import Listing, read_listing
from ._manifest import Entry, from_line
from ._spool import Spool


def send_file(job: Job) -> None:
    """Bring the destination to what the source is, and note it in the result; raise TransferError."""
    wanted, found = _entry(job.src), _entry(job.dest)
    if wanted is None:
        raise TransferError(f"src: {job.request.src} went away while it was looked at")
    result, owns = job.result, job.dest.uid == 0
    same = found is not None and _same(job, wanted, found)
    if not same:
        note_before(job, found, content=True)
        if job.request.check_mode:
            result.files, result.bytes, result.changed = 1, wanted.size, True
        else:
            _stream(job, wanted, owns)
        note_after(job, wanted, content=True)
        return
    result.unchanged = 1
    if found is None or not (owns or found.uid == job.dest.uid):
        return
    differs = wanted.mode != found.mode or wanted.mtime != found.mtime
    if differs or (owns and (wanted.uid, wanted.gid) != (found.uid, found.gid)):
        note_before(job, found, content=False)
        result.attributes, result.unchanged, result.changed = 1, 0, True
        if not job.request.check_mode:
            _set(job, wanted, owns)
        note_after(job, wanted, content=False)


def _entry(listing: Listing) -> Entry | None:
    line = next(listing.manifest.lines(), None)
    return None if line is None else from_line(line)


def _same(job: Job, wanted: Entry, found: Entry) -> bool:
    if wanted.size != found.size:
        return False
    if not job.request.checksum:
        return wanted.mtime == found.mtime
    one, other = Spool(), Spool()
    try:
        ends, src = job.ends, job.request.src
        ends.report(
            ends.command("checksum of source", ends.src, _shell.sum_file_script(src.path), NAMES, one),
            ends.command("checksum of destination", ends.dest, _shell.sum_file_script(job.root), NAMES, other),
        )
        first, second = (b"".join(spool.chunks())[:64] for spool in (one, other))
        return len(first) == 64 and first == second
    finally:
        one.close()
        other.close()


def _stream(job: Job, wanted: Entry, owns: bool) -> None:
    ends = job.ends
    read = Step("read", StepKind.SOURCE, ends.src.role, src=job.request.src.path)
    write = Step(
        "write",
        StepKind.SINK,
        ends.dest.role,
        dest=job.root,
        input=read.name,
        mode=f"{wanted.mode:04o}",
        owner=str(wanted.uid) if owns else None,
        group=str(wanted.gid) if owns else None,
        mtime=wanted.mtime,
        create_parents=job.request.create_parents,
    )
    done = ends.run([read, write], metered=True)
    job.result.files, job.result.changed = 1, done.changed
    job.result.bytes, job.result.checksum = done.sinks[0].bytes, done.sinks[0].checksum
    now = _look_again(job)
    before = (wanted.size, wanted.mtime, wanted.inode)
    if now is None or (now.size, now.mtime, now.inode) != before or job.result.bytes != wanted.size:
        job.result.unstable = (job.request.src.path,)
        raise TransferError(
            f"src: {job.request.src} changed while it was read; {job.result.dest} holds what was read. "
            "Run it again when nobody writes to it."
        )


def _look_again(job: Job) -> Entry | None:
    raw = Spool()
    try:
        script = _shell.list_script(job.request.src.path)
        job.ends.report(job.ends.command("list source", job.ends.src, script, NAMES, raw))
        listing = read_listing(raw, Filter())
        try:
            return _entry(listing)
        finally:
            listing.close()
    finally:
        raw.close()


def _set(job: Job, wanted: Entry, owns: bool) -> None:
    word = path_word(job.root)
    owner = f"chown {wanted.uid}:{wanted.gid} {word} && " if owns else ""
    # the word of an assignment in front: a script is not looked for as a program
    script = f"LC_ALL=C; {owner}chmod {wanted.mode:04o} {word} && touch -c -d @{wanted.mtime} {word}\n"
    job.ends.report(job.ends.command("attributes", job.ends.dest, script, NAMES))
