# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary files that a killed controller left beside a destination: whose they are, and whether they may go.

The name of a temporary carries the id of its operation and its owner, so a later run on the same controller can
tell for certain that the process is gone. One that belongs to another controller may be in use, and goes after a week.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

from .._owner import OWNER, Fate, fate_of, owner

__all__ = ["abandoned", "owner"]

_PATTERN = re.compile(rf"(\d{{4}}-\d\d-\d\d-\d{{6}})-[0-9a-f]{{8}}\.({OWNER})", re.ASCII)
_FOREIGN_DAYS = 7


def abandoned(suffixes: Iterable[str], now: datetime.datetime | None = None) -> list[str]:
    """Return those of the names, without the destination's part, that no run will finish."""
    moment = now or datetime.datetime.now()
    return [suffix for suffix in suffixes if _is_abandoned(suffix, moment)]


def _is_abandoned(suffix: str, now: datetime.datetime) -> bool:
    match = _PATTERN.fullmatch(suffix)
    if match is None:
        return False
    fate = fate_of(match[2])
    if fate is not Fate.UNKNOWN:
        return fate is Fate.GONE
    try:
        begun = datetime.datetime.strptime(match[1], "%Y-%m-%d-%H%M%S")
    except ValueError:
        return False  # no such time: it only looks like one of ours
    return now - begun > datetime.timedelta(days=_FOREIGN_DAYS)
