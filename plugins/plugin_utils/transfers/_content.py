# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether two files have the same content, as both ends say."""

from __future__ import annotations

from . import _shell
from ._ends import NAMES
from ._job import Job
from ._spool import Spool


def same_sums(job: Job, path: str) -> bool:
    """Return whether a file at the destination has the SHA-256 of the source; raise TransferError."""
    one, other = Spool(), Spool()
    try:
        ends, src = job.ends, job.request.src
        ends.report(
            ends.command("checksum of source", ends.src, _shell.sum_file_script(src.path), NAMES, one),
            ends.command("checksum of destination", ends.dest, _shell.sum_file_script(path), NAMES, other),
        )
        first, second = (b"".join(spool.chunks())[:64] for spool in (one, other))
        return len(first) == 64 and first == second
    finally:
        one.close()
        other.close()
