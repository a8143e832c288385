# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ssh says when it fails, in words that a user can act on."""

from __future__ import annotations

import re

from ._base import Diagnosis

_DIAGNOSES: tuple[tuple[str, str, str], ...] = (
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host key is unknown or has changed",
        "Compare the key with the host's administrator and add it to known_hosts.",
    ),
    (
        r"not accessible: No such file|no such identity|Load key|UNPROTECTED PRIVATE KEY",
        "{line}",
        "Check ansible_ssh_private_key_file: it must exist and only you may read it.",
    ),
    (
        r"Permission denied",
        "the SSH server refused the login ({line})",
        "Check user, key (ansible_ssh_private_key_file), agent or password of this context.",
    ),
    (
        r"Could not resolve hostname",
        "{line}",
        "Check ansible_host of this context.",
    ),
    (
        r"Connection refused",
        "{line}",
        "Check that an SSH server listens there (ansible_host, ansible_port).",
    ),
    (
        r"timed out|No route to host|Network is unreachable",
        "{line}",
        "Check the network, ansible_host and ansible_port.",
    ),
)


def diagnose(output: str) -> Diagnosis | None:
    """Return what the output of ssh says of its failure; None if nothing in it is known."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for pattern, cause, remedy in _DIAGNOSES:
        for line in lines:
            if re.search(pattern, line):
                return Diagnosis(cause.format(line=line), remedy)
    return None
