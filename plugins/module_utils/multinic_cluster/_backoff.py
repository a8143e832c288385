# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a run that failed is tried again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential, up to a limit, spread by a tenth so that nodes that failed together do not come back together.

    :param first: seconds after the first failure.
    :param most: seconds at most.
    """

    first: float = 30
    most: float = 1800

    def after(self, failures: int, uid: str) -> float:
        """Return the seconds to wait after so many failures in a row; the same for the same arguments."""
        # 2**64 times anything is more than most
        return spread(min(self.first * 2 ** min(max(failures, 1) - 1, 64), self.most), f"{uid}/{failures}")


def spread(seconds: float, seed: str) -> float:
    """Return from 90% to 100% of a time, by the seed."""
    return seconds * (0.9 + 0.1 * hashlib.sha256(seed.encode()).digest()[0] / 255)
