# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves that what was sent of a tree arrived as it is in the source.

An archive is hashed where it is made and where it is unpacked, on its way. If both are the same, no entry in it was
damaged, and what has to be shown is that each was read whole: GNU tar tells if a file changed under its hands, and for
others each is looked at once more after it was read. What is in doubt is read again at both ends.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..streams._result import StepResult
from ..streams._spec import Step
from . import _shell
from ._digest import digest_of
from ._ends import NAMES, End
from ._errors import TransferError
from ._filter import Filter
from ._job import Job
from ._listing import Listing, printed_again, read_listing
from ._manifest import Kind, but_for_ctime, ctime_of, key, key_of, kind_of, name_of, path_of, size_of
from ._plan import Plan, joined
from ._spool import Spool
from ._sums import missing_or_differing, sums

_DIRECTORY = Kind.DIRECTORY.value.encode()[0]
_FILE = Kind.FILE.value.encode()[0]
_SENT = b"S"[0]


def compare_digests(job: Job, senders: Sequence[StepResult], receivers: Sequence[StepResult], nonce: str) -> bool:
    """Return whether every archive is known to have arrived; raise TransferError if one is known to have changed."""
    for sender, receiver in zip(senders, receivers, strict=True):
        sent, came = digest_of(sender, nonce), digest_of(receiver, nonce)
        if sent is not None and came is not None and sent != came:
            raise TransferError(
                f"dest: {job.result.dest}: what arrived is not what was sent: the archive has the checksum {sent} at "
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
    return [key_of(line) for line in sent_files(plan) if not size_of(line)]


def states(lines: Iterable[bytes]) -> str:
    """Return the SHA-256 of what is said of files that are as they were listed (``states`` in _shell.py)."""
    digest = hashlib.sha256()
    for line in lines:
        _name, common, _target, rest = line.split(b"\0")
        if common[0] == _FILE:
            digest.update(common[2:] + b" " + rest)
    return digest.hexdigest()


def changed_at_source(job: Job, plan: Plan, unchanged: bool) -> tuple[set[bytes], set[bytes]]:
    """Return the keys of what was sent and is not in the source any more as it was listed, and of what is doubtful.

    Times are whole seconds: a file that was changed in the second of the list may have been so again since. Nobody has
    to list the source again if it is known to be ``unchanged`` as far as a list tells.
    """
    changed, retouched = (set[bytes](), set[bytes]()) if unchanged else _not_as_listed(job, plan)
    began = job.src.began
    recent = {key_of(line) for line in sent_files(plan) if ctime_of(line) >= began} if plan.newest >= began else set()
    return changed, (recent | retouched) - changed


def _not_as_listed(job: Job, plan: Plan) -> tuple[set[bytes], set[bytes]]:
    """Return the keys of what was sent and is another now, and of what only was changed at some time since."""
    ends, raw = job.ends, Spool()
    try:
        script = _shell.list_script(job.request.src.path)
        ends.report(ends.command("list source again", ends.src, script, NAMES, raw))
        if printed_again(raw) == job.src.printed:
            return set(), set()
        now = read_listing(raw, Filter())
    finally:
        raw.close()
    changed: set[bytes] = set()
    retouched: set[bytes] = set()
    try:
        for name, line, there in joined(plan.sent(), now.manifest.lines()):
            if line and line != there:
                alike = there is not None and but_for_ctime(line) == but_for_ctime(there)
                (retouched if alike else changed).add(name)
    finally:
        now.close()
    return changed, retouched


@dataclass(frozen=True)
class Evidence:
    """What is known of a tree that was sent, besides what arrived."""

    whole: bool
    """Whether all that arrived is what was read, byte by byte."""
    steady: bool
    """Whether whoever read the files would have told if one had changed."""
    unchanged: bool
    """Whether the files were looked at once more after they were read, and were as they had been listed."""


def wrong_files(job: Job, plan: Plan, arrived: Listing, place: str, known: Evidence, *, alike: bool) -> list[bytes]:
    """Return the paths of the files that did not arrive as they are in the source, in order.

    They are below ``place`` at the destination, ``alike`` if they have the sizes and times that were planned. Only what
    is in doubt is read again.
    """
    if job.request.checksum or not known.whole:
        return list(differing(job, place, lambda: sent_files(plan)))
    doubtful = {*(said_to_be_empty(plan) if plan.empty else ()), *(() if alike else aged(plan, arrived))}
    if not known.steady:
        doubtful.update(*changed_at_source(job, plan, known.unchanged))
    return _differing_of(job, plan, place, doubtful)


def wrong_copies(job: Job, plan: Plan, arrived: Listing, place: str, known: Evidence, *, alike: bool) -> list[bytes]:
    """Return the same where ``cp`` has copied the files."""
    if not plan.files:
        return []
    if job.request.checksum:
        return list(differing(job, place, lambda: sent_files(plan)))
    changed, recent = changed_at_source(job, plan, known.unchanged)
    changed.update(() if alike else aged(plan, arrived))
    return sorted([*map(path_of, changed), *_differing_of(job, plan, place, recent - changed)], key=key)


def _differing_of(job: Job, plan: Plan, place: str, names: set[bytes]) -> list[bytes]:
    """Return the paths of those files, by their keys, whose content differs."""
    if not names:
        return []
    keys = [name + b"\0" for name in sorted(names)]

    def lines() -> Iterator[bytes]:
        return (line for _name, line, doubt in joined(sent_files(plan), keys) if line and doubt)

    return list(differing(job, place, lines))


def differing(job: Job, root: str, lines: Callable[[], Iterable[bytes]]) -> Iterator[bytes]:
    """Return the paths of the files whose content is not the same at the source and below a root at the destination.

    ``lines`` gives their lines in the order of the tree, each time it is asked.
    """
    names, one, other = Spool(), Spool(), Spool()
    try:
        names.write_all(map(name_of, lines()))
        if not names.file.tell():
            return
        ends = job.ends
        mine = _sums_at(job, ends.src, job.request.src.path, one)
        ends.report(mine, _sums_at(job, ends.dest, root, other), names=names)
        first, second = ((path_of(key_of(line)) for line in lines()) for _end in range(2))
        yield from missing_or_differing(sums(first, one.chunks()), sums(second, other.chunks()))
    finally:
        for spool in (names, one, other):
            spool.close()


def _sums_at(job: Job, end: End, root: str, output: Spool) -> Step:
    """Return the step that prints the checksums of the files that it is told, below a root."""
    name = f"checksums of {end.role}"
    return job.ends.command(name, end, _shell.sums_script(root), NAMES, output, _shell.SUMMED)
