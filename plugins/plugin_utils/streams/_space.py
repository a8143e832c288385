# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much room a directory has."""

from __future__ import annotations

import re

_LINE = re.compile(r"\s(\d+)\s+(\d+)\s+(\d+)\s+\d+%\s")
"""Blocks, used, available and the share used, in a line of ``df -P`` (POSIX)."""


def free_bytes(line: str) -> int | None:
    """Return the bytes available according to a line of ``df -Pk``; None if it says nothing."""
    match = _LINE.search(line)
    return int(match[3]) * 1024 if match else None
