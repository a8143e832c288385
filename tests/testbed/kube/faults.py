# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a test injects into exec streams: cuts, stalls and false endings after a number of bytes.

A fault waits for an exec that it matches; the stream that carries the exec asks for its faults once, at its
start, and then passes every piece of data through them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Direction(Enum):
    """Which way the counted bytes go."""

    STDIN = "stdin"  # from the client towards the container
    STDOUT = "stdout"  # from the container towards the client


class Action(Enum):
    """What happens once the counted bytes have passed."""

    END_WITHOUT_STATUS = "end-without-status"
    """The stream ends in an orderly way, but no exit status is ever sent."""
    END_WITH_SUCCESS = "end-with-success"
    """The stream ends in an orderly way and reports exit code 0, whatever the process does."""
    RESET = "reset"
    """The TCP connection is reset."""
    STALL = "stall"
    """Nothing passes any more in this direction until the fault is released."""
    EARLY_EOF = "early-eof"
    """Only for STDIN: the process sees the end of its input, the rest is dropped, the real status is reported."""


RAW_ACTIONS = frozenset({Action.RESET, Action.STALL})
"""The actions possible where the front only moves opaque bytes (SPDY to a backend's own endpoint)."""


class FaultNotPossible(Exception):
    """A fault matched a stream that cannot carry it out."""


class Fault:
    """One fault and what became of it. ``fired`` is set when it strikes; ``release()`` ends a stall."""

    def __init__(
        self,
        direction: Direction,
        action: Action,
        after: int = 0,
        *,
        pod: str | None = None,
        namespace: str | None = None,
        container: str | None = None,
        command: Callable[[tuple[str, ...]], bool] | None = None,
        times: int | None = 1,
    ) -> None:
        """Strike after ``after`` bytes, in the next ``times`` matching execs (None: in every one)."""
        if action is Action.EARLY_EOF and direction is not Direction.STDIN:
            raise ValueError("only stdin can end early: the end of stdout is the process's own")
        self.direction = direction
        self.action = action
        self.after = after
        self.fired = threading.Event()
        self.released = threading.Event()
        self._pod = pod
        self._namespace = namespace
        self._container = container
        self._command = command
        self._left = times

    def release(self) -> None:
        """Let a stalled stream go on; a fault that has not struck yet never will."""
        self.released.set()

    def claim(self, call: ExecCall) -> bool:
        """Return whether the fault applies to this exec, and count it if so (the caller holds the lock)."""
        wanted = (self._pod, self._namespace, self._container)
        actual = (call.pod, call.namespace, call.container)
        if any(want not in (None, got) for want, got in zip(wanted, actual, strict=True)):
            return False
        if self._command is not None and not self._command(call.argv):
            return False
        if self._left is not None:
            if self._left == 0:
                return False
            self._left -= 1
        return True


@dataclass(frozen=True)
class ExecCall:
    """What a fault can match: one exec, by pod, namespace, container and command."""

    pod: str
    namespace: str
    container: str
    argv: tuple[str, ...]


class Faults:
    """The faults that wait for an exec, and those that struck. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._given_out: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Arm a fault and return it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm every fault and release every stall."""
        with self._lock:
            known, self._faults, self._given_out = [*self._faults, *self._given_out], [], []
        for fault in known:
            fault.release()

    def claim(self, call: ExecCall) -> ClaimedFaults:
        """Return the faults of one exec: at most one for each direction."""
        claimed: dict[Direction, Fault] = {}
        with self._lock:
            for fault in self._faults:
                if fault.direction not in claimed and fault.claim(call):
                    claimed[fault.direction] = fault
            self._given_out.extend(claimed.values())
        return ClaimedFaults(claimed)


class ClaimedFaults:
    """The faults of one exec."""

    def __init__(self, faults: dict[Direction, Fault]) -> None:
        self._faults = faults

    def meter(self, direction: Direction) -> Meter:
        """Return the meter that this direction's data passes through."""
        return Meter(self._faults.get(direction))

    def require(self, possible: frozenset[Action]) -> None:
        """Raise FaultNotPossible if a fault needs more than the stream can do."""
        for fault in self._faults.values():
            if fault.action not in possible:
                raise FaultNotPossible(
                    f"the fault {fault.action.value!r} needs a stream that the front itself speaks, "
                    "but this exec is passed through to the backend's own SPDY endpoint"
                )


class Meter:
    """Counts the bytes of one direction and tells how many may still pass before the fault strikes."""

    def __init__(self, fault: Fault | None) -> None:
        self.fault = fault
        self._passed = 0

    def allow(self, size: int) -> int:
        """Return how many of ``size`` bytes may pass now; fewer than ``size`` means that the fault strikes."""
        if self.fault is None or self.fault.released.is_set():
            return size
        allowed = min(size, self.fault.after - self._passed)
        self._passed += allowed
        return allowed
