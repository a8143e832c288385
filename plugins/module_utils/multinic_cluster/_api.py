# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a cluster, through the Kubernetes client: the only place that speaks to it.

What it gives is plain JSON. Jobs and resources go through the client's generic calls, which hand them on as they are.
"""

from __future__ import annotations

import inspect
import json
import os
import traceback
from typing import Any, Callable, Iterator, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._act import Writer
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import Event
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import (
    ApiError,
    Conflict,
    SettingsError,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import SELECTOR
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import (
    GROUP,
    KIND,
    PLURAL,
    VERSION,
    Config,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._rate import TokenBucket
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import timestamp

try:
    import kubernetes.client
    import kubernetes.config
    import urllib3.exceptions

    KUBERNETES_ERROR = None
except ImportError:  # the module says so
    KUBERNETES_ERROR = traceback.format_exc()

Object = Mapping[str, Any]
_PAGE = 500
_TEMPORARY = (0, 408, 429)
_LONGEST_NOTE = 1024


def connect(kubeconfig: str | None = None, context: str | None = None) -> Any:
    """Return a client of the cluster that a kubeconfig names, else of the one that this runs in.

    :raises SettingsError: there is no such cluster.
    """
    try:
        if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            configuration = kubernetes.client.Configuration()
            load_own: Any = kubernetes.config.load_incluster_config
            load_own(client_configuration=configuration)
            return kubernetes.client.ApiClient(configuration)
        load: Any = kubernetes.config.new_client_from_config
        return load(config_file=kubeconfig, context=context)
    except (kubernetes.config.ConfigException, OSError, ValueError) as exc:
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "the kubeconfig"
        raise SettingsError(f"{where} cannot be used: {exc}; give `kubeconfig` and `context`") from exc


class Api(Writer):
    """One cluster.

    :param namespace: the one whose resources are looked after; None for all.
    :param bucket: how often is written; Events have their own, and are left out when it is empty.
    :param timeout: seconds in which the API must answer.
    """

    def __init__(
        self,
        client: Any,
        bucket: TokenBucket,
        events: TokenBucket,
        clock: Callable[[], float],
        namespace: str | None = None,
        timeout: float = 30,
    ) -> None:
        self._generic: Any = kubernetes.client.CustomObjectsApi(client)
        self._core: Any = kubernetes.client.CoreV1Api(client)
        self._bucket = bucket
        self._events = events
        self._clock = clock
        self._namespace = namespace
        self._timeout = timeout

    def configs(self) -> Iterator[Object]:
        """Yield all resources."""
        return self._listed("list the MultiNicNodeConfigs", (GROUP, VERSION, PLURAL))

    def jobs(self) -> Iterator[Object]:
        """Yield the Jobs of ours."""
        return self._listed("list the Jobs", ("batch", "v1", "jobs"), label_selector=SELECTOR)

    def nodes(self) -> Iterator[Object]:
        """Yield all nodes."""
        return self._pages(
            "list the nodes", lambda **page: _plain(self._core.list_node(_preload_content=False, **page))
        )

    def pods(self) -> Iterator[Object]:
        """Yield the pods of our Jobs."""
        if self._namespace is None:
            where: tuple[str, ...] = ()
            call = self._core.list_pod_for_all_namespaces
        else:
            call, where = self._core.list_namespaced_pod, (self._namespace,)
        return self._pages(
            "list the agents' pods",
            lambda **page: _plain(call(*where, label_selector=SELECTOR, _preload_content=False, **page)),
        )

    def get_config(self, namespace: str, name: str) -> Object:
        call = self._generic.get_namespaced_custom_object
        found: Object = self._done(f"read {namespace}/{name}", call, GROUP, VERSION, namespace, PLURAL, name)
        return found

    def patch_config(self, namespace: str, name: str, body: Object) -> Object:
        call = self._generic.patch_namespaced_custom_object
        return self._patched(f"change {namespace}/{name}", call, namespace, name, body)

    def patch_status(self, namespace: str, name: str, body: Object) -> Object:
        call = self._generic.patch_namespaced_custom_object_status
        return self._patched(f"write the status of {namespace}/{name}", call, namespace, name, body)

    def create_job(self, namespace: str, manifest: Object) -> Object | None:
        self._bucket.take()
        what = f"create Job {namespace}/{manifest['metadata']['name']}"
        try:
            call = self._generic.create_namespaced_custom_object
            found: Object = self._done(what, call, "batch", "v1", namespace, "jobs", dict(manifest))
            return found
        except Conflict:
            return None

    def delete_job(self, namespace: str, name: str, uid: str) -> None:
        self._bucket.take()
        body = {"propagationPolicy": "Foreground", "preconditions": {"uid": uid}}
        try:
            call = self._generic.delete_namespaced_custom_object
            self._done(f"delete Job {namespace}/{name}", call, "batch", "v1", namespace, "jobs", name, body=body)
        except Conflict:
            # it is gone, or another one has its name by now
            return

    def create_event(self, config: Config, event: Event) -> None:
        if not self._events.try_take():
            return
        moment = timestamp(self._clock())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{config.name[:40]}.", "namespace": config.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": config.namespace,
                "name": config.name,
                "uid": config.uid,
            },
            "type": event.type,
            "reason": event.reason,
            "message": event.message.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
            "source": {"component": "multinic-controller"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            call = self._core.create_namespaced_event
            # read to its end, else the connection is not free again
            self._done(
                "create an Event", lambda **more: _plain(call(config.namespace, body, _preload_content=False, **more))
            )
        except (ApiError, Conflict):
            # what it says is in the status too
            return

    def _patched(self, what: str, call: Callable[..., Any], namespace: str, name: str, body: Object) -> Object:
        self._bucket.take()
        options = _merging(call)
        found: Object = self._done(what, call, GROUP, VERSION, namespace, PLURAL, name, dict(body), **options)
        return found

    def _listed(self, what: str, resource: tuple[str, str, str], **selection: str) -> Iterator[Object]:
        group, version, plural = resource
        if self._namespace is None:
            where: tuple[str, ...] = (group, version, plural)
            call = self._generic.list_cluster_custom_object
        else:
            call, where = self._generic.list_namespaced_custom_object, (group, version, self._namespace, plural)
        return self._pages(what, lambda **page: call(*where, **selection, **page))

    def _pages(self, what: str, call: Callable[..., Any]) -> Iterator[Object]:
        """Yield what is on all pages of a list."""
        following: dict[str, str] = {}
        while True:
            page = self._done(what, call, limit=_PAGE, **following)
            yield from page.get("items") or ()
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return
            following = {"_continue": more}

    def _done(self, what: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Call the client. :raises Conflict: 404 or 409. :raises ApiError: anything else."""
        try:
            return call(*arguments, _request_timeout=self._timeout, **options)
        except kubernetes.client.ApiException as exc:
            message = f"the API did not {what}: {_reason(exc)}"
            if exc.status in (404, 409) and not what.startswith("list"):
                raise Conflict(message) from exc
            raise ApiError(message, exc.status in _TEMPORARY or exc.status >= 500) from exc
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise ApiError(f"the API did not {what}: {exc}", True) from exc


def _merging(call: Callable[..., Any]) -> Mapping[str, str]:
    """Return how to ask for a merge patch; older clients send nothing else, and have no word for it."""
    known = "_content_type" in inspect.signature(call).parameters
    return {"_content_type": "application/merge-patch+json"} if known else {}


def _plain(response: Any) -> Any:
    return json.loads(response.data)


def _reason(exc: Any) -> str:
    """Return what the API said; never the whole answer with its headers."""
    try:
        return str(json.loads(exc.body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"{exc.status} {exc.reason}"
