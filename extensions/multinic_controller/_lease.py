# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Lease that says which controller acts: there is to be one, and a second one waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import kubernetes.client
import urllib3.exceptions
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ApiError

_WHERE = ("coordination.k8s.io", "v1")
_PLURAL = "leases"
Object = Mapping[str, Any]


class Lease:
    """A Lease that this process holds, or wants.

    Whether another holder is alive is judged by whether its ``renewTime`` moves, by our own monotonic clock: clocks of
    machines differ. We count as holder for two thirds of the duration after our last renewal began, so that we have
    stopped before anybody else may begin.

    :param identity: unique among all controllers at one time; a container that is restarted keeps its pod's.
    :param seconds: how long a holder that is silent keeps it.
    """

    def __init__(
        self,
        client: Any,
        namespace: str,
        name: str,
        identity: str,
        seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api: Any = kubernetes.client.CustomObjectsApi(client)
        self.namespace = namespace
        self.name = name
        self.identity = identity
        self.seconds = seconds
        self._clock = clock
        self._until = float("-inf")
        self._seen: tuple[object, object] = (None, None)
        self._seen_at = 0.0
        self.holder = ""

    @property
    def held(self) -> bool:
        """Whether we may act now."""
        return self._clock() < self._until

    def renew(self) -> bool:
        """Get or keep the Lease; return whether we have it. :raises ApiError: the API did not say."""
        begun = self._clock()
        try:
            taken = self._renew(begun)
        except kubernetes.client.ApiException as exc:
            if exc.status == 409:  # somebody was faster
                return self.held
            raise ApiError(f"Lease {self.namespace}/{self.name}: {exc.status} {exc.reason}", exc.status != 403) from exc
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise ApiError(f"Lease {self.namespace}/{self.name}: {exc}", True) from exc
        self._until = begun + self.seconds * 2 / 3 if taken else float("-inf")
        return taken

    def release(self) -> None:
        """Let another one have it at once; never raises."""
        if not self.held:
            return
        self._until = float("-inf")
        try:
            found = self._get()
            if found is not None and found["spec"].get("holderIdentity") == self.identity:
                self._replace(found, {**found["spec"], "holderIdentity": "", "leaseDurationSeconds": 1})
        except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError):
            return  # then it runs out by itself

    def _renew(self, now: float) -> bool:
        found = self._get()
        if found is None:
            body = {
                "apiVersion": "/".join(_WHERE),
                "kind": "Lease",
                "metadata": {"name": self.name, "namespace": self.namespace},
                "spec": self._spec({}),
            }
            self._api.create_namespaced_custom_object(
                *_WHERE, self.namespace, _PLURAL, body, _request_timeout=self._timeout
            )
            self.holder = self.identity
            return True
        spec = found.get("spec") or {}
        self.holder = spec.get("holderIdentity") or ""
        if self.holder not in ("", self.identity) and not self._silent(spec, now):
            return False
        self._replace(found, self._spec(spec))
        self.holder = self.identity
        return True

    def _silent(self, spec: Object, now: float) -> bool:
        """Return whether another holder has not renewed for as long as it promised to."""
        seen = (spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return now - self._seen_at > float(spec.get("leaseDurationSeconds") or self.seconds)

    def _spec(self, old: Object) -> dict[str, Any]:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = old.get("holderIdentity") == self.identity
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.seconds,
            "acquireTime": old.get("acquireTime", moment) if mine else moment,
            "renewTime": moment,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if mine or not old else 1),
        }

    @property
    def _timeout(self) -> float:
        return max(1.0, self.seconds / 3)

    def _get(self) -> Any:
        try:
            return self._api.get_namespaced_custom_object(
                *_WHERE, self.namespace, _PLURAL, self.name, _request_timeout=self._timeout
            )
        except kubernetes.client.ApiException as exc:
            if exc.status == 404:
                return None
            raise

    def _replace(self, found: Object, spec: Object) -> None:
        # with the resourceVersion that was read: of two that try, one fails
        self._api.replace_namespaced_custom_object(
            *_WHERE, self.namespace, _PLURAL, self.name, {**found, "spec": spec}, _request_timeout=self._timeout
        )
