# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark a stage leaves after its last byte: proof that the stream is whole, with the stage's own status.

A transport's exit status proves nothing: ``kubectl exec`` is known to exit 0 on a stream that was cut, and a
consumer on a cut input exits 0 as well. So the shell that runs a stage writes, on the data stream itself, a
line of fixed length after the last byte of data. It carries a number that only this run knows, the exit status
of the command, and how many bytes the command was given up to the end of its input.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

NONCE_LENGTH = 32
_HEAD = "\x1emanifold "
MARK_LENGTH = len(_HEAD) + NONCE_LENGTH + 1 + 3 + 1 + 20 + 1
"""Bytes of a mark; a pump holds back no more than this many."""

PRINTF_FORMAT = r"\036manifold %s %03d %20s\n"
"""What a POSIX ``printf`` needs to write a mark: nonce, status, and the count of input bytes or a word."""

UNCOUNTED = "-"
"""Written as the count by a stage that has no input or does not count it."""
EARLY = "early"
"""Written as the count by a stage whose command closed its input before the end, on purpose."""
LOST = "lost"
"""Written as the count by a stage whose counting ended before the input did."""

_PATTERN = re.compile(rb"\x1emanifold ([0-9a-f]{32}) (\d{3}) ([ 0-9a-z-]{20})\n")


def new_nonce() -> str:
    """Return a number that no data can hold by accident, in hexadecimal."""
    return secrets.token_hex(NONCE_LENGTH // 2)


def mark_head(nonce: str) -> bytes:
    """Return what the mark of a stage begins with."""
    return f"{_HEAD}{nonce} ".encode()


def held_back(tail: bytes) -> int:
    """Return how many of the last bytes seen may be the beginning of a mark, or a whole one."""
    start = tail.rfind(_HEAD[:1].encode(), max(0, len(tail) - MARK_LENGTH))
    return 0 if start < 0 else len(tail) - start


@dataclass(frozen=True)
class Mark:
    """What a stage said of itself after its last byte."""

    rc: int
    bytes_given: int | None
    """Bytes the stage was given up to the end of its input; None if it did not count."""
    closed_early: bool
    """The command stopped reading before the end of its input."""
    lost_count: bool = False
    """Counting the input ended early, and nothing can be said of it."""


def parse_mark(tail: bytes, nonce: str) -> Mark | None:
    """Return the mark that ``tail``, the last bytes of a stream, consists of; None if it is not this stage's mark."""
    match = _PATTERN.fullmatch(tail)
    if match is None or match[1] != nonce.encode():
        return None
    count = match[3].strip().decode()
    if count in (UNCOUNTED, EARLY):
        return Mark(int(match[2]), None, count == EARLY)
    if count == LOST:
        return Mark(int(match[2]), None, False, lost_count=True)
    return Mark(int(match[2]), int(count), False) if count.isdigit() else None
