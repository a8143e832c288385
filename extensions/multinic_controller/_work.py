# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers: each takes a resource from the queue, decides and acts."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable

from ansible_collections.manifold.core.extensions.multinic_controller._feed import Feed
from ansible_collections.manifold.core.extensions.multinic_controller._metrics import Metrics
from ansible_collections.manifold.core.extensions.multinic_controller._queue import WorkQueue
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import Writer, act
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import (
    Action,
    CreateJob,
    Requeue,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._backoff import Backoff
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ApiError, Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Blocked
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, Observed
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._once import words
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._reconcile import _FULL, reconcile
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Settings

_LOG = logging.getLogger("multinic")
_NET = 60.0
"""Seconds after which one that waits for a place asks by itself."""
_AFTER_ERROR = Backoff(first=1, most=120)
_AFTER_CONFLICT = Backoff(first=0.1, most=30)


class Workers:
    """So many threads that empty the queue."""

    def __init__(
        self,
        feed: Feed,
        writer: Writer,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.queue = WorkQueue()
        self._feed = feed
        self._index = feed.index
        self._writer = writer
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._for_a_place: dict[str, None] = {}
        self._threads: list[threading.Thread] = []

    def start(self, number: int) -> None:
        """Begin to work."""
        for each in range(number):
            # daemons: a call that hangs must not keep a process from ending that was told to
            thread = threading.Thread(target=self._run, name=f"worker-{each}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, seconds: float) -> bool:
        """Let every worker finish what it is at; return whether all have within so many seconds."""
        self.queue.close()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def look_at(self, uids: Iterable[str]) -> None:
        """Have resources looked at, and those that wait for a place if there is one now."""
        for uid in uids:
            self.queue.add(uid)
        self._admit()

    def _run(self) -> None:
        while True:
            uid = self.queue.take()
            if uid is None:
                return
            begun = time.monotonic()
            try:
                outcome = self._one(uid)
            except Exception:  # a defect of ours with one resource must not stop the others
                _LOG.exception("unexpected error", extra={"uid": uid})
                outcome = self._later(uid, _AFTER_ERROR, "error")
            finally:
                self.queue.done(uid)
            self._metrics.seconds.observe(time.monotonic() - begun)
            self._metrics.reconciles.labels(outcome).inc()
            self._admit()

    def _one(self, uid: str) -> str:
        """Look at one resource once; return how that ended."""
        with self._index.lock:
            self._index.release(uid)
            self._for_a_place.pop(uid, None)
            observed = self._index.observe(uid, self._clock(), self._settings)
            if observed is None:
                self.queue.forget(uid)
                self._failures.pop(uid, None)
                return "done"
            actions = reconcile(observed)
            waits = self._waits(observed, actions)
            if waits:
                self._for_a_place[uid] = None
            if any(isinstance(action, CreateJob) for action in actions):
                self._index.reserve(uid)
        return self._act(observed.config, actions, waits)

    def _act(self, config: Config, actions: tuple[Action, ...], waits: bool) -> str:
        uid = config.uid
        for action in actions:
            if not isinstance(action, Requeue):
                _LOG.info(words(action), extra={"config": config.key, "generation": config.generation})
        try:
            again = act(self._writer, self._index, config, actions)
        except Conflict as exc:
            _LOG.info("observe again: %s", exc, extra={"config": config.key})
            self._index.release(uid)
            self._refresh(config)
            return self._later(uid, _AFTER_CONFLICT, "conflict")
        except ApiError as exc:
            # a place that was reserved is kept: the Job may have been created all the same
            _LOG.warning("%s", exc, extra={"config": config.key})
            return self._later(uid, _AFTER_ERROR, "error")
        self._index.release(uid)
        self._failures.pop(uid, None)
        if again is None:
            self.queue.forget(uid)
        else:
            # one that waits for a place is told when there is one
            self.queue.add_after(uid, _NET if waits else again)
        return "done"

    def _refresh(self, config: Config) -> None:
        """Read a resource anew: the watch may be late."""
        try:
            self._index.put_config(self._writer.get_config(config.namespace, config.name))
        except Conflict:
            return  # it is gone; its watch will say so
        except ApiError as exc:
            _LOG.warning("%s", exc, extra={"config": config.key})

    def _later(self, uid: str, backoff: Backoff, outcome: str) -> str:
        failures = self._failures.get(uid, 0) + 1
        self._failures[uid] = failures
        self.queue.add_after(uid, backoff.after(failures, uid))
        return outcome

    def _waits(self, observed: Observed, actions: tuple[Action, ...]) -> bool:
        """Return whether all that keeps a Job from being created is that there are enough already."""
        if not actions or actions[-1] != Requeue(_FULL):
            return False
        return self._settings.limits.blocked(observed.fleet, observed.config.uid, True) is Blocked.FULL

    def _admit(self) -> None:
        """Have as many looked at as there are places, those first that have waited longest."""
        if not self._for_a_place:
            return
        with self._index.lock:
            fleet = self._index.fleet()
            free = self._settings.limits.in_flight.of(fleet.size) - len(fleet.in_flight)
            for uid in list(itertools.islice(self._for_a_place, max(0, free))):
                del self._for_a_place[uid]
                self.queue.add(uid)
