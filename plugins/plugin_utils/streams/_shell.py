# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell scripts that run in a context. The one place that quotes for a shell.

What stands in a process list is one line, the bootstrap, with the name of the step: it reads the real script from
its standard input, up to a line that only this run knows, and evaluates it. So no secret and no long script is ever an
argument, and a script that was cut on its way never runs. POSIX shells (dash, busybox) read byte by byte from a pipe,
hence what follows the script is left for the command.

A stage's script checks what it can, says on stderr what it noticed and that it is ``ready``, waits for ``go`` and
only then runs its command. At the end it writes its mark (_marker.py).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import _ranges as ranges
from ._counting import counted_body
from ._extents import Extent, total
from ._marker import PRINTF_FORMAT, UNCOUNTED

KEEPER = "manifold keeper"
"""The label of a stage that only watches over others."""

NO_HASH_TOOL = "neither sha256sum nor openssl was found"
"""How a sink refuses where there is nothing to compute its checksum with."""

_LABEL_LENGTH = 60

NOT_READ = 97
"""Exit status of a bootstrap whose script was cut."""
NOT_STARTED = 95
"""Exit status of a stage that was never told to go."""

_BOOTSTRAP = (
    'n=$(printf "\\n_");n=${{n%_}};m=;'
    'while IFS= read -r l;do [ "$l" = {end} ]&&{{ eval "$m";exit;}};m="$m$l$n";done;exit 97'
)


def quote(word: str) -> str:
    """Return ``word`` as one word for a POSIX shell."""
    return shlex.quote(word)


def bootstrap(nonce: str, label: str = "manifold") -> str:
    """Return the shell command that reads a script from its standard input and runs it.

    The label says in a process list what runs.
    """
    return f"exec /bin/sh -c {quote(_BOOTSTRAP.format(end=nonce))} {quote(label[:_LABEL_LENGTH])}"


def label_of(step: str) -> str:
    """Return what a process list says of the shell of a step."""
    return f"manifold step {step}"


def go(arguments: Sequence[str] = ()) -> bytes:
    """Return what a stage waits for between its checks and its command; the arguments hold no white space."""
    return " ".join(("go", *arguments)).encode() + b"\n"


def preamble(script: str, nonce: str) -> bytes:
    """Return what the bootstrap has to be given to run ``script``."""
    return f"{script}\n{nonce}\n".encode(errors="surrogateescape")


def path_word(path: str) -> str:
    """Return a path as a word that no tool takes for an option; a leading ``~/`` means the user's home there."""
    if path == "~" or path.startswith("~/"):
        return '"$HOME"' + (quote(path[1:]) if path[1:] else "")
    return quote(path if path.startswith("/") else f"./{path}")


def argv_command(argv: Sequence[str]) -> str:
    """Return an argument list as a command."""
    return " ".join(quote(word) for word in argv)


def shell_command(command: str) -> str:
    """Return a command line for ``sh -c`` as a command."""
    return f"sh -c {quote(command)}"


@dataclass(frozen=True)
class Surroundings:
    """Where and how a command runs: all optional."""

    chdir: str | None = None
    environment: Mapping[str, str] | None = None
    needs: tuple[str, ...] = ()
    """Programs that must be there before anything starts."""


# N is the nonce, P the process group if it is the stage's own. A refusal is one line, as a message is. busybox counts
# the bytes of a file by reading it, so stat is asked first.
_HEAD = r"""N={nonce}
refuse() {{ printf '%s refuse %s\n' "$N" "$1" >&2; exit 96; }}
note() {{ printf '%s note %s %s\n' "$N" "$1" "$2" >&2; }}
mark() {{ printf '{mark}' "$N" "$1" "$2"; }}
size() {{ stat -L -c %s -- "$1" 2>/dev/null || wc -c <"$1"; }}
"""

_NEEDS = "( {exports}command -v {word} ) >/dev/null 2>&1 || refuse {message}\n"

_CHDIR = "cd {path} 2>/dev/null || refuse {message}\n"

# The group is the stage's own if its leader was started with our nonce among its arguments.
_READY = r"""P=0
if read -r s 2>/dev/null </proc/$$/stat; then
  set -- ${s##*) }
  case "$(tr '\0' ' ' 2>/dev/null </proc/"$3"/cmdline)" in *"$N"*) P=$3;; esac
fi
printf '%s ready %s %s\n' "$N" "$$" "$P" >&2
read -r g G && [ "$g" = go ] || exit 95
"""

# A process belongs to a stage if its environment, or its arguments, hold the stage's nonce; a bracket in the pattern
# keeps grep from finding itself. TERM first, KILL for what is still there after a second.
_END = r"""members() {{ grep -le {pattern} {files} 2>/dev/null | sed 's|^/proc/\([0-9]*\)/.*|\1|' | sort -u; }}
j=0
while m=$(members) && [ -n "$m" ] && [ $j -lt 10 ]; do
  if [ $j -lt 5 ]; then kill -TERM $m 2>/dev/null; else kill -KILL $m 2>/dev/null; fi
  j=$((j + 1))
  sleep 0.2 2>/dev/null || sleep 1
done
"""
_ENVIRONMENTS = "/proc/[0-9]*/environ"
_ARGUMENTS = "/proc/[0-9]*/cmdline"

# The standard input of a source is its lifeline: when it ends before the command does, whoever reads is gone. The shell
# itself goes first: it would end this watch, and then wait for ever to write its mark to nobody.
_SOURCE = r"""exec 3<&0 </dev/null
( exec 3<&-; {run} ) & c=$!
( while IFS= read -r _; do :; done
trap '' TERM
kill -KILL $$
{end}[ "$P" != 0 ] && c="-$P"
kill -KILL $c
) <&3 >/dev/null 2>&1 & w=$!
exec 3<&-
wait $c; r=$?
{{ kill -TERM $w; wait $w; }} 2>/dev/null
mark $r {uncounted}
exit $r
"""

_PLAIN = r"""( {run} ); r=$?
mark $r {uncounted}
exit $r
"""

# For commands that read their input from the same connection, and so cannot tell that it was lost from its end.
_KEEPER = r"""while IFS= read -r _; do :; done
trap '' TERM HUP
{end}"""

_ERRAND = r"""( {body} ) </dev/null; r=$?
mark $r {uncounted}
exit $r
"""

_FILE_CHECKS = r"""f={src}
[ -d "$f" ] && refuse {is_directory}
[ -e "$f" ] || refuse {missing}
[ -r "$f" ] || refuse {unreadable}
"""
_NOTE_SIZE = '[ -f "$f" ] && note size "$(( $(size "$f") ))"\n'

_SINK_CHECKS = r"""d={dest}
p={parent}
t={temporary}
[ -d "$d" ] && refuse {is_directory}
[ -e "$d" ] && [ ! -f "$d" ] && refuse {is_special}
{parents}[ -d "$p" ] || refuse {no_parent}
[ -w "$p" ] && [ -x "$p" ] || refuse {not_writable}
b={hidden}
for o in "$p/$b".*.part; do
  [ -f "$o" ] && o=${{o%.part}} && note left "${{o#"$p/$b."}}"
done
"""

_SINK_SPACE = 'note space "$(df -Pk -- "$p" 2>/dev/null | tail -n 1)"\n'

# What a destination holds before it is replaced, for --diff.
_SINK_STATE = r"""if [ -f "$d" ]; then
  n=$(size "$d") h=
  {hash}
  note old "${{n##* }} $(stat -c %Y -- "$d") ${{h%% *}}"
fi
"""

# In check mode a directory that would be made is as good as one that is there, if it can be made.
_PARENTS_CHECKED = r"""q=$p
while [ ! -e "$q" ]; do q=$(dirname -- "$q"); done
[ -d "$q" ] && [ -w "$q" ] && p=$q
"""
_PARENTS_MADE = 'mkdir -p -- "$p" 2>/dev/null\n'

# The checksum is read back from what was written (as a rule from the page cache), while it goes to disk. The empty
# line before that says that all is written: till then a destination that does not go on has stalled.
_SINK = r"""umask 077
for o in $G; do rm -f -- "$p/$b.$o.part"; done
set -C
MANIFOLD_STAGE=$N cat >"$t"; r=$?
n= h=
if [ $r = 0 ]; then
  echo
  sync "$t" 2>/dev/null &
  n=$(size "$t") && {hash} || r=1
  wait
fi
printf '%s %s\n' "${{n##* }}" "${{h%% *}}"
mark $r {uncounted}
exit $r
"""

# openssl uses the processor's SHA instructions, where coreutils as Debian builds it does not.
_HASH_OF = "{{ h=$(openssl dgst -sha256 -r <{file} 2>/dev/null) || h=$(sha256sum <{file}); }}"
# What tee passes on and what is hashed are the same bytes; "read" and "passed" say that neither end was short. A stream
# cannot be hashed twice: unlike above, sha256sum is taken first, because openssl may refuse.
_HASHED = r"""exec 8>&1
s='wc -c'
command -v openssl >/dev/null 2>&1 && s='openssl dgst -sha256 -r'
command -v sha256sum >/dev/null 2>&1 && s=sha256sum
x=$(exec 5>&1
{{ {{ cat {src} && echo read >&5; }} | {{ tee /proc/self/fd/6 >&8 && echo passed >&5; }}; }} 6>&1 | $s >&5)
a= h=
IFS='
'
for l in $x; do
  case "$l" in
    read|passed) a=$a$l ;;
    *) h=$l ;;
  esac
done
IFS=' '
set -- $h
case "$a" in readpassed|passedread) ;; *) exit 1 ;; esac
[ -n "$1" ] && printf '%-64s' "$1"
"""
_HASH_CHECK = "command -v sha256sum >/dev/null 2>&1 || command -v openssl >/dev/null 2>&1 || refuse {message}\n"
_NO_HASH = "h=-"

_COMMIT = r"""d={dest}
p={parent}
t={temporary}
n=$(size "$t") || exit 1
[ "${{n##* }}" = {size} ] || {{ echo "the temporary file has changed since it was proven" >&2; exit 1; }}
same=
if [ -f "$d" ] && [ ! -L "$d" ]; then
  a=$(stat -c '%a %u:%g' -- "$d") || exit 1
  b=$(stat -c '{compared}' -- "$d") || exit 1
  cmp -s -- "$t" "$d" && same=1
  chmod "${{a%% *}}" "$t" || exit 1
  [ "$(id -u)" != 0 ] || chown "${{a#* }}" "$t" || exit 1
else
  chmod "$(printf '%o' $(( 0666 & ~0$(umask) )))" "$t" || exit 1
fi
{attributes}if [ -n "$same" ] && [ "$(stat -c '{compared}' -- "$t")" = "$b" ]; then
  rm -f -- "$t"
  echo same
  exit 0
fi
sync "$t" 2>/dev/null || sync
mv -f -- "$t" "$d" || exit 1
sync "$p" 2>/dev/null || :
echo committed
"""

# What has cleared its environment is found by its group.
_GROUP = r"""g={group}
case "$(tr '\0' ' ' 2>/dev/null </proc/$g/cmdline)" in *{nonce}*) kill -TERM "-$g" 2>/dev/null ;; *) g= ;; esac
"""
_GROUP_END = r"""[ -z "$g" ] || kill -KILL "-$g" 2>/dev/null
"""

_CONFIRM = r"""command -v grep >/dev/null 2>&1 || { echo "there is no grep to find its processes with" >&2; exit 1; }
[ -z "$m" ] || { echo "these processes would not end:" $m >&2; exit 1; }
"""

_REMOVE = "rm -f -- {temporary}\n"


def _surround(surroundings: Surroundings) -> tuple[str, str]:
    """Return the checks made before the stage is ready, and the exports made for its command."""
    checks = ""
    if surroundings.chdir:
        message = quote(f"cannot change to the directory {surroundings.chdir}")
        checks += _CHDIR.format(path=path_word(surroundings.chdir), message=message)
    environment = surroundings.environment or {}
    exports = "".join(f"export {name}={quote(value)}; " for name, value in environment.items())
    for word in surroundings.needs:
        message = quote(f"the command '{word}' was not found; install it there, or give its path")
        checks += _NEEDS.format(exports=exports, word=quote(word), message=message)
    return checks, exports


def _end(nonces: Sequence[str], files: str) -> str:
    """Return the commands that end what belongs to stages."""
    patterns = " -e ".join(quote(f"[{nonce[0]}]{nonce[1:]}") for nonce in nonces)
    return _END.format(pattern=patterns, files=files)


def _head(nonce: str) -> str:
    return _HEAD.format(nonce=nonce, mark=PRINTF_FORMAT)


def _source_body(nonce: str, run: str) -> str:
    return _SOURCE.format(run=run, end=_end([nonce], _ENVIRONMENTS), uncounted=UNCOUNTED)


def source_script(nonce: str, command: str, surroundings: Surroundings) -> str:
    """Return the script of a stage that has no input."""
    checks, exports = _surround(surroundings)
    run = f"export MANIFOLD_STAGE={nonce}; {exports}exec {command}"
    return _head(nonce) + checks + _READY + _source_body(nonce, run)


def consumer_script(nonce: str, command: str, surroundings: Surroundings, counted: bool) -> str:
    """Return the script of a stage that reads its input, counting it where the transport may lose its end."""
    checks, exports = _surround(surroundings)
    run = f"export MANIFOLD_STAGE={nonce}; {exports}exec {command}"
    body = counted_body(run) if counted else _PLAIN.format(run=run, uncounted=UNCOUNTED)
    return _head(nonce) + checks + _READY + body


def keeper_script(nonce: str, kept: Sequence[str]) -> str:
    """Return the script of a stage that ends others when its standard input, their lifeline, ends."""
    return _head(nonce) + _READY + _KEEPER.format(end=_end(kept, f"{_ENVIRONMENTS} {_ARGUMENTS}"))


def errand_script(nonce: str, body: str) -> str:
    """Return the script of a short errand (commit, clean-up) that has neither input nor output to prove."""
    return _head(nonce) + _READY + _ERRAND.format(body=body, uncounted=UNCOUNTED)


def file_script(
    nonce: str,
    src: str,
    hashed: bool = False,
    extents: Sequence[Extent] | None = None,
    state: str | None = None,
) -> str:
    """Return the script of a stage that prints a file, or parts of it.

    With a ``state`` it fails unless the file is in that state before and after (_ranges.py).

    ``hashed`` adds a text of 64 bytes behind the file: the SHA-256 of what was printed, or where there is no tool for
    that its number of bytes, with blanks behind it.
    """
    checks = _FILE_CHECKS.format(
        src=path_word(src),
        is_directory=quote(f"the source {src} is a directory; archive it with tar in a 'command' instead"),
        missing=quote(f"the source {src} does not exist"),
        unreadable=quote(f"the source {src} is not readable for this user"),
    )
    word = path_word(src)
    checks += _NOTE_SIZE if extents is None else f"note size {total(extents)}\n"
    printing = _HASHED.format(src=word) if hashed else f"exec cat {word}"
    if extents is not None:
        printing = ranges.printing(word, extents)
    elif state is not None:
        printing = f"cat {word}\n"
    if state is not None:
        said = (f"the source {src} {ranges.CHANGED_BEFORE}", f"the source {src} {ranges.CHANGED_MEANWHILE}")
        checks += ranges.room_note()
        before, after = ranges.state_checks(word, quote(state), [quote(text) for text in said])
        checks += before
        printing += after
    run = f"export MANIFOLD_STAGE={nonce}; {printing}"
    return _head(nonce) + checks + _READY + _source_body(nonce, run)


@dataclass(frozen=True)
class Sink:
    """A file to write, and its temporary beside it."""

    dest: str
    operation: str
    """Whose the temporary is (_leftovers.py); part of its name."""
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    create_parents: bool = False
    mtime: int | None = None

    @property
    def parent(self) -> str:
        """The directory of both."""
        return self.dest.rpartition("/")[0] or ("/" if self.dest.startswith("/") else ".")

    @property
    def hidden(self) -> str:
        """What the names of all temporaries of this destination begin with."""
        # 255 bytes is what file systems allow in a name
        return "." + self.dest.rpartition("/")[2].encode(errors="surrogateescape")[:160].decode(errors="ignore")

    @property
    def temporary(self) -> str:
        """The name written to."""
        return f"{self.parent.rstrip('/')}/{self.hidden}.{self.operation}.part"

    def attributes(self) -> str:
        """Return the commands that give the temporary the attributes that were asked for."""
        lines = ""
        if self.owner or self.group:
            lines += f'chown {quote((self.owner or "") + (":" + self.group if self.group else ""))} "$t" || exit 1\n'
        if self.mode:
            lines += f'chmod {quote(self.mode)} "$t" || exit 1\n'
        if self.mtime is not None:
            lines += f'touch -d @{self.mtime} -- "$t" || exit 1\n'
        return lines


@dataclass(frozen=True)
class SinkScript:
    """How a sink is run."""

    checksum: bool = True
    """Whether to report the SHA-256 of what was written."""
    dry: bool = False
    """Whether it will never be told to go, and must not make anything while it checks."""
    state: bool = False
    """Whether to note what the destination holds before."""
    space: bool = False
    """Whether to note how much room there is."""


def sink_script(nonce: str, sink: Sink, how: SinkScript) -> str:
    """Return the script of a stage that writes its input to a temporary and reports size and SHA-256.

    It notes the temporaries of other runs (``left``), the last line of df (``space``) and what the destination holds
    (``old``: size, time of change, SHA-256). The temporaries that are named when it is told to go it removes.
    """
    checks = _sink_checks(sink, _PARENTS_CHECKED if how.dry else _PARENTS_MADE)
    if how.checksum:
        checks += _HASH_CHECK.format(message=quote(f"{NO_HASH_TOOL}; set checksum to none"))
    if how.space:
        checks += _SINK_SPACE
    if how.state:
        checks += _SINK_STATE.format(hash=_HASH_OF.format(file='"$d"') if how.checksum else _NO_HASH)
    body = _SINK.format(hash=_HASH_OF.format(file='"$t"') if how.checksum else _NO_HASH, uncounted=UNCOUNTED)
    return _head(nonce) + checks + _READY + body


def range_sink_script(nonce: str, sink: Sink, extents: Sequence[Extent], sparse: bool) -> str:
    """Return the script of a stage that writes its input to extents of a temporary and reports size and SHA-256.

    It notes the temporaries of other runs (``left``), which of them nobody has written to for minutes (``idle``) or
    days (``old``), and the last line of df (``space``).
    """
    checks = _sink_checks(sink, _PARENTS_MADE) + ranges.ages() + _SINK_SPACE
    checks += _HASH_CHECK.format(message=quote(NO_HASH_TOOL))
    return _head(nonce) + checks + _READY + ranges.writing(sink.operation, extents, sparse, UNCOUNTED)


def _sink_checks(sink: Sink, parents: str) -> str:
    """Return the checks of a sink before it is ready."""
    parent = "the home directory" if sink.parent == "." else sink.parent
    return _SINK_CHECKS.format(
        dest=path_word(sink.dest),
        parent=path_word(sink.parent),
        temporary=path_word(sink.temporary),
        hidden=quote(sink.hidden),
        parents=parents if sink.create_parents else "",
        is_directory=quote(f"the destination {sink.dest} is a directory; name a file in it"),
        is_special=quote(f"the destination {sink.dest} is no regular file; write to it with a 'command' instead"),
        no_parent=quote(f"the directory {parent} does not exist; make it first, or set 'create_parents'"),
        not_writable=quote(f"the directory {parent} is not writable for this user"),
    )


def commit_script(sink: Sink, size: int) -> str:
    """Return the command that gives a proven temporary its final name; it prints ``committed`` or ``same``."""
    return _COMMIT.format(
        dest=path_word(sink.dest),
        parent=path_word(sink.parent),
        temporary=path_word(sink.temporary),
        size=size,
        attributes=sink.attributes(),
        compared="%a %u:%g" if sink.mtime is None else "%a %u:%g %Y",
    )


def end_script(marks: Sequence[str]) -> str:
    """Return the commands that end every process whose environment holds one of the marks."""
    return _end(marks, _ENVIRONMENTS)


def exists_script(path: str) -> str:
    """Return the command that ends with status 0 if something is at the path, 1 if not."""
    return f"[ -e {path_word(path)} ]"


def abort_script(nonce: str, sink: Sink | None, group: int = 0) -> str:
    """Return the command that ends every process of a stage and removes its temporary.

    ``group`` is the stage's process group, 0 if it is not known to have one of its own. It is believed only while its
    leader is still the stage's shell: the number may have gone to somebody else.
    """
    remove = _REMOVE.format(temporary=path_word(sink.temporary)) if sink else ""
    first = _GROUP.format(group=group, nonce=nonce) if group else "g=\n"
    return first + _end([nonce], f"{_ENVIRONMENTS} {_ARGUMENTS}") + _GROUP_END + remove + _CONFIRM
