# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change that is undone unless it is confirmed::

recover(system)                          # an earlier run that was killed: end its change
snapshot = take(system, backend, indexes, paths)
armed = arm(snapshot, guard, seconds)    # from here on the node is restored without us
...                                      # change it; armed.fence() before every step
armed.disarm()                           # keep the change, or
armed.restore()                          # undo it
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Iterable

from ansible_collections.manifold.core.plugins.module_utils.multinic import _guards, _snapshot
from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._guard import Guard
from ansible_collections.manifold.core.plugins.module_utils.multinic._restore import put_back
from ansible_collections.manifold.core.plugins.module_utils.multinic._snapshot import Snapshot
from ansible_collections.manifold.core.plugins.module_utils.multinic._state import Restored, State
from ansible_collections.manifold.core.plugins.module_utils.multinic._switch import program
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_ITSELF = "the run itself"


def take(system: System, backend: Backend, indexes: Iterable[int], paths: Iterable[str]) -> Snapshot:
    """Record what a change may touch.

    :param indexes: of the links.
    :param paths: of the files, absolute, as the node sees them; those that are not there yet too.
    :raises NodeError: the node cannot be looked at.
    """
    return _snapshot.take(system, indexes, paths, backend.untell())


class Armed:
    """A change in progress."""

    def __init__(self, guard: Guard, snapshot: Snapshot) -> None:
        self._guard = guard
        self._system = guard.system
        self._snapshot = snapshot
        self._state = State(guard.system)

    @property
    def kind(self) -> str:
        """The kind of the guard, or ``none``."""
        return self._guard.kind

    def remaining(self) -> float:
        """Return how many seconds are left until the guard goes off."""
        return max(0.0, self._snapshot.deadline - time.monotonic())

    def fence(self) -> None:
        """Make sure that the change may still go on. :raises GuardError: the guard has restored the node."""
        if self._state.decided(self._snapshot.nonce):
            self.disarm()

    def undo(self, indexes: Iterable[int], paths: Iterable[str]) -> tuple[str, ...]:
        """Put back these links and files alone, and go on; return what could not be put back."""
        return put_back(self._system, self._snapshot.only(indexes, paths))

    def disarm(self) -> tuple[str, ...]:
        """Keep the change and leave nothing armed.

        :return: what could not be taken away; it does no harm.
        :raises GuardError: the guard was faster, the node was restored.
        """
        undone = self._state.keep(self._snapshot.nonce, _ITSELF)
        if undone is None:
            return self._leave_nothing()
        # This process may have gone on with the change after the guard had restored the node.
        problems = put_back(self._system, self._snapshot)
        self._leave_nothing()
        left = f"; not put back: {'; '.join(problems)}" if problems else ""
        raise GuardError(
            f"the change was not confirmed in time, so the guard ({self.kind}) has restored the node{left}"
        )

    def restore(self) -> Restored:
        """Undo the change and leave nothing armed. :raises GuardError: somebody else has been at it for too long."""
        restored = self._state.restore(self._snapshot.nonce, _ITSELF)
        if restored is None or restored.by != _ITSELF:
            problems = put_back(self._system, self._snapshot)
            restored = Restored(self._snapshot.nonce, "the guard", time.time(), problems)
        self._leave_nothing()
        return restored

    def _leave_nothing(self) -> tuple[str, ...]:
        try:
            self._guard.disarm()
        except GuardError as exc:
            return (str(exc),)
        self._state.take_report()
        self._state.tidy()
        return ()


def arm(snapshot: Snapshot, guard: Guard, seconds: float) -> Armed:
    """Put the change on record and arm its guard, which goes off in so many seconds.

    :raises GuardError: it cannot be armed; nothing was changed, and nothing is left.
    """
    state = State(guard.system)
    snapshot = replace(snapshot, deadline=time.monotonic() + seconds)
    state.begin(snapshot, program())
    try:
        guard.arm(snapshot.nonce, seconds)
    except GuardError:
        state.keep(snapshot.nonce, _ITSELF)
        guard.disarm()
        state.tidy()
        raise
    return Armed(guard, snapshot)


def unfinished(system: System) -> bool:
    """Return whether an earlier run has left a change that :func:`recover` would end. Writes nothing."""
    return State(system).pending() is not None


def recover(system: System) -> Restored | None:
    """End what an earlier run has left, because it was killed or because its guard has gone off.

    A change in progress is undone; a guard that is still armed is taken away.

    :return: how the node was restored, by this or by the guard of that run; None if there was nothing.
    :raises GuardError: the record of the change cannot be read.
    """
    state = State(system)
    restored = state.restore(None, "this run, for an earlier one that was killed")
    if state.left_over():
        for guard in _guards.every(system):
            if guard.missing() is None:
                guard.disarm()
        state.tidy()
    return state.take_report() or restored
