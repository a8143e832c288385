# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API as the workers see it: counted, and closed to a controller that does not hold the Lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ansible_collections.manifold.core.extensions.multinic_controller._metrics import Metrics
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import Writer
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import Event
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ApiError, Conflict
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config

Object = Mapping[str, Any]
Found = TypeVar("Found")


class GuardedWriter(Writer):
    """Asks before each write whether it may be made.

    :param may_act: whether we hold the Lease now.
    """

    def __init__(self, api: Writer, may_act: Callable[[], bool], metrics: Metrics) -> None:
        self._api = api
        self._may_act = may_act
        self._metrics = metrics

    def get_config(self, namespace: str, name: str) -> Object:
        """See :class:`Writer`."""
        return self._api.get_config(namespace, name)

    def patch_config(self, namespace: str, name: str, body: Object) -> Object:
        """See :class:`Writer`."""
        return self._write("patch", lambda: self._api.patch_config(namespace, name, body))

    def patch_status(self, namespace: str, name: str, body: Object) -> Object:
        """See :class:`Writer`."""
        return self._write("status", lambda: self._api.patch_status(namespace, name, body))

    def create_job(self, namespace: str, manifest: Object) -> Object | None:
        """See :class:`Writer`."""
        return self._write("create_job", lambda: self._api.create_job(namespace, manifest))

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        """See :class:`Writer`."""
        self._write("delete_job", lambda: self._api.delete_job(namespace, name, uid))

    def create_event(self, config: Config, event: Event) -> None:
        """See :class:`Writer`."""
        if self._may_act():
            self._api.create_event(config, event)

    def _write(self, call: str, write: Callable[[], Found]) -> Found:
        if not self._may_act():
            raise ApiError("the Lease is not held any more", True)
        outcome = "ok"
        try:
            return write()
        except Conflict:
            outcome = "conflict"
            raise
        except ApiError:
            outcome = "error"
            raise
        finally:
            self._metrics.writes.labels(call, outcome).inc()
