# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer of a tree: compare, send what differs to a directory beside it, verify that, and rename it into place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from .._owner import owner
from ..streams._leftovers import abandoned
from ..streams._spec import Step
from . import _shell
from ._apply import write_commands
from ._ends import NAMES
from ._errors import TransferError
from ._filter import Filter
from ._job import Job
from ._listing import PathKind, read_listing
from ._manifest import Kind, from_line, key, key_of, kind_of, path_of
from ._plan import SHOWN, Plan, Planner, Rules, Work, same_size
from ._spool import Spool
from ._sums import agree, differing, sums, unproven

_SHOWN_LINES = 10_000
_NAMED = 5


def send_tree(job: Job) -> None:
    """Bring the destination to what the source is, and note it in the result; raise TransferError."""
    rules = Rules(job.request.delete, job.dest.uid, job.request.checksum, job.request.diff)
    wrong = Spool()
    try:
        if rules.by_checksum:
            _compare_sums(job, wrong)
        planner = Planner(rules, (line[:-1] for line in wrong.lines()))
        try:
            plan = planner.make(job.src.manifest.lines(), job.dest.manifest.lines(), job.dest.keys())
            _refuse(job, plan)
            lost: list[bytes] = []
            if plan.changes and not job.request.check_mode:
                lost = _Execution(job, plan, rules).run()
            _report(job, plan)
            job.result.changed = plan.changes
            if lost:
                _tell_lost(job, plan, lost)
        finally:
            planner.plan.close()
    finally:
        wrong.close()


def _name(path: bytes) -> bytes:
    return b"./" + path + b"\0"


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace").replace("\n", "\\n")


def _compare_sums(job: Job, wrong: Spool) -> None:
    """Write the keys of those files of one size whose content differs."""
    names, found = Spool(), _Sums(job, job.root)
    try:
        for entry in same_size(job.src.manifest.lines(), job.dest.manifest.lines()):
            names.write(_name(entry.path))
        if not names.file.tell():
            return

        def paths() -> Iterator[bytes]:
            return (entry.path for entry in same_size(job.src.manifest.lines(), job.dest.manifest.lines()))

        found.read(names)
        for path in found.differing(paths):
            wrong.write(key(path) + b"\n")
    finally:
        names.close()
        found.close()


class _Sums:
    """The checksums of the same files in the source and below a directory of the destination."""

    def __init__(self, job: Job, root: str) -> None:
        self._job = job
        self._root = root
        self._src, self._dest = Spool(), Spool()

    def read(self, names: Spool, *further: Step) -> None:
        """Have both ends read the named files, and let further steps run beside that."""
        ends, ok = self._job.ends, _shell.SUMMED
        src, dest = _shell.sums_script(self._job.request.src.path), _shell.sums_script(self._root)
        ends.report(
            ends.command("checksums of source", ends.src, src, NAMES, self._src, ok),
            ends.command("checksums of destination", ends.dest, dest, NAMES, self._dest, ok),
            *further,
            names=names,
        )

    def differing(self, paths: Callable[[], Iterator[bytes]]) -> Iterator[bytes]:
        """Return those of the paths, which are those of the names, whose content is not known to be the same."""
        if agree(paths(), self._src.lines(), self._dest.lines()):
            return
        yield from differing(sums(paths(), self._src.chunks()), sums(paths(), self._dest.chunks()))

    def close(self) -> None:
        self._src.close()
        self._dest.close()


def _report(job: Job, plan: Plan) -> None:
    """Note in the result what was done, or in check mode what would be."""
    result = job.result
    result.files, result.bytes, result.links, result.directories = plan.files, plan.size, plan.links, plan.made
    result.attributes, result.deleted, result.unchanged = plan.changed_attributes, plan.deleted, plan.unchanged
    result.excluded = job.src.excluded
    result.skipped = tuple(_shown(path) for path in plan.special)
    if job.request.diff:
        lines = [line.decode(errors="replace") for line in itertools.islice(plan.shown.lines(), _SHOWN_LINES + 1)]
        more = [f"and more than {_SHOWN_LINES} lines\n"] if len(lines) > _SHOWN_LINES else []
        result.after = "".join([*lines[:_SHOWN_LINES], *more])


def _refuse(job: Job, plan: Plan) -> None:
    """Raise TransferError for a plan that must not be carried out."""
    if plan.conflicts:
        names = ", ".join(_shown(path) for path in plan.conflicts[:_NAMED])
        raise TransferError(
            f"dest: {job.result.dest}: a directory, or something excluded, stands where the source has a file or a "
            f"directory: {names}. Remove it, or set 'delete' for directories."
        )
    if job.request.delete and not plan.sources and plan.deleted and not job.request.allow_empty:
        raise TransferError(
            f"src: {job.request.src} is empty, and 'delete' would remove {plan.deleted} entries of {job.result.dest}; "
            "set 'allow_empty' if that is meant"
        )


class _Execution:
    """Puts a plan into effect."""

    def __init__(self, job: Job, plan: Plan, rules: Rules) -> None:
        self._job = job
        self._plan = plan
        self._rules = rules
        self._staging = f".manifold-{job.result.operation_id}.{owner()}.part"
        self._sparse = job.src.tar == job.dest.tar == "gnu"
        self._fresh = job.dest.kind is PathKind.ABSENT
        """Whether the root is to be made."""

    def run(self) -> list[bytes]:
        """Do it all and return the paths of what is not proven, and so as it was; raise TransferError.

        Whatever happens, the staging directory goes.
        """
        try:
            lost = self._send()
            self._job.result.changed = True
            self._apply(lost)
        except BaseException:
            if self._plan.stages:
                self._job.ends.clean(self._job.root, self._staged, empty_root=self._fresh)
            raise
        self._directories()
        return lost

    @property
    def _staged(self) -> list[str]:
        """The staging directory, and those of transfers that were killed."""
        return [self._staging, *(f".manifold-{each}.part" for each in abandoned(self._job.dest.left))]

    def _send(self) -> list[bytes]:
        """Send what is to be sent to the staging directory; return the paths of what is not proven to be right."""
        names, files = Spool(), Spool()
        try:
            for work, line in self._plan.lines():
                if work is Work.SEND:
                    name = _name(path_of(key_of(line)))
                    names.write(name)
                    if kind_of(line) is Kind.FILE:
                        files.write(name)
            if not names.file.tell():
                return []
            staging = _shell.stage_script(self._job.root, self._staging, self._fresh, self._job.request.create_parents)
            self._archive("unpack", staging, names)
            return self._verify(files)
        finally:
            names.close()
            files.close()

    def _archive(self, name: str, script: str, names: Spool) -> None:
        """Send the named entries, without what is in them, to a script that unpacks them."""
        ends = self._job.ends
        pack = _shell.pack_script(self._job.request.src.path, self._sparse)
        source = ends.names(names)
        sender = ends.command("pack", ends.src, pack, source.name, ok=_shell.PACKED)
        ends.run([source, sender, ends.command(name, ends.dest, script, sender.name)], metered=True)

    def _verify(self, files: Spool) -> list[bytes]:
        """Return the paths of what did not arrive as it is in the source now."""
        ends = self._job.ends
        staged = f"{self._job.root.rstrip('/')}/{self._staging}"
        raw, found = Spool(), _Sums(self._job, staged)
        try:
            script = _shell.unfed(_shell.list_script(staged))
            found.read(files, ends.command("list what arrived", ends.dest, script, NAMES, raw))
            wrong = list(found.differing(self._files))
            arrived = read_listing(raw, Filter())
            try:
                sent = (line for work, line in self._plan.lines() if work is Work.SEND)
                return list(unproven(sent, arrived.manifest.lines(), wrong))
            finally:
                arrived.close()
        finally:
            raw.close()
            found.close()

    def _files(self) -> Iterator[bytes]:
        """Return the paths of the files that are sent."""
        lines = (line for work, line in self._plan.lines() if work is Work.SEND)
        return (path_of(key_of(line)) for line in lines if kind_of(line) is Kind.FILE)

    def _apply(self, lost: list[bytes]) -> None:
        """Rename, link, set and remove."""
        job, ends = self._job, self._job.ends
        commands = Spool()
        try:
            write_commands(self._plan, self._rules, self._staging, lost, commands.write)
            if not commands.file.tell() and not self._plan.stages:
                return
            make = self._fresh and not self._plan.sends
            script = _shell.apply_script(job.root, make, job.request.create_parents, self._staged)
            ends.report(ends.command("put in place", ends.dest, script, NAMES), names=commands)
        finally:
            commands.close()

    def _directories(self) -> None:
        """Set the attributes of directories, which everything before may have changed."""
        if self._plan.directories.file.tell():
            self._archive("attributes of directories", _shell.unpack_script(self._job.root), self._plan.directories)


def _tell_lost(job: Job, plan: Plan, lost: list[bytes]) -> None:
    """Take what was not put in place out of the result, and raise TransferError."""
    names = frozenset(lost)
    for work, line in plan.lines():
        if work is Work.SEND and path_of(key_of(line)) in names:
            entry = from_line(line)
            job.result.files -= entry.kind is Kind.FILE
            job.result.links -= entry.kind is Kind.LINK
            job.result.bytes -= entry.size if entry.kind is Kind.FILE else 0
    job.result.unstable = tuple(_shown(path) for path in lost[:SHOWN])
    raise TransferError(
        f"src: {len(lost)} entries of {job.request.src} changed while they were read, or could not be read, and were "
        f"left as they were at {job.result.dest}: {', '.join(job.result.unstable[:_NAMED])}. The others are in place."
    )
