# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor needs of the way to the far end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ._spec import ForwardSpec, PortPair


class Channel(Protocol):
    """One connection to the far end, which has accepted it."""

    def relay(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        """Move bytes both ways until both directions have ended.

        The end of one direction is passed on (half-close). ``count`` is told how many bytes went to the far end and how
        many came from it. Raises OSError if either side was cut: ``client`` is to be reset then, so that nobody takes a
        cut for the end. It is closed by the caller in any case. May be called once, from a thread of its own, with the
        client that ``connect`` was told of.
        """

    def close(self) -> None:
        """Cut it, from any thread; relay returns or raises then."""


@dataclass(frozen=True)
class FarListener:
    """A port that listens at the far end."""

    arrivals: socket.socket
    """Listens here: what connects to the port at the far end arrives in it (a Unix socket of nobody else's)."""
    port: int
    """The port at the far end; the one that was allocated where any would do."""


class Transport(Protocol):
    """The way to one target. All methods may be called from several threads."""

    def check(self, deadline: float) -> None:
        """Find the target, until ``deadline`` (time.monotonic).

        Raises ForwardError for what waiting does not change (unknown service, port that it does not have, context that
        cannot be reached), Unavailable for what it may (no ready pod).
        """

    def connect(self, port: PortPair, deadline: float, client: socket.socket | None = None) -> Channel:
        """Connect to a port of the target, for a client if there is one yet.

        Raises Unavailable if it may be tried again, else ForwardError; nothing has come of the client's data then, and
        nothing has been sent to it.
        """

    def catch_up(self) -> None:
        """Have everything counted that has moved until now."""

    def bound(self) -> tuple[FarListener, ...]:
        """Return what listens at the far end, in the order of the ports of the specification.

        Called after ``check``, and only for Direction.REMOTE; where this machine listens there are none. A supervisor
        accepts from ``arrivals`` as it would from a listener of its own, asks ``connect`` for the port of this machine
        that the connection is for, and relays. The sockets stay the same, and stay open until ``close``, while the way
        to the far end is lost and found again.
        """

    @property
    def restarts(self) -> int:
        """How often what it runs on was made anew: an ssh process restarted, another pod chosen."""

    def describe(self) -> str:
        """Return what it leads to now, for people: the pod, or the SSH host."""

    def close(self) -> None:
        """Give up everything it holds; end all of its channels."""


@dataclass(frozen=True)
class Way:
    """How a supervisor makes its transport: plain values, which it is given by its standard input."""

    factory: str
    """A MakeTransport, as "package.module:name"."""
    parameters: Mapping[str, Any]
    """What JSON can hold. Secrets may be among them: they are never logged, nor written anywhere."""
    place: str
    """Tells one place from another (server, user, namespace), without secrets: another one makes another forward."""


class MakeTransport(Protocol):
    """Makes the transport in the supervisor; must not block, and import nothing of Ansible."""

    def __call__(self, spec: ForwardSpec, parameters: Mapping[str, Any], log: Callable[[str], None]) -> Transport:
        """Return the transport. ``log`` takes a line for the forward's own log, and may be called by any thread."""
