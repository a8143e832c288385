# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads and services of the test bed's clusters, and the pods that come of them."""

from __future__ import annotations

import time
from typing import Any

from integration.support import SECONDS
from testbed.kube import Kube


def workload(kind: str, name: str, *command: str, **spec: Any) -> dict[str, Any]:
    """Return a workload of one container."""
    labels = {"app": name}
    container = {"name": "main", "image": "testbed", **({"command": list(command)} if command else {})}
    pod_spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **spec.pop("pod", {})}
    template = {"metadata": {"labels": labels}, "spec": pod_spec}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def service(name: str, selector: dict[str, str] | None) -> dict[str, Any]:
    """Return a service of the pods with some labels."""
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": selector}}


def await_pods(kube: Kube, app: str, count: int, ready: bool = True) -> list[str]:
    """Wait until so many pods of a workload are there, and ready if there are to be any; return their names."""
    store = kube.front.objects.store
    deadline = time.monotonic() + SECONDS
    while True:
        revision = store.revision
        found = [
            pod for pod in store.items("", "pods")[0] if _is_of(pod, app) and (not ready or not count or _is_ready(pod))
        ]
        if len(found) == count:
            return [pod["metadata"]["name"] for pod in found]
        assert time.monotonic() < deadline, f"{app}: {found}"
        store.events_after(revision, 1)


def _is_of(pod: dict[str, Any], app: str) -> bool:
    metadata = pod["metadata"]
    return bool(metadata.get("ownerReferences")) and (metadata.get("labels") or {}).get("app") == app


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod.get("status", {}).get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
