# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dead-man's switch: what undoes a change when the process that made it cannot."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from pathlib import Path

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_PYTHONS = ("/usr/bin/python3", "/usr/libexec/platform-python")


class Guard(ABC):
    """One kind of switch. Whether a change is kept or undone is not decided here but in :mod:`_state`.

    :param system: the node.
    """

    kind: str

    def __init__(self, system: System) -> None:
        self.system = system

    @abstractmethod
    def missing(self) -> str | None:
        """Return why this node cannot use the guard, or None if it can."""

    @abstractmethod
    def arm(self, nonce: str, seconds: float) -> None:
        """See to it that the change with this nonce is undone in so many seconds, unless it was decided before.

        :raises GuardError: it cannot be armed.
        """

    @abstractmethod
    def disarm(self) -> None:
        """Take the switch away, whichever run has armed it; it may be gone already.

        The change is decided by now, so that a switch which stays would do nothing when it goes off.

        :raises GuardError: it is still there.
        """

    def python(self) -> str:
        """Return the Python of the node, which runs the program. :raises GuardError: there is none."""
        if self.system.root == Path("/") and sys.executable:
            return sys.executable
        for python in _PYTHONS:
            if self.system.path(python).exists():
                return python
        raise GuardError(f"cannot arm the guard: the node has no Python at {' or '.join(_PYTHONS)}")


class NoGuard(Guard):
    """What is used by those who want none: a failed change is still undone, but only by the run itself."""

    kind = "none"

    def missing(self) -> str | None:
        return None

    def arm(self, nonce: str, seconds: float) -> None:
        pass

    def disarm(self) -> None:
        pass
