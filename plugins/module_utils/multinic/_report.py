# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run did, for each interface."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any


class State(Enum):
    """What became of an interface."""

    CONFIGURED = "configured"  # it is as it is wanted
    FAILED = "failed"  # it cannot be, or a change did not work and was undone
    REFUSED = "refused"  # its entry is not valid, or it is not safe to change
    REMOVED = "removed"  # it was ours and is not wanted any more


class FailOn(Enum):
    """When the task fails for interfaces that could not be configured."""

    ANY = "any"
    ALL = "all"
    NEVER = "never"


@dataclass(frozen=True)
class Outcome:
    """What became of one interface.

    :param id: None for a link that no entry and no file of ours names.
    :param name: None if it has none of our names.
    """

    id: int | None
    mac: str | None
    name: str | None
    state: State
    changed: bool = False
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the plain values for the result of a task."""
        return {
            "id": self.id,
            "mac": self.mac,
            "name": self.name,
            "state": self.state.value,
            "changed": self.changed,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Report:
    """The result of one run.

    :param guard: the kind of dead-man's switch that was armed; None if nothing had to be changed.
    :param rolled_back: why everything was put back as it was, or None.
    :param steps: what was done, or would be, in words.
    """

    outcomes: tuple[Outcome, ...]
    backend: str
    guard: str | None = None
    rolled_back: str | None = None
    diff: tuple[dict[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.diff)

    def failure(self, fail_on: FailOn) -> str | None:
        """Return why the task fails, or None."""
        if self.rolled_back is not None:
            return f"The node was put back as it was: {self.rolled_back}"
        wanted = [outcome for outcome in self.outcomes if outcome.state is not State.REMOVED]
        bad = [outcome for outcome in wanted if outcome.state is not State.CONFIGURED]
        limit = {FailOn.ANY: 1, FailOn.ALL: len(wanted), FailOn.NEVER: len(wanted) + 1}[fail_on]
        if not bad or len(bad) < limit:
            return None
        reasons = "; ".join(f"{_label(outcome)}: {outcome.reason}" for outcome in bad)
        return f"{len(bad)} of {len(wanted)} interfaces could not be configured: {reasons}"

    def as_result(self) -> dict[str, Any]:
        """Return the result of a task."""
        return {
            "changed": self.changed,
            "interfaces": [outcome.as_dict() for outcome in self.outcomes],
            "backend": self.backend,
            "guard": self.guard,
            "rolled_back": self.rolled_back is not None,
            "steps": list(self.steps),
        }


def _label(outcome: Outcome) -> str:
    if outcome.id is not None:
        return f"id {outcome.id}"
    return outcome.mac or outcome.name or "an entry"
