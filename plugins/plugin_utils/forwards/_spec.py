# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a forward is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Direction(Enum):
    """Which side listens."""

    LOCAL = "local"
    """This machine listens, and the far end is connected to."""
    REMOTE = "remote"
    """The far end (an SSH host) listens, and something here is connected to."""


class Lifetime(Enum):
    """When a forward ends by itself."""

    PLAY = "play"
    """With the last ansible-playbook that asked for it, however that ends."""
    PERSISTENT = "persistent"
    """When its time (ttl) is up, if it has one."""


@dataclass(frozen=True)
class PortPair:
    """One port that listens, and what it leads to."""

    listen: int
    """The port that listens; 0 for any that is free."""
    target: int | str
    """The port at the target: a number or, on Kubernetes, a name."""


@dataclass(frozen=True)
class ForwardSpec:
    """A forward as a user asked for it. Seconds everywhere."""

    name: str
    context: str
    target: str
    """Kubernetes: kind/name; SSH: the host to connect to, seen from the SSH host."""
    ports: tuple[PortPair, ...]
    bind: str = "127.0.0.1"
    direction: Direction = Direction.LOCAL
    lifetime: Lifetime = Lifetime.PLAY
    ttl: float | None = None
    wait_timeout: float = 60.0
    """How long it may take to be ready."""
    connect_timeout: float = 30.0
    """How long a connection waits for the far end before it is given up."""
