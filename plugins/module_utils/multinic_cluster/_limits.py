# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many nodes may be worked on at once, and when to stop because too many fail."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import SettingsError

if TYPE_CHECKING:
    from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Fleet

_LIMIT = re.compile(r"([0-9]{1,7})(%?)")


class Blocked(Enum):
    """Why no Job may be created now."""

    FULL = "NodesInFlight"
    FAILURES = "TooManyFailures"


@dataclass(frozen=True)
class Limit:
    """A number of nodes, or a share of all."""

    value: int
    percent: bool = False

    def of(self, total: int) -> int:
        """Return how many of so many nodes; at least one, a share is rounded up."""
        return max(1, math.ceil(total * self.value / 100) if self.percent else self.value)

    def __str__(self) -> str:
        return f"{self.value}%" if self.percent else str(self.value)


def limit(text: object, what: str) -> Limit:
    """Read ``10`` or ``25%``. :raises SettingsError: it is neither."""
    found = None if isinstance(text, bool) else _LIMIT.fullmatch(str(text).strip())
    if found is None or int(found.group(1)) == 0:
        raise SettingsError(f"{what} is {text!r}; it must be a number of nodes from 1, or a share such as 10%")
    return Limit(int(found.group(1)), bool(found.group(2)))


@dataclass(frozen=True)
class Limits:
    """:param in_flight: nodes with a Job at once.

    :param failures: while more nodes than this have a run that failed, none that is well is touched. Those that failed
        are tried again all the same: that is how it ends.
    """

    in_flight: Limit = field(default_factory=lambda: Limit(10))
    failures: Limit = field(default_factory=lambda: Limit(25, percent=True))

    def blocked(self, fleet: Fleet, uid: str, repairing: bool) -> Blocked | None:
        """Return why a resource's Job may not be created now, or None.

        :param repairing: whether it is to mend or to undo what a run of its own has done.
        """
        if len(fleet.in_flight - {uid}) >= self.in_flight.of(fleet.size):
            return Blocked.FULL
        others = fleet.failing - {uid}
        if not repairing and uid not in fleet.failing and len(others) > self.failures.of(fleet.size):
            return Blocked.FAILURES
        return None
