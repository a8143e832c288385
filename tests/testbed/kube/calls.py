# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every call of the API, counted by who made it; and faults that strike single calls.

A fault waits for a call that it matches. It may delay the call, refuse it, or reset its connection, before the call is
carried out or after it (then the client cannot know what has become of it).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Call:
    """One call; ``resource`` holds the subresource, as in ``pods/status``."""

    client: str
    """The user's name: ``system:admin`` without a token, ``system:serviceaccount:NAMESPACE:NAME`` with one."""
    agent: str
    """The User-Agent header."""
    verb: str
    resource: str
    namespace: str = ""
    name: str = ""


class Reset(Enum):
    """When a connection is reset."""

    BEFORE = "before"
    AFTER = "after"


class CallFault:
    """One fault and what became of it; ``struck`` counts."""

    def __init__(
        self,
        *,
        verb: str | None = None,
        resource: str | None = None,
        client: str | None = None,
        name: str | None = None,
        where: Callable[[Call], bool] | None = None,
        delay: float | Callable[[], float] = 0,
        code: int | None = None,
        retry_after: int | None = None,
        reset: Reset | None = None,
        times: int | None = 1,
    ) -> None:
        """Strike the next ``times`` matching calls (None: each one).

        :param client: a part of the user's name or of the User-Agent.
        :param where: further condition; it is called under a lock, so it must be quick.
        :param delay: seconds before the call is looked at, or what returns them.
        :param code: refuse with this HTTP code.
        :param retry_after: seconds that the refusal tells the client to wait.
        """
        self._wanted = (verb, resource, name)
        self._client = client
        self._where = where
        self._delay = delay
        self.code = code
        self.retry_after = retry_after
        self.reset = reset
        self.left = times
        self.struck = 0

    @property
    def delay(self) -> float:
        """Seconds to wait before this call."""
        return self._delay() if callable(self._delay) else self._delay

    def claim(self, call: Call) -> bool:
        """Return whether the fault strikes this call, and count it (the caller holds the lock)."""
        actual = (call.verb, call.resource, call.name)
        if any(want not in (None, got) for want, got in zip(self._wanted, actual, strict=True)):
            return False
        if self._client is not None and self._client not in call.client and self._client not in call.agent:
            return False
        if self.left == 0 or (self._where is not None and not self._where(call)):
            return False
        self.left = None if self.left is None else self.left - 1
        self.struck += 1
        return True


class Calls:
    """The calls that were made, and the faults that wait for one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[CallFault] = []
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._codes: Counter[int] = Counter()

    def add(self, fault: CallFault) -> CallFault:
        """Arm a fault and return it."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm every fault, and count from nothing."""
        with self._lock:
            self._faults.clear()
            self._counts.clear()
            self._codes.clear()

    def claim(self, call: Call) -> list[CallFault]:
        """Count a call and return the faults that strike it."""
        with self._lock:
            self._counts[(call.client, call.verb, call.resource)] += 1
            return [fault for fault in self._faults if fault.claim(call)]

    def answered(self, code: int) -> None:
        """Count an answer."""
        with self._lock:
            self._codes[code] += 1

    def count(self, verb: str | None = None, resource: str | None = None, client: str | None = None) -> int:
        """Return how many such calls were made; ``client`` is the user's name."""
        wanted = (client, verb, resource)
        return sum(
            number
            for key, number in self.counts().items()
            if all(want in (None, got) for want, got in zip(wanted, key, strict=True))
        )

    def counts(self) -> Counter[tuple[str, str, str]]:
        """Return the number of calls by client, verb and resource."""
        with self._lock:
            return Counter(self._counts)

    def codes(self) -> Counter[int]:
        """Return the number of answers by HTTP code."""
        with self._lock:
            return Counter(self._codes)


def pause(faults: list[CallFault]) -> None:
    """Wait as long as the faults of one call say."""
    seconds = sum(fault.delay for fault in faults)
    if seconds > 0:
        time.sleep(seconds)
