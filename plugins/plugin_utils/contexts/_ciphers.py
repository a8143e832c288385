# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the ciphers that ssh would offer anyway to offer first.

ssh prefers ChaCha20 by default; where the processor has AES instructions, AES-GCM needs about half the time for the
same bytes. Only the order is changed, and only where nobody chose one: ``ssh -G`` tells what the user's and the
host's configuration come to, and what ssh comes to without any.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from .._linux import has_aes_instructions

_SECONDS = 10.0


def cipher_options(executable: bytes, arguments: Sequence[bytes], destination: bytes) -> list[str]:
    """Return the options for a new connection: none where ssh's order is as good, or was chosen by somebody."""
    if not has_aes_instructions():
        return []
    configured = _ciphers([executable, *arguments, b"-G", destination])
    if not configured or configured != _ciphers([executable, b"-F", b"none", b"-G", destination]):
        return []
    order = sorted(configured.split(","), key=lambda cipher: "-gcm@" not in cipher)
    return ["-o", f"Ciphers={','.join(order)}"]


def _ciphers(argv: Sequence[bytes]) -> str | None:
    """Return what a command line of ssh would offer; None if it does not tell (before OpenSSH 6.8)."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    for line in done.stdout.decode(errors="replace").splitlines():
        word, _space, value = line.partition(" ")
        if word == "ciphers" and done.returncode == 0:
            return value
    return None
