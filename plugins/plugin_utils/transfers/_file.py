# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer of one file: compared, and sent by what suits it; it appears whole or not at all."""

from __future__ import annotations

from ..streams._shell import path_word
from ..streams._spec import Step, StepKind
from ._content import same_sums
from ._copy import copy_file, is_one_place
from ._diff import note_after, note_before
from ._ends import NAMES
from ._errors import TransferError
from ._job import Job
from ._large import LARGE, WRITE, raise_failure, send_large, state_of
from ._listing import Listing
from ._manifest import Entry, from_line


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
            _send(job, wanted, owns)
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
    return same_sums(job, job.root)


def _send(job: Job, wanted: Entry, owns: bool) -> None:
    """Send the file by what suits it."""
    result, request = job.result, job.request
    done = copy_file(job, wanted) if is_one_place(job) and request.rate_limit is None else None
    if done is None and wanted.size >= LARGE and (request.resume or request.streams > 1):
        done = send_large(job, wanted)
    if done is None:
        done = _stream(job, wanted, owns)
    result.files, result.changed = 1, done
    result.bytes = wanted.size - result.resumed


def _stream(job: Job, wanted: Entry, owns: bool) -> bool:
    ends = job.ends
    read = Step("read", StepKind.SOURCE, ends.src.role, src=job.request.src.path, state=state_of(wanted))
    write = Step(
        WRITE,
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
    done = ends.attempt([read, write], metered=True)
    raise_failure(job, done)
    job.result.checksum = done.sinks[0].checksum
    return done.changed


def _set(job: Job, wanted: Entry, owns: bool) -> None:
    word = path_word(job.root)
    owner = f"chown {wanted.uid}:{wanted.gid} {word} && " if owns else ""
    # the word of an assignment in front: a script is not looked for as a program
    script = f"LC_ALL=C; {owner}chmod {wanted.mode:04o} {word} && touch -c -d @{wanted.mtime} {word}\n"
    job.ends.report(job.ends.command("attributes", job.ends.dest, script, NAMES))
