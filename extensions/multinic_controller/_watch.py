# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kopf does for us: it watches. Handlers of this low level write neither finalizers nor annotations."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import kopf
from ansible_collections.manifold.core.extensions.multinic_controller._feed import Kind
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import APP, APP_LABEL, SELECTOR
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import GROUP, PLURAL, VERSION

Told = Callable[[Kind, str | None, Mapping[str, Any]], None]
"""Called with the kind, what happened (None for what a list has) and the object."""

_RESOURCES = {
    Kind.CONFIG: (GROUP, VERSION, PLURAL),
    Kind.NODE: ("", "v1", "nodes"),
    Kind.JOB: ("batch", "v1", "jobs"),
    Kind.POD: ("", "v1", "pods"),
}


def settings() -> kopf.OperatorSettings:
    """Return how kopf is to behave."""
    found = kopf.OperatorSettings()
    # no right to list namespaces or CustomResourceDefinitions is needed then
    found.scanning.disabled = True
    found.peering.standalone = True
    found.posting.enabled = False
    found.watching.server_timeout = 300
    found.watching.client_timeout = 360
    found.watching.connect_timeout = 30
    found.watching.chunk_size = 500
    # after these the process ends, and is started again
    found.networking.error_backoffs = (0.5, 1, 2, 4, 8, 15)
    found.networking.request_timeout = 60
    for kind in (Kind.JOB, Kind.POD):
        group, version, plural = _RESOURCES[kind]
        found.watching.label_selectors[group, version, plural] = SELECTOR
    return found


def registry(told: Told, kubeconfig: str | None) -> kopf.OperatorRegistry:
    """Return the handlers."""
    found = kopf.OperatorRegistry()

    def login(**given: Any) -> Any:
        if kubeconfig:
            return kopf.login_with_kubeconfig(**given)
        account = kopf.login_with_service_account(**given)
        # kopf would ask the cluster's DNS where the API is, which everything else finds in the environment
        return account and dataclasses.replace(account, server=_server(os.environ))

    kopf.on.login(registry=found)(login)
    for kind, (group, version, plural) in _RESOURCES.items():
        _register(found, kind, (group, version, plural), told)
    return found


def _server(environment: Mapping[str, str]) -> str:
    """Return the API's URL as a pod is told of it."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _register(found: kopf.OperatorRegistry, kind: Kind, resource: tuple[str, str, str], told: Told) -> None:
    group, version, plural = resource
    labels = {APP_LABEL: APP} if kind in (Kind.JOB, Kind.POD) else None

    async def heard(event: Mapping[str, Any], **_given: Any) -> None:
        told(kind, event["type"], event["object"])

    heard.__name__ = kind.value
    kopf.on.event(group, version, plural, labels=labels, registry=found)(heard)


def quiet() -> None:
    """Keep kopf from telling of every call of a handler."""
    for name in ("kopf.objects", "kopf.activities", "kopf._core.engines.activities", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
