# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a plan, group by group; a group that fails is undone alone and the others go on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterable, Protocol

from ansible_collections.manifold.core.plugins.module_utils.multinic import _files as files
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Group, Plan, Target
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import Command, Step, WriteFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_FORBIDDEN = ("IPv6 is disabled on this device", "Permission denied")
"""What ip says of an IPv6 address on a link that must not have one (net.ipv6.conf.LINK.disable_ipv6), or said once."""
_PATIENCE = 2.0
"""Seconds in which that may pass: NetworkManager forbids IPv6 for some milliseconds on a link that it finds anew under
another name."""
_PAUSE = 0.02


class Change(Protocol):
    """What a change in progress needs to know of its guard, see :class:`_guarded.Armed`."""

    def fence(self) -> None:
        """Make sure that the change may still go on. :raises GuardError: the guard has gone off."""

    def undo(self, indexes: Iterable[int], paths: Iterable[str]) -> tuple[str, ...]:
        """Put back these links and files alone; return what could not be put back."""


@dataclass(frozen=True)
class Failure:
    """A target that could not be changed, and why."""

    target: Target
    reason: str


def apply(system: System, plan: Plan, change: Change) -> tuple[Failure, ...]:
    """Carry out a plan; return what did not work, which is as it was before (or its reason says that it is not).

    :raises GuardError: the guard has gone off, so that everything is as it was before.
    """
    failures: list[Failure] = []
    for group in plan.groups:
        reason = _attempt(system, group, change)
        if reason is not None:
            failures += [Failure(target, reason) for target in group.targets]
    return tuple(failures)


def perform(system: System, step: Step) -> None:
    """Take one step. :raises NodeError: it did not work; the text names the step."""
    if isinstance(step, Command):
        _run(system, step)
        return
    try:
        if isinstance(step, WriteFile):
            files.write(system.path(step.file.path), step.file.content.encode(), step.file.mode)
        else:
            files.remove(system.path(step.path))
    except OSError as exc:
        raise NodeError(f"{step}: {exc.strerror or exc}") from exc


def _run(system: System, step: Command) -> None:
    six = step.argv[:3] == ("ip", "address", "replace") and ":" in step.argv[3]
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            system.checked(step.argv)
        except NodeError as exc:
            if not (six and any(each in str(exc) for each in _FORBIDDEN)) or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(_PAUSE)


def _attempt(system: System, group: Group, change: Change) -> str | None:
    """Take the steps of a group; after a failure undo them and return the reason."""
    try:
        for step in group.steps:
            change.fence()
            perform(system, step)
    except NodeError as exc:
        problems = change.undo(group.indexes, group.paths)
        undone = f"; undoing it failed as well: {'; '.join(problems)}" if problems else ""
        return f"{exc}{undone}"
    return None
