# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the plan of a tree into effect: send to a directory beside it, prove what arrived, rename it into place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..contexts._base import ContextKind
from ..streams._marker import new_nonce
from ..streams._result import PipelineResult, StepResult
from ..streams._spec import Step
from . import _shell
from ._apply import few, write_commands
from ._archive import write_archive
from ._continue import keeps, left_by, marked, staging_of, take_over, without
from ._digest import digest_of
from ._ends import NAMES
from ._errors import TransferError
from ._filter import Filter
from ._how import How, choose
from ._job import Job
from ._listing import Listing, PathKind, Reading
from ._manifest import from_line, key_of, name_of
from ._plan import Plan, Rules
from ._progress import Member
from ._proof import Evidence, arrived_alike, compare_digests, states, wrong_copies, wrong_files
from ._spool import Spool
from ._sums import unasked, unproven

_COPIERS, _MOST_COPIED = 8, 500
"""What is copied where it is goes to so many processes, if no more entries fall to each than that."""
PACK, UNPACK, PLACE = "pack", "unpack", "put in place"
"""The steps that make an archive, take it apart, and give what was in it its names."""
_HEAD = 1024
"""Bytes that a file takes up in an archive beside its content, about."""


def _steps(result: PipelineResult, name: str) -> list[StepResult]:
    """Return what came of the steps of a kind, of several archives in their order."""
    return [step for step in result.steps if step.name.split(" ")[0] == name]


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
        self._states = new_nonce()
        """By what a source is known to speak of the states of its files."""
        self._came: list[bytes] = []
        """What came to the source after it was listed, and was copied with the rest."""

    def run(self) -> list[bytes]:
        """Do it all and return the paths of what is not proven, and so as it was; raise TransferError.

        The staging directory goes, unless there is much in it and the transfer was cut.
        """
        try:
            lost = self._send()
            self._job.result.changed = self._plan.changes
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
        if self._plan.attributed > few(perl=self._job.dest.has.perl):
            self._set_directories()
        return lost

    def _clean(self) -> None:
        if self._plan.stages:
            self._job.ends.clean(self._job.root, [self._staging, *self._others], empty_root=self._fresh)

    # -- sent ----------------------------------------------------------------------------------------------------

    def _send(self) -> list[bytes]:
        """Send what is to be sent to the staging directory; return the paths of what is not proven to be right."""
        fewer, there = Spool(), Spool()
        try:
            self._kept = self._take_over()
            how = choose(self._job, self._plan)
            names = self._plan.names
            if how.copies or self._kept is not None:
                names = fewer
                names.write_all(map(name_of, self._tops() if how.copies else self._missing()))
            if not names.file.tell() and self._kept is None:
                return []
            # what arrives is listed when all of it is there: what comes then needs a shell
            reading = Reading(there, Filter(), lambda: self._job.ends.expect(self._job.ends.dest, PLACE))
            try:
                known = self._copy(names, there) if how.copies else self._stream(how, names, there)
            except BaseException:
                reading.drop()
                raise
            self._makes = ""
            arrived = reading.done()
            try:
                return self._unproven(arrived, known, copied=how.copies)
            finally:
                arrived.close()
        finally:
            for spool in (fewer, there, self._kept):
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

    def _copy(self, names: Spool, there: Spool) -> Evidence:
        """Have ``cp`` copy all of it, list what arrived, and return what is known of it besides."""
        job, ends = self._job, self._job.ends
        ends.progress.expect(self._plan.files, self._plan.size, self._members)
        source = ends.names(names)
        count = sum(chunk.count(b"\0") for chunk in names.chunks())
        batch = min(_MOST_COPIED, 1 + count // _COPIERS)
        nonce = new_nonce()
        copy = _shell.copy_script(job.request.src.path, self._make(), batch, nonce, job.src.form)
        done = ends.run([source, marked(ends.command("copy", ends.dest, copy, source.name, there), job)])
        return Evidence(False, False, digest_of(done.steps[-1], nonce) == job.src.printed)

    def _stream(self, how: How, names: Spool, there: Spool) -> Evidence:
        """Send archives, list what arrived, and return what is known of it besides."""
        job, ends = self._job, self._job.ends
        job.result.streams, job.result.compress = how.shards, how.packer
        if how.packer is None and how.shards == 1:  # else nobody knows where in the tree a stream is
            ends.progress.expect(self._plan.files, self._plan.size, self._members)
        nonce, dest = new_nonce(), replace(job.dest.has, blake=how.blake)
        if how.shards == 1:
            unpack = _shell.stage_script(self._make(), nonce, dest, how.packer, roots=self._plan.roots)
            return self._flow(self._chain(names, how, unpack, nonce, there), nonce)
        self._make_directories()
        unpack = _shell.shard_script(self._place, nonce, dest, how.packer, roots=self._plan.roots)
        shards = self._shards(how.shards)
        try:
            numbered = enumerate(shards, start=1)
            chains = [self._chain(shard, how, unpack, nonce, None, f" {number}") for number, shard in numbered]
            known = self._flow(list(itertools.chain.from_iterable(chains)), nonce)
        finally:
            for shard in shards:
                shard.close()
        ends.report(ends.command("list what arrived", ends.dest, _shell.list_script(self._place), NAMES, there))
        return known

    def _make_directories(self) -> None:
        """Make the staging directory and those in it: of two tars that make one at the same time, one fails."""
        folders = Spool()
        try:
            parents = (name_of(line).rpartition(b"/")[0] + b"\0" for line in self._missing())
            folders.write_all(folder for folder, _entries in itertools.groupby(parents))
            script = self._make() + _shell.MAKE_NAMED
            made = self._job.ends.command("make staging directory", self._job.ends.dest, script, NAMES)
            self._job.ends.report(marked(made, self._job), names=folders)
        finally:
            folders.close()

    def _make(self) -> str:
        """Return the script that makes the staging directory, if it is not there, and goes to it."""
        return _shell.make_script(self._job.root, self._staging, self._makes, self._job.request.create_parents)

    @property
    def _place(self) -> str:
        """The staging directory."""
        return f"{self._job.root.rstrip('/')}/{self._staging}"

    def _flow(self, steps: list[Step], nonce: str) -> Evidence:
        """Send archives, and return what their steps tell."""
        job, ends = self._job, self._job.ends
        result = ends.attempt(steps, metered=True)
        packs = _steps(result, PACK)
        whole = compare_digests(job, packs, _steps(result, UNPACK), nonce)
        if result.failed_step is not None:
            raise ends.failure(result)
        # GNU tar tells by its exit status that a file changed under its hands
        tells = job.src.tar == "gnu"
        changed = tells and any(step.rc != 0 for step in packs)
        known = whole and not changed and self._kept is None
        # several archives have their files' states each for themselves
        unchanged = not tells and len(packs) == 1 and digest_of(packs[0], self._states) == states(self._missing())
        return Evidence(known, tells, unchanged)

    def _chain(
        self, names: Spool, how: How, unpack: str, nonce: str, output: Spool | None, suffix: str = ""
    ) -> list[Step]:
        """Return the steps that send the named entries, without what is in them."""
        job, ends = self._job, self._job.ends
        several = job.dest.tar == "gnu"
        blocks = ends.src.context.kind is ContextKind.KUBERNETES
        pack = _shell.pack_script(
            job.request.src.path,
            nonce,
            replace(job.src.has, blake=how.blake),
            how.packer,
            sparse=self._sparse,
            several=several,
            blocks=blocks,
            states=self._states,
        )
        source = ends.names(names, f"{NAMES}{suffix}")
        sender = ends.command(f"{PACK}{suffix}", ends.src, pack, source.name, ok=_shell.PACKED)
        receiver = marked(ends.command(f"{UNPACK}{suffix}", ends.dest, unpack, sender.name, output), job)
        # its checksum says whether all of it has arrived; what does is nothing yet
        return [source, sender, replace(receiver, counts=False, ends_alone=True)]

    def _shards(self, count: int) -> list[Spool]:
        """Return the names of what is sent in so many lists, of about the same size together."""
        shards = [Spool() for _each in range(count)]
        share, weight = max(1, -(-(self._plan.size + self._plan.files * _HEAD) // count)), 0
        for line in self._missing():
            entry = from_line(line)
            shards[min(count - 1, weight // share)].write(name_of(line))
            weight += _HEAD + entry.size
        return shards

    def _members(self) -> Iterator[Member]:
        for line in self._plan.sent():
            name, common, _rest = line.split(b"\0", 2)
            yield Member(len(name) + 2, int(common.split(b" ")[2]), common[:1] == b"f")

    def _unproven(self, arrived: Listing, known: Evidence, *, copied: bool) -> list[bytes]:
        """Return the paths of what did not arrive as it is in the source now."""
        alike = arrived_alike(self._plan, arrived)
        if copied:
            self._came = [] if alike else list(self._unasked(arrived))
            wrong = wrong_copies(self._job, self._plan, arrived, self._place, known, alike=alike)
        else:
            if not alike:
                self._refuse_unasked(arrived)
            wrong = wrong_files(self._job, self._plan, arrived, self._place, known, alike=alike)
        return list(unproven(self._plan.sent(), arrived.manifest.lines(), wrong)) if wrong or not alike else []

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
                perl=job.dest.has.perl,
            )
            if not commands.file.tell() and not self._plan.stages:
                return
            script = _shell.apply_script(job.root, self._makes == "root", job.request.create_parents)
            step = marked(ends.command(PLACE, ends.dest, script, NAMES), job)
            ends.report(replace(step, ends_alone=True), names=commands)  # what is cut of a line is not done
        finally:
            commands.close()

    def _set_directories(self) -> None:
        """Set the attributes of directories, which everything before may have changed, by an archive of them."""
        ends, archive = self._job.ends, Spool()
        try:
            write_archive((from_line(line[1:]) for line in self._plan.directories.lines()), archive.write)
            source = ends.names(archive, "archive of directories")
            unpack = _shell.unpack_script(self._job.root, self._job.dest.has)
            ends.run(
                [source, marked(ends.command("attributes of directories", ends.dest, unpack, source.name), self._job)]
            )
        finally:
            archive.close()
