# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of a transfer of one file, and what they say. Quoting is that of streams/_shell.py."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..streams._ranges import CHANGED, STATE
from ..streams._shell import Sink, commit_script, end_script, path_word, quote
from ._segments import SEGMENT

FAILED = 90
"""Exit status of a script that could not do its part; it said why on stderr."""
NO_ROOM = 91
"""Exit status of a copy for which there is too little room."""
ELSEWHERE = 93
"""Exit status of a copy that does not find the source where it looks."""

_HEAD = "LC_ALL=C; export LC_ALL\n"
_SUM = r"""s=sha256sum
openssl dgst -sha256 -r </dev/null >/dev/null 2>&1 && s='openssl dgst -sha256 -r'
"""

# Reading it marks it as in use: whoever finds it meanwhile is told by its time that somebody is at work.
_PROVE = r"""f={path} i=0
{state} "$f" || exit {failed}
while [ $i -lt {count} ]; do
  {touch}dd if="$f" bs=1048576 skip=$((i * {mebibytes})) count={mebibytes} 2>/dev/null | $s || exit {failed}
  i=$((i + 1))
done
{state} "$f" || exit {failed}
"""
_TOUCH = 'touch -c -- "$f"; '

# Where a file has data. 3 and 4 are SEEK_DATA and SEEK_HOLE (lseek(2)), and behind the last data ENXIO is said.
_HOLES_PERL = r"""use Errno qw(ENXIO);
open(my $f, "<", $ARGV[0]) or exit 1;
my ($at, $from, $to) = (0, 0, -1);
while (1) {
  my $data = sysseek($f, $at, 3);
  if (!defined $data) { exit 1 if $! != ENXIO; last }
  $at = sysseek($f, $data, 4);
  defined $at or exit 1;
  ($data, $at) = ($data + 0, $at + 0);
  if ($to >= 0 && $data - $to < 1048576) { $to = $at; next }
  print "$from $to\n" if $to >= 0;
  ($from, $to) = ($data, $at);
}
print "$from $to\n" if $to >= 0;
print "end\n";
"""
_HOLES = r"""f={path}
[ -r "$f" ] || exit {failed}
perl -e {perl} "$f" 2>/dev/null
:
"""

# What runs there for an owner that is gone is ended first: nobody but us writes to it then.
_CLAIM = r"""{end}cd {parent} || exit {failed}
b={hidden}
{move}stat -c %s -- "$b".{mine}.part
"""

_KEPT = r"""stat -c '%b %B %s' -- {temporary} 2>/dev/null
:
"""

_LENGTH = "dd if=/dev/null of={temporary} bs=1 seek={size} count=0 2>/dev/null || exit 1\n"

# Clones need no room, so room is looked for only when a clone was refused. What that has made is removed: if a file was
# there before, however empty, ext4 writes all of it to disk at once.
_COPY = r"""f={src} t={temporary} p={parent} b={hidden}
w=$({state} "$f" 2>/dev/null)
case "$w" in {expected}*) ;; *) exit {elsewhere} ;; esac
umask 077
{parents}for o in "$p/$b".*.part; do [ ! -f "$o" ] || {{ o=${{o%.part}}; echo "left ${{o#"$p/$b."}}"; }}; done
set -- $(stat -L -c '%b %B %s' -- "$f")
case "$(cp --version 2>&1)" in
  *coreutils*)
    o=--reflink=auto
    cp --reflink=always -- "$f" "$t" 2>/dev/null && o=done || rm -f -- "$t"
    ;;
  *) o= ;;
esac
if [ "$o" != done ]; then
  l='.*[[:space:]]\([0-9][0-9]*\)[[:space:]][[:space:]]*[0-9][0-9]*%.*'
  n=$(df -Pk -- "$p" 2>/dev/null | tail -n 1 | sed "s/$l/\1/")
  case "$n" in ''|*[!0-9]*) n= ;; esac
  a=$(($1 * $2)) && [ $a -le $3 ] || a=$3
  [ -z "$o" ] && a=$3
  if [ -n "$n" ] && [ $((n * 1024)) -lt $a ]; then
    rm -f -- "$t"
    echo "room $a $((n * 1024))"
    exit {no_room}
  fi
  cp $o -- "$f" "$t" || {{ rm -f -- "$t"; exit {failed}; }}
fi
[ "$({state} "$f")" = "$w" ] && [ "$(stat -c %s -- "$t")" = "$3" ] && exit 0
rm -f -- "$t"
exit {changed}
"""


def prove_script(path: str, count: int, *, mine: bool) -> str:
    """Return the script that prints the SHA-256 of so many segments, between two lines with the state of the file.

    ``mine`` is for a partial file of ours.
    """
    text = _PROVE.format(
        path=path_word(path),
        state=STATE,
        failed=FAILED,
        count=count,
        mebibytes=SEGMENT >> 20,
        touch=_TOUCH if mine else "",
    )
    return _HEAD + _SUM + text


@dataclass(frozen=True)
class Proofs:
    """What a script said of segments."""

    state: str
    """What the file was like all the while."""
    sums: tuple[str, ...]
    stable: bool


def read_proofs(text: str) -> Proofs:
    """Return what was said of segments; a line that is none counts as no checksum."""
    lines = text.splitlines()
    sums = tuple(line[:64] if re.match(r"[0-9a-f]{64}\b", line) else "" for line in lines[1:-1])
    return Proofs(lines[0] if lines else "", sums, len(lines) > 1 and lines[0] == lines[-1])


def holes_script(path: str) -> str:
    """Return the script that says where a file has data, if there is something that can tell."""
    return _HEAD + _HOLES.format(path=path_word(path), failed=FAILED, perl=quote(_HOLES_PERL))


def read_data(text: str) -> tuple[tuple[int, int], ...] | None:
    """Return where a file has data (from, to), as a script said; None if nobody there could tell."""
    *lines, last = text.splitlines() or [""]
    if last != "end":
        return None
    pairs = [line.split() for line in lines]
    return tuple((int(start), int(end)) for start, end in pairs)


def has_holes(room: str, size: int) -> bool:
    """Return whether a file takes less room than it is long; ``room`` is what a source noted of it."""
    numbers = room.split()
    return len(numbers) == 2 and "".join(numbers).isdigit() and int(numbers[0]) * int(numbers[1]) < size


def claim_script(sink: Sink, claimed: str, whose: str) -> str:
    """Return the script that makes a partial file that was left ours, and prints its size."""
    end = end_script([whose])
    move = ""
    if claimed != sink.operation:
        move = f'mv -- "$b".{claimed}.part "$b".{sink.operation}.part || exit {FAILED}\n'
    parent = path_word(sink.parent)
    return _HEAD + _CLAIM.format(
        end=end, parent=parent, hidden=f"./{quote(sink.hidden)}", move=move, mine=sink.operation, failed=FAILED
    )


def cut_script(sink: Sink, size: int) -> str:
    """Return the script that makes a partial file so long, with a hole at its end or without what is behind."""
    return _HEAD + _LENGTH.format(temporary=path_word(sink.temporary), size=size)


def kept_script(sink: Sink) -> str:
    """Return the script that says how much there is of a partial file, or nothing if there is none."""
    return _HEAD + _KEPT.format(temporary=path_word(sink.temporary))


def read_kept(text: str) -> int | None:
    """Return how many bytes a partial file holds; None if there is none."""
    numbers = text.split()
    if len(numbers) != 3 or not "".join(numbers).isdigit():
        return None
    blocks, unit, size = (int(number) for number in numbers)
    return min(blocks * unit, size)


def finish_script(sink: Sink, size: int, *, in_order: bool) -> str:
    """Return the script that gives a proven partial file its length, its attributes and its final name.

    What was written from start to end is flushed to disk only if it replaces a file: a loss of power leaves a beginning
    of it, and that has another size.
    """
    text = place_script(sink, size) if in_order else _HEAD + commit_script(sink, size)
    return _HEAD + _LENGTH.format(temporary=path_word(sink.temporary), size=size) + text.removeprefix(_HEAD)


def place_script(sink: Sink, size: int) -> str:
    """Return the script that gives a whole temporary its attributes and its final name.

    Only a file that replaces another one is flushed to disk first, as after ``cp``.
    """
    flush = f"[ -e {path_word(sink.dest)} ] || sync() {{ :; }}\n"
    return _HEAD + flush + commit_script(sink, size)


def copy_script(src: str, state: str, sink: Sink) -> str:
    """Return the script that copies a file within one place to a temporary, by what the kernel offers."""
    return _HEAD + _COPY.format(
        src=path_word(src),
        temporary=path_word(sink.temporary),
        parent=path_word(sink.parent),
        hidden=quote(sink.hidden),
        state=STATE,
        expected=quote(state),
        parents='mkdir -p -- "$p" 2>/dev/null\n' if sink.create_parents else "",
        elsewhere=ELSEWHERE,
        failed=FAILED,
        changed=CHANGED,
        no_room=NO_ROOM,
    )
