# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the matrix: where a step runs, what it does, what befalls it and what has to come of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faults.scene import Scene

SIZE = 6 << 20
"""Bytes that the source prints: more than the pipes on the way hold."""
STALL_SECONDS = 2.0
"""``stall_timeout`` of the pipelines that are to stall."""


class Transport(Enum):
    """How the step that the fault befalls is reached; the other steps run on this machine."""

    LOCAL = "local"
    SSH = "ssh"
    SSH_BECOME = "ssh, become"
    WEBSOCKET = "kubectl, WebSocket"
    SPDY = "kubectl, SPDY"


SSH = (Transport.SSH, Transport.SSH_BECOME)
KUBECTL = (Transport.WEBSOCKET, Transport.SPDY)


class Role(Enum):
    """What the step that the fault befalls does in its pipeline; the value is the step's name."""

    SOURCE = "source"
    MIDDLE = "middle"
    LAST = "last"
    SINK = "sink"


EVERY_ROLE = tuple(Role)


class Old(Enum):
    """What is at the destination before."""

    PRESENT = "present"
    ABSENT = "absent"


class Place(Enum):
    """Which folder the destination is in."""

    USUAL = "usual"
    FULL = "full"
    """On a file system smaller than the data."""
    LOCKED = "locked"
    """Where the user of the step may not write."""


class Expected(Enum):
    """What has to come of a cell. Everywhere: the destination whole or untouched, and nothing left running."""

    WHOLE = "green and whole"
    RED = "red, the right step blamed, the destination untouched"
    EITHER = "red as above, or green and whole"
    ENDED = "the controller ended by the signal, the destination untouched"


class Leg(Enum):
    """A direction as a step sees it."""

    INPUT = "input"
    OUTPUT = "output"


Strike = Callable[["Scene"], None]


def nothing(scene: Scene) -> None:
    """Prepare nothing."""
    del scene


def let_go(scene: Scene) -> None:
    """Do nothing but let the source go on."""
    scene.gate.open()


@dataclass(frozen=True, eq=False)
class Fault:
    """A row of the matrix.

    The source prints a part of its data, says so and waits (``at``); then ``strike`` is called.
    """

    name: str
    roles: tuple[Role, ...] = EVERY_ROLE
    prepare: Strike = nothing
    """What is done before the pipeline starts."""
    strike: Strike = let_go
    at: float = 0.5
    """How much of the data the source prints before the fault strikes, as a fraction."""
    source_fails: bool = False
    """The source exits with status 1 there, instead of waiting."""
    place: Place = Place.USUAL
    expected: Expected = Expected.RED
    stalls: bool = False
    """The pipeline runs with a stall_timeout."""
    temporary_stays: bool = False
    """Nobody is left to remove the temporary, or nothing leads there any more; the next run has to."""
    lies: bool = False
    """The transport has to end in order, with success, in the middle of the data."""
    inapplicable: Mapping[Transport, str] = field(default_factory=dict)
    """Why the fault does not exist on a transport."""

    def blamed(self, role: Role) -> frozenset[str]:
        """Return the steps of which one has to be named as the one that failed."""
        return frozenset({role.value})


@dataclass(frozen=True)
class Cell:
    """One pipeline and what befalls it."""

    fault: Fault
    transport: Transport
    role: Role
    old: Old

    @property
    def name(self) -> str:
        """What the cell is called in messages."""
        return f"{self.fault.name} | {self.transport.value} | {self.role.value} | {self.old.value}"


@dataclass(frozen=True)
class Finding:
    """What came of a cell: no problems means that it holds."""

    cell: Cell
    problems: tuple[str, ...]
    seconds: float
