# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead-man's switch: what undoes a change when the process that made it cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System


class Guard(ABC):
    """One kind of switch.

    :param system: the node.
    """

    kind: str

    def __init__(self, system: System) -> None:
        self.system = system

    @abstractmethod
    def missing(self) -> str | None:
        """Return why this node cannot use the guard, or None if it can."""

    @abstractmethod
    def arm(self, snapshot: str, seconds: int) -> None:
        """Restore the snapshot in so many seconds unless disarmed. :raises GuardError: it cannot be armed.

        :param snapshot: path of the snapshot, as the node sees it.
        """

    @abstractmethod
    def disarm(self) -> None:
        """Take the switch away. :raises GuardError: it has gone off already, so the node was restored."""
