# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user would otherwise run: scp, rsync, kubectl cp and cp, with their defaults and the site's keys.

No master connection is shared by runs, neither theirs nor ours: each logs in anew.
"""

from __future__ import annotations

import shlex

from testbed.ssh.host import SshHost

Command = list[str]


def scp(host: SshHost, source: str, dest: str, *, tree: bool = False) -> Command:
    """Return the command that copies to a host."""
    options, destination = _ssh(host)
    at = options.index("-p")
    return [
        "scp",
        "-q",
        *(["-r"] if tree else []),
        *options[:at],
        "-P",
        *options[at + 1 :],
        source,
        f"{destination}:{dest}",
    ]


def rsync(host: SshHost, source: str, dest: str) -> Command:
    """Return the command that mirrors to a host."""
    options, destination = _ssh(host)
    return ["rsync", "-a", "-e", shlex.join(["ssh", *options]), source, f"{destination}:{dest}"]


def _ssh(host: SshHost) -> tuple[list[str], str]:
    _ssh_word, *options, destination = host.ssh_argv()
    return options, destination


def cp(source: str, dest: str) -> Command:
    """Return the command that copies on this machine."""
    return ["cp", "-a", source, dest]
