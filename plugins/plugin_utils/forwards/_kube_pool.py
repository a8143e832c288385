# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections into pods that are kept ready, so that a client waits for no handshake.

One is made in advance as soon as the last one is taken; one that has served its client in order is used again. None is
kept longer than half a minute without use: a forward that nobody uses costs the API server nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ._errors import ForwardError, Unavailable
from ._kube_target import Pod
from ._kube_tunnel import Tunnel

_IDLE = 30.0
"""Seconds; whatever ends idle connections on the way is more patient as a rule."""
_KEPT = 4
_USES = 1000
"""Connections that a tunnel serves: servers are known to keep a little of each stream."""
_MAKING = 10.0


@dataclass
class _Spare:
    pod: str
    tunnel: Tunnel
    since: float


def _was_idle(spare: _Spare) -> bool:
    return time.monotonic() - spare.since >= _IDLE


class Pool:
    """The connections that wait. Thread-safe."""

    def __init__(self, make: Callable[[Pod, float], Tunnel]) -> None:
        self._make = make
        self._spares: list[_Spare] = []
        self._wanted: Pod | None = None
        self._closed = False
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None

    def take(self, pod: Pod) -> Tunnel | None:
        """Return a connection into a pod that looks sound, None if there is none; another one is made for the next."""
        while True:
            with self._change:
                spare = next((each for each in reversed(self._spares) if each.pod == pod.uid), None)
                if spare is not None:
                    self._spares.remove(spare)
                if not any(each.pod == pod.uid for each in self._spares):
                    self._wanted = pod
                    self._start()
            if spare is None:
                return None
            if time.monotonic() - spare.since < _IDLE and spare.tunnel.is_sound():
                return spare.tunnel
            spare.tunnel.close()

    def put(self, pod: str, tunnel: Tunnel) -> None:
        """Keep a connection for the next client, if there is a use for it."""
        if tunnel.uses < _USES and tunnel.is_sound():
            with self._change:
                if not self._closed and len(self._spares) < _KEPT:
                    self._spares.append(_Spare(pod, tunnel, time.monotonic()))
                    self._start()
                    return
        tunnel.close()

    def drop(self, pod: str) -> None:
        """Let go of the connections into a pod."""
        self._close_those(lambda spare: spare.pod == pod)

    def close(self) -> None:
        """Let go of all of them, and take no more."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._close_those(lambda _spare: True)

    def _close_those(self, chosen: Callable[[_Spare], bool]) -> None:
        with self._change:
            gone = [each for each in self._spares if chosen(each)]
            self._spares = [each for each in self._spares if each not in gone]
        for each in gone:
            each.tunnel.close()

    def _start(self) -> None:
        """Let the thread look; the lock is held."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="forward-pool", daemon=True)
            self._thread.start()
        self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while self._wanted is None and not self._closed:
                    oldest = min((each.since for each in self._spares), default=None)
                    if oldest is None:
                        self._change.wait()
                    elif not self._change.wait(max(0.0, oldest + _IDLE - time.monotonic()) + 0.1):
                        break
                if self._closed:
                    return
                pod, self._wanted = self._wanted, None
            if pod is not None:
                self._add(pod)
            self._close_those(_was_idle)

    def _add(self, pod: Pod) -> None:
        with contextlib.suppress(Unavailable, ForwardError):  # the next client asks itself, and hears why
            tunnel = self._make(pod, time.monotonic() + _MAKING)
            self.put(pod.uid, tunnel)
