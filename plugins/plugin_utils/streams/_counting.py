# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stage counts what its command is given: the part of its script that stands between transport and command.

What the context has decides: perl moves pages without copying them, dd copies and says how much, and where dd does not
say it (busybox as Debian builds it) tee shows everything to wc. tests/benchmark/counting.py measures what each costs.
If who counts ended because nobody read on, the command stopped reading on purpose; any other end of it is none.
"""

from __future__ import annotations

from ._marker import EARLY, LOST

# The number of splice(2) for the architecture that this perl was built for (Linux, syscall tables), if there is one.
SPLICE_NUMBER = (
    "my %n = (x86_64 => 275, aarch64 => 76, riscv64 => 76, loongarch64 => 76, powerpc64le => 283, s390x => 306); "
    "print $n{$1} if $Config{ptrsize} == 8 && $Config{archname} =~ /^(\\w+?)-/"
)

# Large pipes, and a pause that lets the writer put more than a page or two into its own, are what makes it cheap. If
# the first call shows that the kernel or the descriptors do not take splice, perl reads and writes. 1031 is
# F_SETPIPE_SZ; where it is refused the pipes stay as they are.
_PERL = r"""use Errno qw(EINTR EAGAIN EPIPE);
my ($splice, $sum) = (shift, 0);
sub ended { print STDERR $_[0] ? "$_[0]\n" : "", "$sum bytes\n"; exit($_[0] ? 1 : 0) }
sub failed { ended($! == EPIPE ? "Broken pipe" : "$!") }
fcntl($_, 1031, 1 << 20) for \*STDIN, \*STDOUT;
while (1) {
  my $n = syscall($splice, 0, 0, 1, 0, 1 << 20, 0);
  ended() if $n == 0;
  if ($n > 0) { $sum += $n; select(undef, undef, undef, 0.0002) if $n < 131072 }
  elsif ($! == EAGAIN) { select(undef, undef, undef, 0.001) }
  elsif ($! != EINTR) { last }
}
failed() if $sum || $! == EPIPE;
while (1) {
  my $n = sysread(STDIN, my $data, 65536);
  ended() if defined $n && $n == 0;
  defined $n || $! == EINTR || failed();
  for (my $at = 0; defined $n && $at < $n;) {
    my $put = syswrite(STDOUT, $data, $n - $at, $at);
    defined $put || $! == EINTR || failed();
    $at += $put || 0;
  }
  $sum += $n || 0;
}
"""

# Each way copies its input to its output and tells on 3 how many bytes that were, and how it ended.
_WAYS = rf"""by_perl() {{ LC_ALL=C perl -e '{_PERL}' "$splice" 2>&3; echo "copy=$?" >&3; }}
by_dd() {{ LC_ALL=C dd bs=65536 2>&3; echo "copy=$?" >&3; }}
by_tee() {{
  {{ {{ LC_ALL=C tee /proc/self/fd/6 2>&3 6>&1 >&7; echo "copy=$?" >&3; }} |
    {{ n=$(wc -c) && echo "$n bytes" >&3 || echo uncounted >&3; }} }} 7>&1
}}
count=by_tee
case "$(LC_ALL=C dd if=/dev/null 2>&1)" in *" bytes"*) count=by_dd ;; esac
splice=$(perl -MConfig -e '{SPLICE_NUMBER}' 2>/dev/null)
[ -z "$splice" ] || count=by_perl
"""

_COUNTED = r"""exec 4>&1 5>&2
x=$(exec 3>&1 >&4
  $count | {{ ( exec 2>&5 3>&- 4>&- 5>&-; {run} ); echo "rc=$?" >&3; }})
i= r=255 e= k=
IFS='
'
set -f
for l in $x; do
  case "$l" in
    rc=*) r=${{l#rc=}} ;;
    copy=*) k=${{l#copy=}} ;;
    *[Bb]"roken pipe"*) e=1 ;;
    uncounted) e=2 ;;
    *" byte"*) i=${{l%% byte*}} ;;
  esac
done
i=${{i##* }}
case "$k$e" in
  0) [ -n "$i" ] || i={lost} ;;
  141|11) i={early} ;;
  *) i={lost} ;;
esac
mark $r "$i"
exit $r
"""


def counted_body(run: str) -> str:
    """Return what a stage does once it is told to go: run a command, count its input, and leave the mark."""
    return _WAYS + _COUNTED.format(run=run, early=EARLY, lost=LOST)
