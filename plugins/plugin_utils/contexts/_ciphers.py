# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the ciphers and key exchanges that ssh would offer anyway to offer first.

ssh prefers ChaCha20 by default; where the processor has AES instructions, AES-GCM needs about half the time for the
same bytes. OpenSSH 9.0 to 9.9 prefer the key exchange sntrup761, which takes most of the time of a login (70 of 85 ms
of a processor, as measured with 9.2). It keeps what was recorded secret from a future quantum computer; a connection
that carries nothing secret does without.

Only the order is changed, and only where nobody chose one: ``ssh -G`` tells what the user's and the host's
configuration come to, and what ssh comes to without any.
"""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence

from .._linux import has_aes_instructions

_SECONDS = 10.0
_COSTLY = "sntrup761"


def cipher_options(executable: bytes, arguments: Sequence[bytes], destination: bytes) -> list[str]:
    """Return the options for a new connection: none where ssh's order is as good, or was chosen by somebody."""
    if not has_aes_instructions():
        return []
    configured = _settings([executable, *arguments, b"-G", destination]).get("ciphers")
    if not configured or configured != _settings([executable, b"-F", b"none", b"-G", destination]).get("ciphers"):
        return []
    order = sorted(configured.split(","), key=lambda cipher: "-gcm@" not in cipher)
    return ["-o", f"Ciphers={','.join(order)}"]


def light_exchange_options(executable: bytes, arguments: Sequence[bytes], destination: bytes) -> list[str]:
    """Return the options for a new connection that carries nothing secret: the costly key exchange comes last.

    There are none where that is not the one ssh prefers, where somebody chose the order, and where the user's
    credentials would be handed on.
    """
    configured = _settings([executable, *arguments, b"-G", destination])
    exchanges = configured.get("kexalgorithms", "")
    if not exchanges.startswith(_COSTLY) or configured.get("gssapidelegatecredentials", "no") != "no":
        return []
    if exchanges != _usual_exchanges(executable):
        return []
    order = sorted(exchanges.split(","), key=lambda exchange: exchange.startswith(_COSTLY))
    return ["-o", f"KexAlgorithms={','.join(order)}"]


@functools.cache
def _usual_exchanges(executable: bytes) -> str | None:
    """Return the key exchanges that ssh would offer to any host without any configuration."""
    return _settings([executable, b"-F", b"none", b"-G", b"localhost"]).get("kexalgorithms")


def _settings(argv: Sequence[bytes]) -> dict[str, str]:
    """Return what the options of a command line of ssh come to; nothing if it does not tell (before OpenSSH 6.8)."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else []
    return {word: value for word, _space, value in (line.partition(" ") for line in lines)}
