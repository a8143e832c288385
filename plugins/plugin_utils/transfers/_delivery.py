# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the plan of a tree into effect: send to a directory beside it, prove what arrived, rename it into place."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..streams._marker import new_nonce
from ..streams._spec import Step
from . import _shell
from ._apply import FEW, write_commands
from ._archive import write_archive
from ._continue import keeps, left_by, staging_of, take_over, without
from ._ends import NAMES
from ._errors import TransferError
from ._filter import Filter
from ._how import How, choose
from ._job import Job
from ._listing import Listing, PathKind, listed_lines, read_listing
from ._manifest import Kind, from_line, key_of, kind_of, name_of, path_of
from ._plan import Plan, Rules, joined
from ._progress import Member
from ._spool import Spool
from ._sums import agree, by_key, missing_or_differing, sums, unasked, unproven

_COPIERS, _MOST_COPIED = 8, 500
"""What is copied where it is goes to so many processes, if no more entries fall to each than that."""
_FEW_SUMS = 50_000
"""So many checksums, of about 100 bytes each, are held by a shell at the destination at most."""
_HEAD = 1024
"""Bytes that a file takes up in an archive beside its content, about."""


def _age(line: bytes) -> list[bytes]:
    """Return size and time of change in the line of a file."""
    return line.split(b"\0", 2)[1].split(b" ")[2:]


class Delivery:
    """Carries out one plan, once."""

    def __init__(self, job: Job, plan: Plan, rules: Rules) -> None:
        self._job = job
        self._plan = plan
        self._rules = rules
        self._staging = staging_of(job)
        self._others = [name for name in left_by(job) if name != self._staging]
        self._sparse = job.src.tar == job.dest.tar == "gnu"
        self._fresh = job.dest.kind is PathKind.ABSENT
        """Whether the root is to be made."""
        self._makes = "root" if self._fresh else "staging"
        """What is to be made before anything is unpacked."""
        self._kept: Spool | None = None
        """The keys of what an earlier transfer has sent; None if there was none."""
        self._came: list[bytes] = []
        """What came to the source after it was listed, and was copied with the rest."""

    def run(self) -> list[bytes]:
        """Do it all and return the paths of what is not proven, and so as it was; raise TransferError.

        The staging directory goes, unless there is much in it and the transfer was cut.
        """
        try:
            lost = self._send()
            self._job.result.changed = True
            self._apply(lost)
        except TransferError as exc:
            if not (keeps(self._job, self._plan) and (exc.passing or not self._job.ends.has(0))):
                self._clean()
                raise
            place = f"{self._job.result.dest.rstrip('/')}/{self._staging}"
            text = f"{str(exc).rstrip('.')}. What has arrived is kept in {place}; running it again goes on from there."
            raise TransferError(text, passing=exc.passing) from exc
        except BaseException:
            if not keeps(self._job, self._plan):
                self._clean()
            raise
        if self._plan.attributed > FEW:
            self._set_directories()
        return lost

    def _clean(self) -> None:
        if self._plan.stages:
            self._job.ends.clean(self._job.root, [self._staging, *self._others], empty_root=self._fresh)

    # -- sent ----------------------------------------------------------------------------------------------------

    def _send(self) -> list[bytes]:
        """Send what is to be sent to the staging directory; return the paths of what is not proven to be right.

        The source hashes its files beside the archive that it makes of them, the destination what it unpacked.
        """
        names, files, here, there = Spool(), Spool(), Spool(), Spool()
        try:
            self._kept = self._take_over()
            how = choose(self._job, self._plan)
            hashes = self._plan.files > 0 and (self._job.request.checksum or not how.copies)
            if hashes:
                files.write_all(map(name_of, self._files()))
            names.write_all(map(name_of, self._tops() if how.copies else self._missing()))
            if not names.file.tell() and self._kept is None:
                return []
            separator = f"manifold-{new_nonce()}" if hashes else None
            self._stream(how, names, files, here, there, separator)
            self._makes = ""
            return self._unproven(how, here, there, separator)
        finally:
            for spool in (names, files, here, there, self._kept):
                if spool is not None:
                    spool.close()

    def _missing(self) -> Iterable[bytes]:
        """Return the lines of what has to be sent now."""
        return self._plan.sent() if self._kept is None else without(self._plan.sent(), self._kept)

    def _tops(self) -> Iterable[bytes]:
        """Return the lines of what is new in the root."""
        return (line for _work, line in self._plan.lines() if b"\x01" not in key_of(line))

    def _take_over(self) -> Spool | None:
        """Go on with what a transfer has left, if it has; return the keys of what needs not be sent."""
        self._job.result.resumed = 0
        left = left_by(self._job) if keeps(self._job, self._plan) else []
        kept = take_over(self._job, self._plan, left[0]) if left else None
        if kept is not None:
            self._makes = ""
            self._others = left[1:]
        elif self._staging in left_by(self._job):
            self._job.ends.clean(self._job.root, [self._staging], empty_root=False)
        return kept

    def _stream(self, how: How, names: Spool, files: Spool, here: Spool, there: Spool, separator: str | None) -> None:
        job, ends = self._job, self._job.ends
        src, root = job.request.src.path, job.root
        job.result.streams, job.result.compress = how.shards, how.packer
        if how.packer is None and how.shards == 1:  # else nobody knows where in the tree a stream is
            ends.progress.expect(self._plan.files, self._plan.size, self._members)
        steps = []
        if separator is not None:
            listed = ends.names(files, "names of files")
            script = _shell.sums_script(src)
            steps = [listed, ends.command("checksums of source", ends.src, script, listed.name, here, _shell.SUMMED)]
        pack = _shell.pack_script(src, self._sparse, how.packer, several=job.dest.tar == "gnu")
        make = _shell.make_script(root, self._staging, self._makes, job.request.create_parents)
        if how.copies:
            source = ends.names(names)
            batch = min(_MOST_COPIED, 1 + sum(1 for _line in self._tops()) // _COPIERS)
            copy = _shell.copy_script(src, make, batch, separator)
            ends.run([*steps, source, ends.command("copy", ends.dest, copy, source.name, there)])
            return
        if how.shards == 1:
            few = self._plan.files <= _FEW_SUMS
            stage = _shell.stage_script(make, separator, how.packer, few=few)
            ends.run([*steps, *self._chain(names, pack, stage, there)], metered=True)
            return
        ends.report(ends.command("make staging directory", ends.dest, make, NAMES))
        unpack = _shell.unpack_script(f"{root.rstrip('/')}/{self._staging}", how.packer)
        shards = self._shards(how.shards)
        try:
            for number, shard in enumerate(shards, start=1):
                steps += self._chain(shard, pack, unpack, None, f" {number}")
            ends.run(steps, metered=True)
        finally:
            for shard in shards:
                shard.close()
        make = _shell.make_script(root, self._staging, "", parents=False)
        ends.report(ends.command("list what arrived", ends.dest, make + _shell.report_script(separator), NAMES, there))

    def _chain(self, names: Spool, pack: str, unpack: str, output: Spool | None, suffix: str = "") -> list[Step]:
        """Return the steps that send the named entries, without what is in them."""
        ends = self._job.ends
        source = ends.names(names, f"{NAMES}{suffix}")
        sender = ends.command(f"pack{suffix}", ends.src, pack, source.name, ok=_shell.PACKED)
        receiver = ends.command(f"unpack{suffix}", ends.dest, unpack, sender.name, output)
        # with busybox it costs much to count, and whether everything arrived is seen by what is there, too
        return [source, sender, replace(receiver, counts=self._job.dest.tar != "busybox")]

    def _shards(self, count: int) -> list[Spool]:
        """Return the names of what is sent in so many lists, of about the same size together."""
        shards = [Spool() for _each in range(count)]
        share, weight = max(1, -(-(self._plan.size + self._plan.files * _HEAD) // count)), 0
        for line in self._missing():
            entry = from_line(line)
            shards[min(count - 1, weight // share)].write(name_of(line))
            weight += _HEAD + entry.size
        return shards

    def _files(self) -> Iterator[bytes]:
        """Return the lines of the files that are sent."""
        return (line for line in self._plan.sent() if kind_of(line) is Kind.FILE)

    def _members(self) -> Iterator[Member]:
        for line in self._plan.sent():
            entry = from_line(line)
            yield Member(len(entry.path) + 2, entry.size, entry.kind is Kind.FILE)

    def _unproven(self, how: How, here: Spool, there: Spool, separator: str | None) -> list[bytes]:
        """Return the paths of what did not arrive as it is in the source now."""
        mark = separator.encode() + b"\n" if separator else b""
        end = there.find(mark) if mark else None
        if end is not None and end < 0:
            raise TransferError(f"dest: {self._job.result.dest}: the list of what arrived is not whole")
        arrived = read_listing(there, Filter(), end)
        try:
            if how.copies:
                self._came = list(self._unasked(arrived))
            else:
                self._refuse_unasked(arrived)
            if end is not None:
                wrong = self._differing(here, there, end, end + len(mark))
            else:
                wrong = self._changed(arrived) if self._plan.files else []
            lost = list(unproven(self._plan.sent(), arrived.manifest.lines(), wrong))
            self._refuse_cut(lost, here, arrived)
            return lost
        finally:
            arrived.close()

    def _changed(self, arrived: Listing) -> list[bytes]:
        """Return the paths of the files that are not as long and old as they were, here or there, in order."""
        ends, raw = self._job.ends, Spool()
        try:
            script = _shell.list_script(self._job.request.src.path)
            ends.report(ends.command("list source again", ends.src, script, NAMES, raw))
            now = read_listing(raw, Filter())
        finally:
            raw.close()
        try:
            wrong = {
                name for name, line, there in joined(self._plan.sent(), now.manifest.lines()) if line and line != there
            }
        finally:
            now.close()
        for name, line, there in joined(self._plan.sent(), arrived.manifest.lines()):
            if line and kind_of(line) is Kind.FILE and (there is None or _age(line) != _age(there)):
                wrong.add(name)
        return [path_of(name) for name in sorted(wrong)]

    def _refuse_cut(self, lost: list[bytes], here: Spool, arrived: Listing) -> None:
        """Raise TransferError if the last ones of all are lost, of which the source could read every file."""
        last: deque[bytes] = deque((key_of(line) for line in self._plan.sent()), maxlen=max(1, len(lost)))
        if [path_of(name) for name in last] != lost or sum(1 for _line in here.lines()) < self._plan.files:
            return
        if not any(key_of(line) in last for line in arrived.manifest.lines()):
            raise TransferError(
                f"dest: {self._job.result.dest}: the archive was cut: the last {len(lost)} entries did not arrive",
                passing=True,
            )

    def _unasked(self, arrived: Listing) -> Iterator[bytes]:
        return unasked((line for _work, line in self._plan.lines()), arrived.manifest.lines())

    def _refuse_unasked(self, arrived: Listing) -> None:
        """Raise TransferError if there is more in the staging directory than the plan has for it."""
        extra = next(self._unasked(arrived), None)
        if extra is not None:
            raise TransferError(
                f"src: {self._job.request.src} sent {extra.decode(errors='backslashreplace')!r}, which was not asked "
                f"for; nothing was put in place at {self._job.result.dest}. What is tar there?"
            )

    def _differing(self, here: Spool, there: Spool, end: int, start: int) -> list[bytes]:
        """Return the paths of the files whose checksums are not known to be the same."""
        if agree(map(key_of, self._files()), here.lines(), there.lines(start)):
            return []
        source = sums((path_of(key_of(line)) for line in self._files()), here.chunks())
        listed = (path_of(key_of(line)) for line in listed_lines(there, end) if kind_of(line) is Kind.FILE)
        arrived = sums(listed, there.chunks(start))
        return list(missing_or_differing(source, by_key(arrived)))

    # -- put in place ----------------------------------------------------------------------------------------------

    def _apply(self, lost: list[bytes]) -> None:
        """Rename, link, set and remove."""
        job, ends = self._job, self._job.ends
        commands = Spool()
        try:
            write_commands(
                self._plan,
                self._rules,
                [self._staging, *self._others],
                [*lost, *self._came],
                commands.write,
                perl=_shell.PERL in job.dest.tools,
            )
            if not commands.file.tell() and not self._plan.stages:
                return
            script = _shell.apply_script(job.root, self._makes == "root", job.request.create_parents)
            ends.report(ends.command("put in place", ends.dest, script, NAMES), names=commands)
        finally:
            commands.close()

    def _set_directories(self) -> None:
        """Set the attributes of directories, which everything before may have changed, by an archive of them."""
        ends, archive = self._job.ends, Spool()
        try:
            write_archive((from_line(line[1:]) for line in self._plan.directories.lines()), archive.write)
            source = ends.names(archive, "archive of directories")
            unpack = _shell.unpack_script(self._job.root)
            ends.run([source, ends.command("attributes of directories", ends.dest, unpack, source.name)])
        finally:
            archive.close()
