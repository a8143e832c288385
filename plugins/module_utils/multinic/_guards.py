# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which guard a node can have."""

from __future__ import annotations

from ansible_collections.manifold.core.plugins.module_utils.multinic._attendant import Attendant
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._guard import Guard, NoGuard
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System
from ansible_collections.manifold.core.plugins.module_utils.multinic._timer import Timer
from ansible_collections.manifold.core.plugins.module_utils.multinic._watchdog import Watchdog

KINDS = (Attendant, Timer, Watchdog)
"""In order of preference: a pod says if it has the container, the timer of systemd belongs to no session, the watchdog
needs nothing but Python."""
CHOICES = ("auto", *(kind.kind for kind in KINDS), NoGuard.kind)
"""What may be asked for."""


def choose(system: System, wanted: str = "auto") -> Guard:
    """Return the guard of this kind, or the best one that the node can have.

    :raises GuardError: the node cannot have it; the text says why and what to do.
    """
    if wanted == NoGuard.kind:
        return NoGuard(system)
    reasons = []
    for guard in every(system):
        if wanted in ("auto", guard.kind):
            reason = guard.missing()
            if reason is None:
                return guard
            reasons.append(f"{guard.kind}: {reason}")
    if not reasons:
        raise GuardError(f"there is no guard {wanted!r}; choose one of {', '.join(CHOICES)}")
    raise GuardError(
        f"this node cannot have a guard ({'; '.join(reasons)}); nothing was changed. "
        "Choose another one, or guard: none to go without"
    )


def every(system: System) -> tuple[Guard, ...]:
    """Return all kinds, whether the node can have them or not."""
    return tuple(kind(system) for kind in KINDS)
