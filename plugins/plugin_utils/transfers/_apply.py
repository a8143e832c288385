# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that put a plan into effect at the destination, as lines for a shell (apply_script in _shell.py).

They are generated, so that one process does what concerns many entries; no command gets more than so many bytes of
names. Each line is whole or, if it is cut, no command at all. The shell ends at the first that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..streams._shell import quote
from ._manifest import Kind, from_line, key_of, path_of
from ._plan import Plan, Rules, Work
from ._shell import FAILED
from ._spool import Spool

_BATCH = 64 * 1024
"""Bytes of names that one command gets at most; Linux takes 2 MiB, other systems less."""


_FEW, _FEW_BY_PERL = 128, 4096
"""So many directories get their attributes by commands, more by an archive: each time needs a command of its own, which
perl does in one process."""

_RENAME = (
    "perl -e 'my $half = 3 * int(@ARGV / 6); my $other = $half > 96 ? fork : undef;"
    " @ARGV = $other ? @ARGV[0 .. $half - 1] : @ARGV[$half .. $#ARGV] if defined $other; my $bad = 0;"
    " while (!$bad and my ($f, $t, $d) = splice @ARGV, 0, 3)"
    ' { rename $f, $t or system("mv", "-f", "--", $f, $d) == 0 or $bad = 1 }'
    " if ($other) { waitpid $other, 0; $bad ||= $? } exit !!$bad' --"
)
"""Renames entries, each with its new name and the directory of that. mv goes where a rename does not: elsewhere. Many
are shared by two processes: to replace a file takes ext4 long, since it gives blocks to the new one first."""
# busybox does not replace a symbolic link that it cannot follow, as one to itself or to too long a name: what leads
# nowhere goes before.
_MOVES = """moves() {
for d; do :; done
for f; do
[ ! -L "$d/${f##*/}" ] || [ -e "$d/${f##*/}" ] || rm -f -- "$d/${f##*/}"
done
mv -f -- "$@"
}
"""
"""Moves entries to the directory that is named last."""
_SET_TIME = "perl -e 'while (my ($t, $p) = splice @ARGV, 0, 2) { utime $t, $t, $p or ! -e $p or die \"$p: $!\\n\" }' --"
"""Sets the times of what is there."""


def few(*, perl: bool) -> int:
    """Return the most directories that get their attributes by commands (``write_commands``)."""
    return _FEW_BY_PERL if perl else _FEW


class Batches:
    """Collects names for commands, and gives out a line whenever one is full."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._waiting: dict[tuple[str, str], list[str]] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    def add(self, command: str, *names: str, last: str = "") -> None:
        """Let the command be run for a name, or several that stay together, with ``last`` behind all names."""
        batch = (command, last)
        self._waiting.setdefault(batch, []).extend(map(quote, names))
        self._sizes[batch] = self._sizes.get(batch, 0) + sum(len(name) + 4 for name in names)
        if self._sizes[batch] > _BATCH:
            self._flush(batch)
        elif len(self._waiting) > 256:
            self.flush()

    def _flush(self, batch: tuple[str, str]) -> None:
        command, last = batch
        self.run(" ".join([command, *self._waiting.pop(batch), *([quote(last)] if last else [])]))
        del self._sizes[batch]

    def flush(self) -> None:
        """Give out what waits."""
        for batch in list(self._waiting):
            self._flush(batch)

    def define(self, function: str) -> None:
        """Let a function be known to all that follows."""
        self._write(function.encode())

    def run(self, command: str) -> None:
        """Let a command be run as it is."""
        self._write(f"{{ {command}; }} </dev/null || exit {FAILED}\n".encode(errors="surrogateescape"))


def command_name(path: bytes, staging: str = "") -> str:
    """Return a path as commands in the root name it."""
    return f"./{staging}{'/' if staging else ''}{path.decode(errors='surrogateescape')}"


def _parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def write_commands(
    plan: Plan,
    rules: Rules,
    staged: Sequence[str],
    failed: Iterable[bytes],
    write: Callable[[bytes], object],
    *,
    perl: bool = False,
) -> None:
    """Write the lines that put the plan into effect; what ``failed`` is left as it was.

    ``staged`` is the staging directory, and what others have left of theirs; they are removed. With ``perl``
    fewer processes do it.
    """
    staging = staged[0]
    batches = Batches(write)
    lost = frozenset(failed)
    for path in sorted(lost):
        batches.add("rm -rf --", command_name(path, staging))
    batches.flush()
    _complete(plan, staging, lost, batches)
    _remove(plan.cleared, batches)
    _move(plan, staging, lost, batches, perl)
    _set(plan.set, rules, batches, perl)
    _remove(plan.removed, batches)
    if plan.stages:
        batches.run(f"rm -rf -- {quote(f'./{staging}')}")
    if staged[1:]:
        # it may be somebody else's, who has to remove it
        batches.run(" ".join(["rm -rf --", *(quote(f"./{each}") for each in staged[1:]), "|| :"]))
    if plan.attributed <= few(perl=perl):
        _set(plan.directories, rules, batches, perl)


def _complete(plan: Plan, staging: str, lost: frozenset[bytes], batches: Batches) -> None:
    """Make the directories and further names that are new, beside what was unpacked."""
    sent: dict[bytes, bool] = {}
    for work, line in plan.besides_sent():
        entry = from_line(line)
        if work is Work.MAKE:
            batches.add("mkdir -p --", command_name(entry.path, staging))
        else:
            batches.add("mkdir -p --", command_name(_parent(entry.path), staging))
            sent[entry.target] = False
    batches.flush()
    if not sent:
        return
    for work, line in plan.lines():
        path = path_of(key_of(line))
        if work is Work.SEND and path in sent:
            sent[path] = True
        elif work is Work.JOIN and (target := from_line(line).target) not in lost:
            first = command_name(target, staging if sent[target] else "")
            batches.run(f"ln -- {quote(first)} {quote(command_name(path, staging))}")


def _move(plan: Plan, staging: str, lost: frozenset[bytes], batches: Batches, perl: bool) -> None:
    """Rename what is complete: a new directory as a whole, anything else by itself."""
    if not perl:
        batches.define(_MOVES)
    for work, line in plan.lines(below=False):
        path = path_of(key_of(line))
        if path in lost or (work is Work.JOIN and from_line(line).target in lost):
            continue
        parent = command_name(_parent(path)).rstrip("/") + "/."
        if perl:
            batches.add(_RENAME, command_name(path, staging), command_name(path), parent)
        else:
            batches.add("moves", command_name(path, staging), last=parent)
    batches.flush()


def _set(spool: Spool, rules: Rules, batches: Batches, perl: bool) -> None:
    """Set the attributes of what is there: the owner first, since that takes set-user-ID away."""
    for step in ("owner", "mode", "time"):
        for line in spool.lines():
            entry = from_line(line[1:])
            if step == "owner" and rules.uid == 0:
                batches.add(f"chown -h {entry.uid}:{entry.gid} --", command_name(entry.path))
            elif step == "mode":
                batches.add(f"chmod {entry.mode:05o} --", command_name(entry.path))
            elif step == "time" and line[:1] == b"t" and perl:
                batches.add(_SET_TIME, str(entry.mtime), command_name(entry.path))
            elif step == "time" and line[:1] == b"t":
                batches.add(f"touch -c -d @{entry.mtime} --", command_name(entry.path))
        batches.flush()


def _remove(spool: Spool, batches: Batches) -> None:
    """Remove entry by entry what was listed, and nothing that came since: a directory only if it is empty."""
    for directories in (False, True):
        command = "rmdir --" if directories else "rm -f --"
        for line in spool.lines():
            if (line[:1] == Kind.DIRECTORY.value.encode()) is directories:
                batches.add(command, command_name(path_of(line[1:-1])))
        batches.flush()
