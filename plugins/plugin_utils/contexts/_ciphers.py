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
from collections.abc import Callable, Mapping, Sequence

from .._linux import has_aes_instructions

_SECONDS = 10.0
_COSTLY = "sntrup761"


def cipher_options(executable: bytes, arguments: Sequence[bytes], destination: bytes) -> list[str]:
    """Return the options for a new connection: none where ssh's order is as good, or was chosen by somebody."""
    if not has_aes_instructions():
        return []
    configured = _settings([executable, *arguments, b"-G", destination])
    return _reordered(executable, configured, "Ciphers", lambda cipher: "-gcm@" not in cipher)


def light_exchange_options(executable: bytes, arguments: Sequence[bytes], destination: bytes) -> list[str]:
    """Return the options for a new connection that carries nothing secret: the costly key exchange comes last.

    There are none where that is not the one ssh prefers, where somebody chose the order, and where the user's
    credentials would be handed on.
    """
    configured = _settings([executable, *arguments, b"-G", destination])
    prefers_costly = configured.get("kexalgorithms", "").startswith(_COSTLY)
    if not prefers_costly or configured.get("gssapidelegatecredentials", "no") != "no":
        return []
    return _reordered(executable, configured, "KexAlgorithms", lambda exchange: exchange.startswith(_COSTLY))


def _reordered(
    executable: bytes, configured: Mapping[str, str], keyword: str, later: Callable[[str], bool]
) -> list[str]:
    """Return the option that puts some of the algorithms of a keyword last, unless somebody chose their order."""
    offered = configured.get(keyword.lower())
    if not offered or offered != _usual(executable).get(keyword.lower()):
        return []
    return ["-o", f"{keyword}={','.join(sorted(offered.split(','), key=later))}"]


@functools.cache
def _usual(executable: bytes) -> Mapping[str, str]:
    """Return what ssh would offer to any host without any configuration."""
    return _settings([executable, b"-F", b"none", b"-G", b"localhost"])


def _settings(argv: Sequence[bytes]) -> dict[str, str]:
    """Return what the options of a command line of ssh come to; nothing if it does not tell (before OpenSSH 6.8)."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.decode(errors="replace").splitlines() if done.returncode == 0 else []
    return {word: value for word, _space, value in (line.partition(" ") for line in lines)}
