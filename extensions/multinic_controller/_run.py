# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the controller: lease, first list, watches and workers, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import kopf
from ansible_collections.manifold.core.extensions.multinic_controller import _watch
from ansible_collections.manifold.core.extensions.multinic_controller._feed import Feed, Kind
from ansible_collections.manifold.core.extensions.multinic_controller._lease import Lease
from ansible_collections.manifold.core.extensions.multinic_controller._metrics import Metrics
from ansible_collections.manifold.core.extensions.multinic_controller._options import Options, from_process
from ansible_collections.manifold.core.extensions.multinic_controller._server import Server
from ansible_collections.manifold.core.extensions.multinic_controller._work import Workers
from ansible_collections.manifold.core.extensions.multinic_controller._writer import GuardedWriter
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._api import Api, connect
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import (
    ApiError,
    ClusterError,
    SettingsError,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._rate import TokenBucket
from pythonjsonlogger.json import JsonFormatter

_LOG = logging.getLogger("multinic")
_GRACE = 20.0
"""Seconds that workers get to finish; less than the 30 s that Kubernetes gives a pod."""
_STUCK = 300.0
"""Seconds after which a worker, or the loop of the watches, is taken to hang."""


class _LeaseLost(Exception):
    """Another controller may act now."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM; return the exit code: 0 if told to end, 1 for an error, 2 for what it was told."""
    try:
        options = from_process(arguments)
    except SettingsError as exc:
        print(f"multinic_controller: {exc}", file=sys.stderr)
        return 2
    _log_as_json(options.log_level)
    signal.signal(signal.SIGTERM, _exit)  # until kopf has its own
    try:
        return Controller(options).run()
    except ClusterError as exc:
        _LOG.error("%s", exc)
    except _LeaseLost as exc:
        _LOG.error("ends, for another controller may act now: %s", exc)
    except Exception:
        _LOG.exception("ends by an error")
    return 1


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _log_as_json(level: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    fields = "%(asctime)s %(levelname)s %(name)s %(message)s"
    handler.setFormatter(JsonFormatter(fields, rename_fields={"asctime": "time", "levelname": "level"}))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    _watch.quiet()


class Controller:
    """One controller process."""

    def __init__(self, options: Options) -> None:
        self._options = options
        client = connect(options.kubeconfig)
        # each worker, the list and the Lease have a connection of their own
        client.configuration.connection_pool_maxsize = options.workers + 4
        client = type(client)(client.configuration)
        rate = options.writes_per_second
        buckets = (TokenBucket(rate, max(1, round(rate))), TokenBucket(rate, max(1, round(rate))))
        self._api = Api(client, *buckets, time.time, options.namespace, options.request_timeout)
        self._lease = Lease(
            client, options.lease_namespace, options.lease_name, options.identity, options.lease_seconds
        )
        self._metrics = Metrics()
        self._feed = Feed()
        writer = GuardedWriter(self._api, lambda: self._lease.held, self._metrics)
        self._workers = Workers(self._feed, writer, options.settings, self._metrics)
        self._metrics.watch(self._feed.index, lambda: len(self._workers.queue), lambda: self._lease.held)
        self._listed: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        self._synced = False
        self._ending = threading.Event()
        self._resync = threading.Event()
        self._beat = time.monotonic()

    def run(self) -> int:
        """Run until SIGTERM. :raises _LeaseLost: it could not be renewed."""
        server = Server(self._options.listen, self._metrics.registry, self._trouble, self._not_ready)
        _LOG.info("listening", extra={"port": server.port, "identity": self._options.identity})
        try:
            self._wait_for_lease()
            threading.Thread(target=self._keep_lease, name="lease", daemon=True).start()
            self._list()
            threading.Thread(target=self._keep_listing, name="resync", daemon=True).start()
            self._workers.start(self._options.workers)
            asyncio.run(self._watch())
            if not self._ending.is_set() and not self._lease.held:
                raise _LeaseLost(f"the Lease is held by {self._lease.holder or 'nobody'}")
            return 0
        finally:
            self._ending.set()
            if not self._workers.stop(_GRACE):
                _LOG.warning("a call to the API has not ended in %.0f s; it is left", _GRACE)
            self._lease.release()
            server.close()
            _LOG.info("ended")

    # -- the lease

    def _wait_for_lease(self) -> None:
        told = ""
        while True:
            try:
                if self._lease.renew():
                    _LOG.info("holds the Lease")
                    return
                if told != self._lease.holder:
                    told = self._lease.holder
                    _LOG.info("waits: the Lease is held by %s", told)
            except ApiError as exc:
                if not exc.temporary:
                    raise
                _LOG.warning("%s", exc)
            self._beat = time.monotonic()
            time.sleep(min(1.0, self._options.lease_seconds / 5))

    def _keep_lease(self) -> None:
        while not self._ending.wait(self._options.lease_seconds / 5):
            try:
                self._lease.renew()
            except ApiError as exc:
                _LOG.warning("%s", exc)
            if not self._lease.held:
                # kopf's own flag for this makes it wait for 5 s at its end
                signal.raise_signal(signal.SIGTERM)
                return

    # -- lists and watches

    def _list(self) -> None:
        """List everything. :raises ApiError: it cannot be, and trying again will not help."""
        while True:
            try:
                uids = self._feed.resync(self._api)
                break
            except ApiError as exc:
                self._metrics.resyncs.labels("error").inc()
                if not exc.temporary:
                    raise
                _LOG.warning("%s", exc)
                time.sleep(1)
        self._metrics.resyncs.labels("ok").inc()
        self._synced = True
        self._workers.look_at(uids)

    def _keep_listing(self) -> None:
        while not self._ending.is_set():
            self._resync.wait(self._options.relist)
            self._resync.clear()
            if self._ending.is_set():
                return
            try:
                self._list()
            except ApiError as exc:
                _LOG.error("%s", exc)

    async def _watch(self) -> None:
        beat = asyncio.create_task(self._keep_beating())
        namespace = self._options.namespace
        try:
            await kopf.operator(
                registry=_watch.registry(self._heard, self._options.kubeconfig),
                settings=_watch.settings(),
                standalone=True,
                clusterwide=namespace is None,
                namespaces=() if namespace is None else (namespace,),
            )
        finally:
            beat.cancel()

    def _heard(self, kind: Kind, event: str | None, obj: Mapping[str, Any]) -> None:
        uid = obj["metadata"]["uid"]
        listed = self._listed[kind]
        if event is None:
            # the same thing in a list again: the watch had to begin anew, and what vanished meanwhile was not told
            if uid in listed:
                listed.clear()
                self._resync.set()
            listed.add(uid)
        if event == "DELETED":
            listed.discard(uid)
            self._workers.look_at(self._feed.drop(kind, obj))
        else:
            self._workers.look_at(self._feed.put(kind, obj))

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1)

    # -- health

    def _trouble(self) -> str | None:
        if time.monotonic() - self._beat > _STUCK:
            return "the watches do not run"
        if self._workers.queue.longest() > _STUCK:
            return "a worker hangs"
        return None

    def _not_ready(self) -> str | None:
        if not self._lease.held:
            return f"the Lease is held by {self._lease.holder or 'nobody'}"
        return None if self._synced else "the first list is not complete"
