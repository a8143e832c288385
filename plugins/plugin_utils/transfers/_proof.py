# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that what was sent of a tree arrived as it is in the source.

An archive is hashed where it is made and where it is unpacked, on its way. If both are the same, no entry in it was
damaged, and what has to be shown is that each was read whole: GNU tar tells if a file changed under its hands, and for
others the source is listed again. What is in doubt is read once more at both ends.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..streams._result import StepResult
from . import _shell
from ._digest import digest_of
from ._ends import NAMES
from ._errors import TransferError
from ._filter import Filter
from ._job import Job
from ._listing import Listing, read_listing
from ._manifest import Kind, key_of, kind_of, name_of, path_of, size_of
from ._plan import Plan, joined
from ._spool import Spool
from ._sums import missing_or_differing, sums

_DIRECTORY = Kind.DIRECTORY.value.encode()[0]
_SENT = b"S"[0]
_EMPTY = b" 0 "


def compare_digests(job: Job, senders: Sequence[StepResult], receivers: Sequence[StepResult], nonce: str) -> bool:
    """Return whether every archive is known to have arrived; raise TransferError if one is known to have changed."""
    for sender, receiver in zip(senders, receivers, strict=True):
        sent, came = digest_of(sender, nonce), digest_of(receiver, nonce)
        if sent is not None and came is not None and sent != came:
            raise TransferError(
                f"dest: {job.result.dest}: what arrived is not what was sent: the archive has the SHA-256 {sent} at "
                f"the source, and {came} at the destination",
                passing=True,
            )
        if sent is None or came is None:
            return False
    return True


def arrived_alike(plan: Plan, arrived: Listing) -> bool:
    """Return whether just what was planned arrived, and plainly with the same sizes and times; it looks no closer."""
    wanted = (line[1 : line.rindex(b"\0")] for line in plan.work.lines() if line[0] == _SENT)
    try:
        pairs = itertools.zip_longest(wanted, _without_directories(arrived.manifest.lines()))
        return all(itertools.starmap(operator.eq, pairs))
    except _EmptyDirectory:
        return False


class _EmptyDirectory(Exception):
    """A directory arrived, and nothing in it: nobody asked for that."""


def _without_directories(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Return what tells files and links; raise _EmptyDirectory for a directory that is on the way to none."""
    below = b""
    for line in lines:
        at = line.index(b"\0")
        if below and not line.startswith(below):
            raise _EmptyDirectory
        if line[at + 1] == _DIRECTORY:
            below = line[:at] + b"\x01" if at else b""
            continue
        below = b""
        yield line[: line.rindex(b"\0")]
    if below:
        raise _EmptyDirectory


def _age(line: bytes) -> list[bytes]:
    """Return size and time of change in the line of a file."""
    return line.split(b"\0", 2)[1].split(b" ")[2:]


def sent_files(plan: Plan) -> Iterator[bytes]:
    """Return the lines of the files that are sent."""
    return (line for line in plan.sent() if kind_of(line) is Kind.FILE)


def aged(plan: Plan, arrived: Listing) -> list[bytes]:
    """Return the keys of the files that have another size or time than was planned, in order."""
    pairs = joined(sent_files(plan), arrived.manifest.lines())
    return [name for name, line, there in pairs if line and there and _age(line) != _age(there)]


def said_to_be_empty(plan: Plan) -> list[bytes]:
    """Return the keys of the files of no size: those of some file systems hold something all the same."""
    return [key_of(line) for line in plan.sent() if _EMPTY in line and kind_of(line) is Kind.FILE and not size_of(line)]


def changed_at_source(job: Job, plan: Plan) -> list[bytes]:
    """Return the keys of what was sent and is not in the source any more as it was listed, in order.

    Times are whole seconds. What was changed in the second of the list, or later, may have been so again since.
    """
    ends, raw = job.ends, Spool()
    try:
        script = _shell.list_script(job.request.src.path)
        ends.report(ends.command("list source again", ends.src, script, NAMES, raw))
        now = read_listing(raw, Filter())
    finally:
        raw.close()
    try:
        pairs = joined(plan.sent(), now.manifest.lines())
        return [name for name, line, there in pairs if line and (line != there or _is_recent(line, job.src.began))]
    finally:
        now.close()


def _is_recent(line: bytes, began: int) -> bool:
    return kind_of(line) is Kind.FILE and int(_age(line)[1]) >= began


def differing(job: Job, root: str, lines: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    """Return the paths of the files whose content is not the same at the source and below a root at the destination.

    ``lines`` gives their lines in the order of the tree, each time it is asked.
    """
    names, one, other = Spool(), Spool(), Spool()
    try:
        names.write_all(map(name_of, lines()))
        if not names.file.tell():
            return
        ends, ok = job.ends, _shell.SUMMED
        ends.report(
            ends.command("checksums of source", ends.src, _shell.sums_script(job.request.src.path), NAMES, one, ok),
            ends.command("checksums of destination", ends.dest, _shell.sums_script(root), NAMES, other, ok),
            names=names,
        )
        first, second = ((path_of(key_of(line)) for line in lines()) for _end in range(2))
        yield from missing_or_differing(sums(first, one.chunks()), sums(second, other.chunks()))
    finally:
        for spool in (names, one, other):
            spool.close()
