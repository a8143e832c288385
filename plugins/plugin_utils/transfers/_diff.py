# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a single file is before and after a transfer, in lines for a user who asked for the difference."""

from __future__ import annotations

import datetime

from . import _shell
from ._ends import NAMES, End
from ._job import Job
from ._manifest import Entry
from ._spool import Spool

_DIGEST = 64


def checksum_at(job: Job, end: End, path: str) -> str | None:
    """Return the SHA-256 of a file at an end, None if it cannot be read; raise TransferError if nobody answers."""
    output = Spool()
    try:
        name = f"checksum of {end.role}"
        script = _shell.sum_file_script(path)
        job.ends.report(job.ends.command(name, end, script, NAMES, output, ok=(0, 1)))
        digest = b"".join(output.chunks())[:_DIGEST].decode(errors="replace")
        return digest if len(digest) == _DIGEST else None
    finally:
        output.close()


def described(entry: Entry, checksum: str | None, owned: bool) -> str:
    """Return a file line by line; ``owned`` with its owner, which only root keeps."""
    lines = [f"size: {entry.size}"]
    if checksum:
        lines.append(f"sha256: {checksum}")
    lines.append(f"mode: {entry.mode:04o}")
    if owned:
        lines.append(f"owner: {entry.uid}:{entry.gid}")
    lines.append(f"modified: {datetime.datetime.fromtimestamp(entry.mtime):%Y-%m-%d %H:%M:%S}")
    return "\n".join(lines) + "\n"


def note_before(job: Job, found: Entry | None, content: bool) -> None:
    """Note what is there, with its checksum if the ``content`` is going to change."""
    if job.request.diff and found is not None:
        checksum = checksum_at(job, job.ends.dest, job.root) if content else None
        job.result.before = job.result.after = described(found, checksum, job.dest.uid == 0)


def note_after(job: Job, wanted: Entry, content: bool) -> None:
    """Note what is there afterwards, in check mode would be."""
    if not job.request.diff:
        return
    checksum = job.result.checksum
    if content and checksum is None:
        checksum = checksum_at(job, job.ends.src, job.request.src.path)
    job.result.after = described(wanted, checksum if content else None, job.dest.uid == 0)
