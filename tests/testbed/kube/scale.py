# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``scale`` subresource: ``autoscaling/v1.Scale`` of a workload."""

from __future__ import annotations

from typing import Any

from testbed.kube.errors import invalid


def scale_of(workload: dict[str, Any]) -> dict[str, Any]:
    """Return the Scale object of a workload."""
    metadata = workload["metadata"]
    labels = workload["spec"].get("selector", {}).get("matchLabels", {})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": workload["spec"].get("replicas", 0)},
        "status": {
            "replicas": workload.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def replicas_of(scale: dict[str, Any]) -> int:
    """Return the number a client asks for."""
    replicas = scale.get("spec", {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        raise invalid("spec.replicas: must be an integer of at least 0")
    return replicas
