# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller is told by whoever runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._backoff import Backoff
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Limits


@dataclass(frozen=True)
class Agent:
    """How the Jobs are made.

    :param image: the image that has the collection.
    :param command: what its container runs; empty for what the image says.
    :param deadline: seconds after which a Job is stopped; more than ``rollback_timeout``.
    :param ttl: seconds after which Kubernetes removes a Job that ended and that nobody removed.
    :param rollback_timeout: seconds after which the guard of an agent that died restores the node.
    :param options: more options of ``multinic_config``, as ``allow_up`` and ``verify``.
    """

    image: str
    command: tuple[str, ...] = ()
    image_pull_policy: str = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    deadline: int = 300
    ttl: int = 3600
    rollback_timeout: int = 60
    resources: Mapping[str, Any] = field(
        default_factory=lambda: {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    )
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How the controller behaves.

    :param resync: seconds after which a node is gone over again, to mend what drifted; 0 for never.
    :param summary_grace: seconds to wait for the pod's last word after its Job has ended: they arrive on two ways.
    """

    agent: Agent
    limits: Limits = field(default_factory=Limits)
    backoff: Backoff = field(default_factory=Backoff)
    resync: float = 3600
    summary_grace: float = 15
