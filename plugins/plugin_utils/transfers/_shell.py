# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that a transfer runs in its contexts. Each does one thing, with a POSIX shell and coreutils or busybox.

Lists of names come on standard input, each with a NUL behind it. Quoting is that of streams/_shell.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..streams._shell import end_script, path_word, quote
from ._manifest import FIND_FORMAT

FAILED = 90
"""Exit status of a script that could not do its part; it said why on stderr."""
PACKED = (0, 1, 2)
"""Exit statuses of tar that may mean no more than that files changed or went meanwhile: what arrived is verified."""
SUMMED = (0, 1, 123)
"""Exit statuses of xargs with a hash tool that could not read some of the files."""

MARK = "MANIFOLD_STAGING"
"""The variable in the environment of whatever works on a staging directory: its name."""

# A word of our own first: what a script begins with is looked for as a program. Without a zone of its own find looks at
# the system's for each time that it prints, which takes longer than all the rest.
_HEAD = "LC_ALL=C QUOTING_STYLE=literal TZ=UTC0; export LC_ALL QUOTING_STYLE TZ\n"

# Whether find can print what is asked for, or stat has to.
_FORM = """case "$(find / -prune -printf %Ts 2>/dev/null)" in '' | *[!0-9]*) f=stat ;; *) f=find ;; esac
"""
# What a place is, in two lines: its kind, whether it is in a directory (1) that is the one named, whether its parent is
# there and can be written to, the user, tar, how the list behind it is written, what can compress, and the time; and
# what df says.
# The time comes first: what a file system notes as the time may be some milliseconds behind what a clock says.
_PROBE = r"""b=$(date +%s) p={path} i=0
{inside}k=absent
if [ -d "$p" ]; then k=tree; elif [ -f "$p" ]; then k=file; elif [ -e "$p" ] || [ -L "$p" ]; then k=special; fi
{link}q=${{p%/}}
case "$q" in */*) q=${{q%/*}} ;; *) q=. ;; esac
q=${{q:-/}} e=0 w=0
[ -d "$q" ] && e=1
while [ ! -e "$q" ] && [ "$q" != / ] && [ "$q" != . ]; do
  case "$q" in */*) q=${{q%/*}} q=${{q:-/}} ;; *) q=. ;; esac
done
[ "$k" = tree ] && q=$p
[ -d "$q" ] && [ -w "$q" ] && w=1
case "$(tar --version 2>&1)" in *"GNU tar"*) t=gnu ;; *[Bb]usy[Bb]ox*) t=busybox ;; *) t=none ;; esac
{form}z=
for c in zstd gzip openssl; do command -v $c >/dev/null 2>&1 && z=$z,$c; done
b2sum -l 256 </dev/null >/dev/null 2>&1 && z=$z,blake
perl -e 1 >/dev/null 2>&1 && z=$z,perl
case "$(cp --version 2>&1)" in *coreutils*) z=$z,cp ;; esac
echo "$k $i $e $w $(id -u) $t $f ${{z:-,}} $b"
echo "$(df -Pk -- "$q" 2>/dev/null | tail -n 1)"
"""
_INSIDE = '[ -d "$p" ] && i=1 && p=${{p%/}}/{name}\n'
_LINK = '[ $i = 0 ] || [ ! -L "$p" ] || k=link\n'

_STAT_FORMAT = "//%f %a %s %Y/%h %u %g %d:%i %Z/%n//"
_LIST = r"""case $k$f in
  treefind) cd "$p" && find . -ignore_readdir_race "$@" '(' {find} ')' ;;
  treestat)
    cd "$p" && find . "$@" -type l -exec stat -c '{stat}%N' {{}} + -o $n -exec stat -c '{stat}' {{}} + ;;
  filefind) find -H "$p" -prune '(' {find} ')' ;;
  filestat) stat -L -c '//%f %a %s %Y/%h %u %g %d:%i %Z/.//' "$p" ;;
esac
"""

_CD = "cd {path} || exit {failed}\n"

_SUMS = r"""if command -v openssl >/dev/null 2>&1 && openssl dgst -sha256 -r /dev/null >/dev/null 2>&1; then
  exec xargs -0 openssl dgst -sha256 -r
fi
exec xargs -0 sha256sum
"""

# busybox takes no list of names, so there it is several archives; what is lost of them does not arrive. GNU tar goes on
# behind the end of one, if it is told to; for others it is taken away, which is 1024 bytes. Nor does busybox tell if a
# file changes under its hands, so the state of each is asked for after it was read.
_PACK = "tar -c -b 128 -f - --format=gnu {sparse}--no-recursion --null -T -\n"
_BATCHES = r"""exec 8>&1
  h=$(xargs -0 sh -c 'tar -c -f - --no-recursion "$@"{one} >&8
    find "$@" -prune -type f -exec stat -c "%a %s %Y %h %u %g %d:%i %Z" {{}} + 2>/dev/null' tar | $s 8>&-)
  {end}echo "{digest} {nonce} ${{h%% *}}" >&2
"""
_SEVERAL = {"one": "", "end": ""}
_AS_ONE = {"one": " | head -c -1024", "end": "head -c 1024 /dev/zero\n  "}

# What root makes is root's, and no owner has to be set, unless the directory hands on its group.
_MADE_BY_ROOT = 'o=; [ -g . ] || [ "$(id -g)" != 0 ] || o=-o\n'
_UNPACK = "{decompress}tar -x -p {options}-f - --numeric-owner"
# Read in large records, a small file is rarely on the edge of two, and takes one write.
_GNU_UNPACKS = "-i -b 128 "

# An archive is hashed on its way, by what reads the same bytes as it passes on. openssl uses the processor's SHA
# instructions, where coreutils as Debian builds it does not; what is no checksum is no proof.
_HASHES = """s='wc -c'
command -v sha256sum >/dev/null 2>&1 && s=sha256sum
command -v openssl >/dev/null 2>&1 && s='openssl dgst -sha256 -r'
"""
_BLAKE = "s='b2sum -l 256'\n"
_TEE = "passes() { exec tee /proc/self/fd/6; }\n"
# tee passes on 8 KiB at a time or less. perl lets the kernel give the same pages to both, by tee(2) and splice(2), or
# passes on what it gets at once where there is neither. 1031 is F_SETPIPE_SZ.
_PERL_TEE = r"""passes() {
  exec perl -MConfig -e '
    open H, ">&=6" or exit 1;
    my %n = (x86_64 => [275, 276], aarch64 => [76, 77], riscv64 => [76, 77], loongarch64 => [76, 77],
      powerpc64le => [283, 284], s390x => [306, 308]);
    my ($splice, $tee) = $Config{ptrsize} == 8 && $Config{archname} =~ /^(\w+?)-/ && $n{$1} ? @{$n{$1}} : ();
    sub again { $!{EINTR} || $!{EAGAIN} && (select(undef, undef, undef, 0.001), 1) }
    sub put {
      my ($f, $o) = ($_[0], 0);
      while ($o < $_[2]) { my $w = syswrite $f, $_[1], $_[2] - $o, $o; $o += $w || 0; defined $w || again() or exit 1 }
    }
    sub get { while (1) { my $n = sysread STDIN, $_[0], $_[1]; return $n if defined $n; again() or exit 1 } }
    fcntl $_, 1031, 1 << 20 for *STDIN, *STDOUT, *H;
    while ($tee) {
      my $n = syscall $tee, 0, 6, 1 << 20, 0;
      exit 0 if $n == 0;
      if ($n < 0) { again() ? next : last }
      while ($n > 0) {
        my $w = $splice ? syscall $splice, 0, 0, 1, 0, $n, 0 : -1;
        if ($w > 0) { $n -= $w }
        elsif (!$splice || !again()) { $splice = 0; my $g = get(my $b, $n) or exit 1; put(*STDOUT, $b, $g); $n -= $g }
      }
    }
    while (my $n = get(my $b, 65536)) { put($_, $b, $n) for *STDOUT, *H }'
}
"""
_PACK_HASHED = r"""exec 7>&1
x=$(exec 3>&1
{{ {{ ( {pack} ) 3>&- 7>&-; echo "rc=$?" >&3; }}{compress} | {{
  {{ ( passes ) && echo passed >&3; }} {blocks}>&7
}}; }} 6>&1 | $s >&3)
"""
# What a pod prints costs by the write, and tee writes little at once.
_BLOCKS = "| dd ibs=65536 obs=65536 2>/dev/null "
_UNPACK_HASHED = r"""x=$(exec 3>&1
{{ {{ ( passes ) && echo passed >&3; }} | {{
  ( {unpack} ) >&2 3>&- 6>&-; r=$?
  [ $r != 0 ] || cat >/dev/null
  echo "rc=$r" >&3
}}; }} 6>&1 | $s >&3)
"""
_DIGEST = r"""set -f
r={failed} p= h=
for l in $x; do
  case "$l" in rc=*) r=${{l#rc=}} ;; passed) p=1 ;; *) h=${{h:-$l}} ;; esac
done
set +f
[ -z "$p" ] || echo "{digest} {nonce} $h" >&2
"""
# What is in the directory that was gone to before, as a list script prints it.
_HERE = "p=. k=tree n= f={form}\nset --\n"
_RELIST = """{here}h=$({{ {listing}}} | $s)
echo "{digest} {nonce} ${{h%% *}}" >&2
"""
DIGEST = "manifold-digest"
"""Begins the line on stderr by which a script says the checksum of the archive that passed; a number follows."""
_COMPRESS = {None: "", "zstd": " | zstd -q -1 -c", "gzip": " | gzip -1 -c"}
_DECOMPRESS = {None: "", "zstd": "zstd -q -d -c | ", "gzip": "gzip -d -c | "}
COPIES = "cp"
"""Among the tools of a place: a cp that keeps all attributes, and clones what can be cloned."""
_COPY = r"""s=$(cd {src} && pwd -P) || exit {failed}
{make}d=$PWD
cd "$s" || exit {failed}
xargs -0 -n {batch} -P "$(nproc 2>/dev/null || echo 1)" cp -a --reflink=auto -t "$d" --
case $? in 0 | 123) ;; *) exit {failed} ;; esac
{{ {relist}}} >/dev/null &
cd "$d" || exit {failed}
"""
PERL = "perl"
"""Among them, too: it renames many entries, and sets many times, in one process."""
OPENSSL, BLAKE = "openssl", "blake"
"""What computes checksums: ``openssl``, and a ``b2sum`` that can make them as long as those of SHA-256."""
PACKERS = ("zstd", "gzip")
"""What an archive may be compressed by, the faster one first."""

_MAKE_ROOT = "[ -d {path} ] || mkdir {parents}{path} || exit {failed}\n"
_STAGING = "umask 077\n{make}cd {staging} || exit {failed}\n"
MAKE_NAMED = f"xargs -0 mkdir -p -- || exit {FAILED}\n"
"""Makes the directories that are named on the input, in the one that is gone to before."""
_MAKE_STAGING = "mkdir {staging} || exit {failed}\n"
_APPLY = "umask 077\nexec sh\n"


def list_script(path: str, name: str | None = None, otherwise: str = "") -> str:
    """Return the script that says in one line what a path is, and then lists it.

    With a ``name`` it is that of an entry which is meant where the path is a directory. ``otherwise`` are commands that
    may choose another path, ``p``, and what find prints there: by the arguments, and what holds for all of it, ``n``.
    """
    inside = (_INSIDE.format(name=quote(name)) if name else "") + "n=\nset --\n" + otherwise
    probe = _PROBE.format(path=path_word(path), inside=inside, link=_LINK if name else "", form=_FORM)
    return _HEAD + probe + _listing()


def _listing() -> str:
    return _LIST.format(find=FIND_FORMAT, stat=_STAT_FORMAT)


def _arrived(form: str) -> str:
    """Return the commands that list the directory gone to before, with a head that tells nothing else."""
    return f"echo 'tree 0 1 1 0 none {form} , 0'\necho\n{_HERE.format(form=form)}{_listing()}"


@dataclass(frozen=True)
class Tools:
    """What a list said of the place where a script is to run."""

    tar: str = "gnu"
    """``gnu`` or ``busybox``."""
    form: str = "find"
    """What prints a list: ``find`` or ``stat``."""
    root: bool = True
    """Whether the user is root."""
    perl: bool = False
    blake: bool = False
    """Whether archives are hashed by BLAKE2b, and not by SHA-256."""

    @property
    def hasher(self) -> str:
        """The functions by which an archive is hashed on its way."""
        return (_BLAKE if self.blake else _HASHES) + (_PERL_TEE if self.perl else _TEE)


def sums_script(root: str) -> str:
    """Return the script that prints the SHA-256 of each file named on its input, below a directory."""
    return _HEAD + _CD.format(path=path_word(root), failed=FAILED) + _SUMS


def pack_script(
    root: str,
    nonce: str,
    tools: Tools,
    packer: str | None = None,
    *,
    sparse: bool = False,
    several: bool = False,
    blocks: bool = False,
    states: str,
) -> str:
    """Return the script that prints an archive of exactly the entries named on its input, below a directory.

    It may be ``several``, one behind the other, for GNU tar. With ``blocks`` it is printed in large ones. It says the
    SHA-256 of what it printed (``DIGEST``), and where tar would not tell if a file had changed, by the nonce ``states``
    that of the states of the files after they were read (_proof.py).
    """
    pack = _PACK.format(sparse="-S " if sparse else "")
    if tools.tar != "gnu":
        pack = _BATCHES.format(digest=DIGEST, nonce=states, **(_SEVERAL if several else _AS_ONE)) + ":\n"
    # the exit status is that of tar, which tells of changes, and not that of what compresses
    hashed = _PACK_HASHED.format(
        pack=pack, compress=_COMPRESS[packer], blocks=_BLOCKS if blocks and not tools.perl else ""
    )
    hashed = tools.hasher + hashed + _DIGEST.format(digest=DIGEST, nonce=nonce, failed=FAILED)
    return _HEAD + _CD.format(path=path_word(root), failed=FAILED) + hashed + "exit $r\n"


def make_script(root: str, staging: str, make: str, parents: bool) -> str:
    """Return the script that goes to a staging directory in the root.

    ``make`` says what is not there yet and has to be made: ``root`` (and the directory in it), ``staging`` or nothing.
    """
    word, words = path_word(root), {"staging": path_word(staging), "failed": FAILED}
    script = _MAKE_ROOT.format(path=word, parents="-p " if parents else "", failed=FAILED) if make == "root" else ""
    script += _CD.format(path=word, failed=FAILED)
    return _HEAD + script + _STAGING.format(make=_MAKE_STAGING.format(**words) if make else "", **words)


def stage_script(make: str, nonce: str, tools: Tools, packer: str | None = None, *, roots: bool = False) -> str:
    """Return the script that unpacks its input where another one has made room (``make_script``), and lists it.

    It says the SHA-256 of what it was given (``DIGEST``). ``roots``: all of that belongs to root, and to root's group.
    """
    return make + _unpack_hashed(nonce, tools, packer, roots=roots) + _arrived(tools.form)


def copy_script(src: str, make: str, batch: int, relist: str, form: str) -> str:
    """Return the script that copies what is named on its input to where another one goes (``make``), and lists it.

    Each process copies as many as a ``batch``. By the nonce ``relist`` it says the SHA-256 of a new list of the source.
    """
    again = _HASHES + _RELIST.format(here=_HERE.format(form=form), listing=_listing(), digest=DIGEST, nonce=relist)
    copy = _COPY.format(src=path_word(src), make=make, batch=batch, failed=FAILED, relist=again)
    return _HEAD + copy + _arrived(form) + "r=$?\nwait\nexit $r\n"


def _unpack(tools: Tools, packer: str | None = None, *, roots: bool = False) -> str:
    owners = "$o " if roots else "" if tools.root else "-o "
    options = owners + (_GNU_UNPACKS if tools.tar == "gnu" else "")
    return _UNPACK.format(decompress=_DECOMPRESS[packer], options=options)


def _unpack_hashed(nonce: str, tools: Tools, packer: str | None, *, roots: bool) -> str:
    roots = roots and tools.root
    unpack = _UNPACK_HASHED.format(unpack=_unpack(tools, packer, roots=roots))
    said = _DIGEST.format(digest=DIGEST, nonce=nonce, failed=FAILED)
    return (_MADE_BY_ROOT if roots else "") + tools.hasher + unpack + said + "[ $r = 0 ] || exit $r\n"


def shard_script(root: str, nonce: str, tools: Tools, packer: str | None = None, *, roots: bool = False) -> str:
    """Return the script that unpacks one of several archives in a directory that is there, and says its SHA-256."""
    cd = _CD.format(path=path_word(root), failed=FAILED)
    return _HEAD + "umask 077\n" + cd + _unpack_hashed(nonce, tools, packer, roots=roots)


def unpack_script(root: str, tools: Tools) -> str:
    """Return the script that unpacks its input in a directory that is there."""
    cd = _CD.format(path=path_word(root), failed=FAILED)
    return _HEAD + "umask 077\n" + cd + _unpack(tools) + "\n"


def take_over_script(root: str, left: str, mine: str) -> str:
    """Return the script that gives a staging directory another name, and then lists it."""
    cd = _CD.format(path=path_word(root), failed=FAILED)
    move = "" if left == mine else f"mv -- {path_word(left)} {path_word(mine)} || exit {FAILED}\n"
    return _HEAD + cd + move + list_script(f"./{mine}")


def end_others_script(names: Sequence[str]) -> str:
    """Return the script that ends what works on staging directories, and prints ``ended`` if there was anything.

    It prints ``stays`` if something would not end.
    """
    # not the names alone: whoever has looked into one has it in his environment
    end = end_script([f"{MARK}={name}" for name in names])
    return f'{_HEAD}{end}[ $j = 0 ] || echo ended\n[ -z "$m" ] || echo stays\n'


def apply_script(root: str, make: bool, parents: bool) -> str:
    """Return the script that does in a directory what the lines on its input say (_apply.py).

    The directory may have to be made first.
    """
    word = path_word(root)
    made = _MAKE_ROOT.format(path=word, parents="-p " if parents else "", failed=FAILED) if make else ""
    return _HEAD + made + _CD.format(path=word, failed=FAILED) + _APPLY


def sum_file_script(path: str) -> str:
    """Return the script that prints the SHA-256 of one file."""
    word = path_word(path)
    return f"{_HEAD}openssl dgst -sha256 -r <{word} 2>/dev/null || exec sha256sum <{word}\n"


def clean_script(root: str, names: Sequence[str], empty_root: bool) -> str:
    """Return the script that removes directories of transfers from a root, and the root too if it is empty then."""
    words = " ".join(path_word(name) for name in names)
    mark = f"{MARK}={quote(names[0])}; export {MARK}\n"
    script = f"{_HEAD}{mark}cd {path_word(root)} 2>/dev/null || exit 0\nrm -rf {words}\n"
    return script + (f"rmdir {path_word(root)} 2>/dev/null\n:\n" if empty_root else "")
