# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service for a pod with Debian's perl: it takes any number of connections at once, which nc of busybox does not."""

from __future__ import annotations

from typing import Any

DOWN, UP, SMALL, NAME = "down", "up", "small", "name"
ANSWER = b"0123456789abcdef"

# What is long gets a process of its own; what is short is answered at once. On TERM no more are taken.
_PERL = r"""use Socket;
my ($port, $what, $size) = @ARGV;
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
bind($listener, sockaddr_in($port, INADDR_ANY)) && listen($listener, 1024) or die;
$SIG{CHLD} = "IGNORE";
$SIG{TERM} = sub { close $listener; select(undef, undef, undef, 0.5); exit };
my $name = `hostname`;
sub give { my $at = 0; while ($at < length $_[1]) { $at += syswrite($_[0], $_[1], length($_[1]) - $at, $at) || exit } }
while (1) {
  accept(my $client, $listener) or next;
  if ($what eq "small") { give($client, "0123456789abcdef") }
  elsif ($what eq "name") { give($client, $name) }
  elsif (!fork) {
    my $block = "\0" x 1048576;
    if ($what eq "down") { give($client, $block) for 1 .. $size }
    else {
      my $left = $size * 1048576;
      while ($left > 0) { $left -= sysread($client, $block, 1048576) || exit }
      give($client, "k");
    }
    exit;
  }
  close $client;
}
"""


def container(port: int, what: str, mebibytes: int = 0) -> dict[str, Any]:
    """Return a container that serves a port: so many MiB down or up, a short answer, or the name of its pod."""
    command = ["perl", "-e", _PERL, str(port), what, str(mebibytes)]
    return {"name": f"{what}-{port}", "image": "debian", "command": command, "ports": [{"containerPort": port}]}
