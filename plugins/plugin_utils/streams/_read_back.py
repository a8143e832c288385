# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The perl program that writes its input to extents of a file, and prints what the file then holds there.

It has splice(2) move the pages, so that the only copy is the one into the page cache: to read back with dd costs as
much as to write. 1031 is F_SETPIPE_SZ; where it is refused the pipes stay as they are. What cannot be spliced (22 is
EINVAL: neither end is a pipe, or the file system does not do it) is read and written. 4 is EINTR, 11 EAGAIN.
"""

from __future__ import annotations

# The pause lets the writer put more than a page or two into the pipe. Flushing begins while more comes, and is not
# waited for.
PROGRAM = r"""my ($splice, $file, $unit, $flush, @extents) = @ARGV;
$SIG{CHLD} = "IGNORE";
open(my $out, "+<", $file) && open(my $back, "<", $file) or failed();
fcntl($_, 1031, 1 << 20) for \*STDIN, \*STDOUT;
sub failed { print STDERR "$file: $!\n"; exit 1 }
sub copied {
  my ($from, $to, $most) = @_;
  my $n = sysread($from, my $data, $most < 131072 ? $most : 131072);
  for (my $at = 0; $n && $at < $n;) {
    my $put = syswrite($to, $data, $n - $at, $at);
    defined $put || $! == 4 || return;
    $at += $put || 0;
  }
  $n;
}
sub moved {
  my ($from, $to, $most) = @_;
  while (1) {
    my $n = syscall($splice, fileno($from), 0, fileno($to), 0, $most, 0);
    return $n if $n >= 0;
    if ($! == 22) { $n = copied(@_); return $n if defined $n }
    select(undef, undef, undef, 0.001) if $! == 11;
    $! == 4 || $! == 11 || failed();
  }
}
my $since = 0;
for (@extents) {
  my ($at, $left) = map { $_ * $unit } split /:/;
  sysseek($_, $at, 0) for $out, $back;
  while ($left > 0) {
    my $n = moved(\*STDIN, $out, $left < 1 << 20 ? $left : 1 << 20) or last;
    $left -= $n;
    for (my $more = $n; $more > 0;) { $more -= moved($back, \*STDOUT, $more) || failed($! = 5) }
    select(undef, undef, undef, 0.0002) if $n < 131072;
    next if !$flush || ($since += $n) < 1 << 26;
    $since = 0;
    if (!fork) { open(STDOUT, ">", "/dev/null"); exec "sync", "-d", $file; exit }
  }
}
"""
