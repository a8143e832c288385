# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer of one large file: parts of it go side by side into a partial file, which survives a cut.

The partial file stands beside the destination, for its owner only. A later run, or a repetition, finds it by its name,
makes it its own, has both ends compute checksums of what is there, and sends what is not proven to be right. It gets
the name of the destination when every part is proven and the source is what it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..operations._identity import new_operation_id
from ..streams._extents import Extent, total
from ..streams._leftovers import owner
from ..streams._pipeline import COMMIT_SECONDS, Notes
from ..streams._ranges import CHANGED, CHANGED_BEFORE, CHANGED_MEANWHILE
from ..streams._result import PipelineResult
from ..streams._shell import Sink
from ..streams._spec import Step, StepKind
from . import _file_shell as shell
from ._ends import NAMES
from ._errors import TransferError
from ._job import Job
from ._manifest import Entry
from ._partial import Left, judge, origin, owner_in
from ._segments import SEGMENT, common, leading, missing, segments, spread, whole, with_data
from ._spool import Spool

LARGE = 64 << 20
"""Bytes from which on a file is sent so. Below, sending it again takes about as long as proving what is there."""
WRITE = "write"
"""The step that writes a file, or one of its parts."""
_ERRAND_SECONDS = 60.0
_MOST_EXTENTS = 2000
_STREAM_LEAST = 1 << 20


class SourceChangedError(TransferError):
    """The source is not what it was when the transfer began; nothing is put in place."""


class _Continued(Exception):
    """There is a partial file to go on with."""

    def __init__(self, left: Left) -> None:
        super().__init__(left.claimed)
        self.left = left


class _HasHoles(Exception):
    """The source is sparse, and that was not known."""


def state_of(entry: Entry) -> str:
    """Return how a script states what a source is (streams/_ranges.py), as far as a list tells."""
    return f"{entry.size} {entry.mtime} {entry.inode.decode()}"


def sink_of(job: Job, wanted: Entry, operation: str) -> Sink:
    """Return the destination with the attributes of the source."""
    owns = job.dest.uid == 0
    return Sink(
        job.root,
        operation,
        mode=f"{wanted.mode:04o}",
        owner=str(wanted.uid) if owns else None,
        group=str(wanted.gid) if owns else None,
        create_parents=job.request.create_parents,
        mtime=wanted.mtime,
    )


def send_large(job: Job, wanted: Entry) -> bool:
    """Bring a file to the destination and return whether that changed; raise TransferError."""
    return _Transfer(job, wanted).run()


class _Transfer:
    def __init__(self, job: Job, wanted: Entry) -> None:
        self._job = job
        self._size = wanted.size
        self._state = state_of(wanted)
        self._origin = origin(job.request.src, job.root, wanted.size, wanted.mtime)
        operation = self._origin.mine() if job.request.resume else f"{new_operation_id()}.{owner()}"
        self._sink = sink_of(job, wanted, operation)
        self._data = whole(wanted.size)
        """Where the file has data, as far as that is known."""
        self._sparse = False
        self._mapped = False
        self._in_order = False
        """Whether all of it was written from start to end."""

    def run(self) -> bool:
        job = self._job
        job.result.bytes = 0
        try:
            try:
                self._send_all()
            except _Continued as exc:
                self._go_on(exc.left)
        except SourceChangedError:
            self._remove()
            raise
        except TransferError as exc:
            raise TransferError(self._cut(str(exc)), passing=exc.passing) from exc
        return self._finish()

    # -- sending -------------------------------------------------------------------------------------------------

    def _send_all(self) -> None:
        try:
            self._send(self._data)
        except _HasHoles:
            self._look_for_data()
            self._send(self._data)

    def _look_for_data(self) -> None:
        ends, raw = self._job.ends, Spool()
        try:
            script = shell.holes_script(self._job.request.src.path)
            ends.report(ends.command("look for holes", ends.src, script, NAMES, raw))
            data = shell.read_data(b"".join(raw.chunks()).decode(errors="replace"))
        finally:
            raw.close()
        self._sparse = True
        if data is not None:
            self._mapped = True
            self._data = with_data(data, self._size, _MOST_EXTENTS)

    def _send(self, extents: Sequence[Extent], *, again: bool = False) -> None:
        """Send parts of the file, proven one by one; raise TransferError, or _Continued before anything moves."""
        job = self._job
        streams = max(1, min(job.request.streams, total(extents) // _STREAM_LEAST))
        parts = spread(extents, streams) or [()]
        job.result.streams = len(parts)
        steps: list[Step] = []
        for number, part in enumerate(parts, start=1):
            suffix = f" {number}" if len(parts) > 1 else ""
            read = Step(
                f"read{suffix}",
                StepKind.SOURCE,
                job.ends.src.role,
                src=job.request.src.path,
                state=self._state,
                # cat is quicker than dd where it is that of busybox
                extents=None if part == whole(self._size) else part,
            )
            write = Step(
                f"{WRITE}{suffix}",
                StepKind.SINK,
                job.ends.dest.role,
                dest=job.root,
                input=read.name,
                create_parents=job.request.create_parents,
                partial=self._sink.operation,
                extents=part,
                sparse=self._sparse and not self._mapped,
            )
            steps += [read, write]
        self._in_order = parts == [whole(self._size)] and not again and not self._sparse
        done = job.ends.attempt(steps, metered=True, when_ready=None if again else self._when_ready)
        if parts == [whole(self._size)] and done.sinks:
            job.result.checksum = done.sinks[0].checksum
        raise_failure(job, done)

    def _when_ready(self, notes: Mapping[str, Notes]) -> Sequence[str]:
        """Return which partial files nobody needs; raise _HasHoles, or _Continued if there is one to go on with."""
        room = next((each["room"][0] for each in notes.values() if "room" in each), "")
        if not self._sparse and shell.has_holes(room, self._size):
            raise _HasHoles
        seen = next((each for each in notes.values() if "space" in each or "left" in each), {})
        found = judge(seen.get("left", ()), seen.get("idle", ()), seen.get("old", ()), self._origin)
        if found.claimed is not None and self._job.request.resume:
            raise _Continued(found)
        return found.removed

    # -- going on ------------------------------------------------------------------------------------------------

    def _go_on(self, left: Left) -> None:
        """Take a partial file over and send what is not there or not right."""
        job, sink = self._job, self._sink
        claimed = left.claimed or sink.operation
        script = shell.claim_script(sink, claimed, owner_in(claimed))
        there = int(job.ends.errand("take over", job.ends.dest, script, _ERRAND_SECONDS).strip() or 0)
        if there > self._size:
            self._cut_to(self._size)
        count = min(len(segments(self._size)), -(-there // SEGMENT))
        proven = self._prove(count)
        if self._sparse:
            # where something else was written, zeros cannot be left out
            proven = proven[: leading(proven)]
            kept = min(self._size, len(proven) * SEGMENT)
            self._cut_to(kept)
            extents = common(self._data, kept)
        else:
            extents = missing(self._size, proven)
        rest = total(missing(self._size, proven))
        job.result.resumed = self._size - rest
        if extents:
            self._send(extents, again=True)

    def _cut_to(self, size: int) -> None:
        self._job.ends.errand("cut", self._job.ends.dest, shell.cut_script(self._sink, size), _ERRAND_SECONDS)

    def _prove(self, count: int) -> list[bool]:
        """Return which of the first segments are the same at both ends; raise SourceChangedError."""
        job, one, other = self._job, Spool(), Spool()
        ends, src, dest = job.ends, self._job.request.src.path, self._sink.temporary
        try:
            ends.report(
                ends.command("prove source", ends.src, shell.prove_script(src, count, mine=False), NAMES, one),
                ends.command(
                    "prove what is there", ends.dest, shell.prove_script(dest, count, mine=True), NAMES, other
                ),
            )
            first, second = (
                shell.read_proofs(b"".join(spool.chunks()).decode(errors="replace")) for spool in (one, other)
            )
        finally:
            one.close()
            other.close()
        if not first.stable or not first.state.startswith(self._state):
            raise changed(job)
        self._state = first.state
        return [bool(mine) and mine == theirs for mine, theirs in zip(first.sums, second.sums, strict=False)]

    # -- the end -------------------------------------------------------------------------------------------------

    def _finish(self) -> bool:
        job = self._job
        script = shell.finish_script(self._sink, self._size, in_order=self._in_order)
        said = job.ends.errand("put in place", job.ends.dest, script, COMMIT_SECONDS)
        return said.strip() == "committed"

    def _remove(self) -> None:
        self._job.ends.clean(self._sink.parent, [self._sink.temporary.rpartition("/")[2]], empty_root=False)

    def _cut(self, cause: str) -> str:
        """Return why it failed, with what is kept of the file; without ``resume`` that is nothing."""
        if not self._job.request.resume:
            self._remove()
            return cause
        text = f"{cause.rstrip('.')}."
        name = f"{self._job.request.dest.context}:{self._sink.temporary}"
        try:
            said = self._job.ends.errand("look what is kept", self._job.ends.dest, shell.kept_script(self._sink), 15.0)
        except TransferError:
            return f"{text} What has arrived is kept as {name}; running it again goes on from there."
        kept = shell.read_kept(said)
        return f"{text} {kept} bytes are kept as {name}; running it again goes on from there." if kept else cause


def raise_failure(job: Job, done: PipelineResult) -> None:
    """Raise TransferError if a pipeline from the source failed; SourceChangedError if that is why."""
    if done.failed_step is None:
        return
    reads = [step for step in done.steps if step.name.startswith("read")]
    refused = done.failed_step in [step.name for step in reads] and any(
        each in (done.msg or "") for each in (CHANGED_BEFORE, CHANGED_MEANWHILE)
    )
    if refused or any(step.rc == CHANGED for step in reads):
        raise changed(job)
    raise job.ends.failure(done)


def changed(job: Job) -> SourceChangedError:
    """Return what is said of a source that changed, and note it in the result."""
    job.result.unstable = (job.request.src.path,)
    return SourceChangedError(
        f"src: {job.request.src} changed while it was read, so {job.result.dest} was left as it was. "
        "Run it again when nobody writes to it."
    )
