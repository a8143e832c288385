# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of scripts for a file that is read, or written, in ranges (the scripts around them: _shell.py).

What several stages write side by side is one temporary, which is not theirs to commit or to remove.
"""

from __future__ import annotations

from collections.abc import Sequence

from ._counting import SPLICE_NUMBER
from ._extents import UNIT, Extent, pieces, total, words
from ._read_back import PROGRAM

CHANGED = 94
"""Exit status of a source that is not what it was any more."""

CHANGED_BEFORE = "changed since it was looked at"
"""How a source refuses that is not what it was."""
CHANGED_MEANWHILE = "changed while it was read"
"""How a source fails that is not what it was."""

STATE = "stat -L -c '%s %Y %d:%i %y' --"
"""What tells one state of a file from another: size, time of change, device and number, the time as exactly as it goes.
"""

# The same file in the same state before and after: what was printed in between is that state.
_STATE_BEFORE = r"""w=$({state} "$f")
case "$w" in {expected}*) ;; *) refuse {changed} ;; esac
"""
_STATE_AFTER = r"""r=$?
[ "$({state} {src})" = "$w" ] || {{ printf '%s\n' {changed} >&2; exit {code}; }}
exit $r
"""

_PRINT = r"""for e in {extents}; do
  m=$(dd if={src} bs={unit} skip=${{e%:*}} count=${{e#*:}} 2>&1 >&8) || {{ printf '%s\n' "$m" >&2; exit 1; }}
done 8>&1
"""

# Each piece is read back, from the page cache as a rule. What replaces a file, or does not come from start to end, is
# going to be flushed: that begins while more is written. An interrupted dd says so on stderr and by its status; a piece
# that is short because the input ended is found by its checksum. Then the end of the input is waited for: it comes when
# the source is believed.
_WRITE = r"""umask 077
export MANIFOLD_STAGE=$N MANIFOLD_PARTIAL={operation}
for o in $G; do rm -f -- "$p/$b.$o.part"; done
s=sha256sum c=notrunc splice= flush={flush}
openssl dgst -sha256 -r </dev/null >/dev/null 2>&1 && s='openssl dgst -sha256 -r'
[ ! -e "$d" ] || flush=1
by_perl() {{
  LC_ALL=C perl -e '{perl}' "$splice" "$t" {unit} "$flush" {extents} <&5 3>&- 4>&- 5<&- || echo failed >&3
  echo >&4
}}
by_dd() {{
  i=0
  {{ for e in {extents}; do
    m=$(dd of="$t" bs={unit} seek=${{e%:*}} count=${{e#*:}} iflag=fullblock conv=$c 2>&1 <&5) || {{
      printf '%s\n' "$m" | grep -v ' records ' >&2
      echo failed >&3
      break
    }}
    echo "$e"
    [ -n "$flush" ] || continue
    sync -d "$t" >/dev/null 2>&1 3>&- 4>&- 5<&- & i=$((i + 1))
    [ $((i % 8)) != 0 ] || wait
  done
  echo >&4
  }} | {{ while read -r e; do
    dd if="$t" bs={unit} skip=${{e%:*}} count=${{e#*:}} 2>/dev/null 3>&- || echo failed >&3
  done }}
}}
{way}w=by_perl
[ -n "$splice" ] || w=by_dd
exec 4>&1 5<&0
x=$(exec 3>&1
: >>"$t" || echo failed
$w | $s)
r=0
case "$x" in *failed*) r=1 ;; *) cat <&5 >/dev/null ;; esac
printf '%s %s\n' {size} "${{x%% *}}"
mark $r {uncounted}
exit $r
"""
_SPLICE = f"splice=$(perl -MConfig -e '{SPLICE_NUMBER}' 2>/dev/null)\n"
_SPARSE = 'case "$(dd --version 2>&1)" in *coreutils*) c=notrunc,sparse ;; esac\n'

# What other runs have left: whether nobody has written to it for some minutes, or for a week.
_AGES = r"""for o in "$p/$b".*.part; do
  [ -f "$o" ] || continue
  n=${{o%.part}} n=${{n#"$p/$b."}}
  [ -z "$(find "$o" -mmin +{idle} 2>/dev/null)" ] || note idle "$n"
  [ -z "$(find "$o" -mtime +{old} 2>/dev/null)" ] || note old "$n"
done
"""
IDLE_MINUTES = 5
OLD_DAYS = 7


def state_checks(src: str, expected: str, quoted: Sequence[str]) -> tuple[str, str]:
    """Return the checks before a file is read, and what follows on reading it.

    ``src`` is the file as a word; ``expected`` is what STATE says of it, or the beginning of that, as a word;
    ``quoted`` are the messages for a file that changed before and meanwhile.
    """
    before, meanwhile = quoted
    return (
        _STATE_BEFORE.format(state=STATE, expected=expected, changed=before),
        _STATE_AFTER.format(state=STATE, src=src, changed=meanwhile, code=CHANGED),
    )


def room_note() -> str:
    """Return the check of a source that notes how much room its file takes: blocks, and the bytes of one."""
    return """note room "$(stat -L -c '%b %B' -- "$f" 2>/dev/null)"\n"""


def printing(src: str, extents: Sequence[Extent]) -> str:
    """Return the commands that print extents of a file, one behind the other."""
    return _PRINT.format(src=src, extents=words(extents), unit=UNIT)


def ages() -> str:
    """Return the checks of a sink that note how long nobody has written to the temporaries of other runs."""
    return _AGES.format(idle=IDLE_MINUTES, old=OLD_DAYS)


def writing(operation: str, extents: Sequence[Extent], sparse: bool, uncounted: str) -> str:
    """Return what a sink does that writes its input to extents of a temporary, and reports size and SHA-256.

    With ``sparse`` it makes holes of zeros, if dd can; only a file that holds nothing there yet may be written so.
    """
    in_order = len(extents) == 1 and extents[0].start == 0 and not sparse
    return _WRITE.format(
        operation=operation,
        extents=words(pieces(extents)),
        unit=UNIT,
        size=total(extents),
        way=_SPARSE if sparse else _SPLICE,
        perl=PROGRAM,
        flush="" if in_order else "1",
        uncounted=uncounted,
    )
