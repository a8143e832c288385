# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pod of a target is connected to: what the API said last, and which pods failed since."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from ._errors import ForwardError, Unavailable
from ._kube_api import Unreachable
from ._kube_cluster import Missing, NoneReady
from ._kube_target import Picture, Pod

_FRESH = 10.0
"""Seconds after which the API is asked again what the target leads to, when somebody connects."""
_AT_ONCE = 0.5
"""Seconds for which an answer holds even for those whose pod failed: hundreds may wait for the same pod."""
_RECENT = 2.0
"""Seconds for which it holds that a pod has not ended."""
_AVOIDED = 20.0
"""Seconds for which another pod is preferred to one that failed."""


class Chooser:
    """Chooses the pod. Thread-safe."""

    def __init__(self, look: Callable[[float], Picture], log: Callable[[str], None], is_pod: bool = False) -> None:
        """``look`` asks the API, until a deadline; ``is_pod`` says that the target is the pod itself."""
        self._is_pod = is_pod
        self._look = look
        self._log = log
        self._looking = threading.Lock()
        self._lock = threading.Lock()
        self._seen: Picture | None = None
        self._refused: Exception | None = None
        self._looked = -_FRESH
        self._distrusted = False
        self._alive: frozenset[str] | None = None
        self._failed: dict[str, float] = {}
        self.current: Pod | None = None
        """The pod that was chosen last."""
        self.changes = 0
        """How often another pod was chosen."""

    def choose(self, deadline: float, fresh: bool = False) -> tuple[Picture, Pod]:
        """Return what the target leads to and the pod to connect to; ``fresh`` asks the API in any case.

        Raises Unavailable if there is no pod that is ready, ForwardError for what waiting does not change.
        """
        with self._looking:
            age = time.monotonic() - self._looked
            stale = self._distrusted or self._seen is None or age > _FRESH
            if fresh or (stale and age > _AT_ONCE):
                self._ask(deadline, fresh)
            picture, refused = self._seen, self._refused
        if picture is None:
            if refused is not None:
                raise refused.with_traceback(None)  # else it would keep what each of those who saw it was doing
            raise Unavailable("it is not known yet what the target leads to")
        return picture, self._of(picture)

    def is_gone(self, pod: Pod, deadline: float) -> bool:
        """Return whether a pod has ended, as far as the API says so."""
        with self._looking:
            if time.monotonic() - self._looked > _RECENT:
                with contextlib.suppress(Unreachable):
                    self._ask(deadline, fresh=False)
            return self._alive is not None and pod.uid not in self._alive

    def is_leaving(self, pod: Pod, deadline: float) -> bool:
        """Return whether a pod is not one to connect to any more, as far as the API says so now."""
        now = time.monotonic()
        with self._looking:
            if self._looked < now:  # nobody else asked meanwhile
                with contextlib.suppress(Unreachable):
                    self._ask(deadline, fresh=False)
            usable = () if self._seen is None else self._seen.pods
            return self._alive is not None and pod.uid not in {each.uid for each in usable}

    def distrust(self, pod: Pod) -> None:
        """Note that a pod failed: another one is preferred, and the API is asked what there is now."""
        with self._lock:
            self._failed[pod.uid] = time.monotonic()
            self._distrusted = True

    def _ask(self, deadline: float, fresh: bool) -> None:
        """Ask the API; what was seen last still holds if it does not answer."""
        self._looked, self._distrusted = time.monotonic(), False
        try:
            self._seen, self._refused = self._look(deadline), None
            self._alive = self._seen.alive
        except Unreachable:
            if fresh or self._seen is None:
                raise
        except (Unavailable, ForwardError) as exc:
            self._seen, self._refused = None, exc
            # of a target that does not exist there is no pod that could be asked about; but they may outlive a service
            self._alive = exc.alive if isinstance(exc, NoneReady) else None
            if isinstance(exc, Missing) and self.current is not None and self._is_pod:
                self._alive = frozenset()

    def _of(self, picture: Picture) -> Pod:
        with self._lock:
            now, last = time.monotonic(), self.current
            self._failed = {uid: when for uid, when in self._failed.items() if now - when < _AVOIDED}
            # the one that is used stays, unless it failed; of those that failed, the one that did so first is next
            pod = min(
                picture.pods, key=lambda each: (self._failed.get(each.uid, 0.0), not last or each.uid != last.uid)
            )
            if last is not None and last.uid != pod.uid:
                self.changes += 1
                self._log(f"from pod {last.name} to pod {pod.name}")
            self.current = pod
        return pod
