# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a cluster shows of one MultiNicNodeConfig, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._settings import Settings

GROUP = "multinic.io"
VERSION = "v1alpha1"
KIND = "MultiNicNodeConfig"
PLURAL = "multinicnodeconfigs"
FINALIZER = f"{GROUP}/clean-up"


class State(Enum):
    """``status.state``, and those of an interface."""

    WAITING = "Waiting"  # nothing can be done now; the reason says what for
    IN_PROGRESS = "InProgress"  # a Job is about to be created, or runs
    CONFIGURED = "Configured"
    PARTIALLY_CONFIGURED = "PartiallyConfigured"
    FAILED = "Failed"
    DELETING = "Deleting"


class Task(Enum):
    """What a Job is to do on its node."""

    CONFIGURE = "configure"
    CLEANUP = "cleanup"


class Phase(Enum):
    """How far a Job is."""

    PENDING = "Pending"  # its container has not started
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self in (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True)
class LastJob:
    """The last Job whose result the status tells.

    :param result: ``Succeeded``, ``Partial`` or ``Failed``.
    :param failures: how many runs of this task, for this generation and boot, have failed in a row.
    :param retry: whether to try again before the next regular run.
    :param completed: seconds since the epoch.
    """

    uid: str
    task: Task
    generation: int
    boot_id: str
    result: str
    failures: int
    retry: bool
    completed: float


@dataclass(frozen=True)
class Status:
    """The status of the resource.

    :param runs: how many Jobs have ended whose result is told.
    :param reason: that of the condition Ready.
    :param raw: as the API has it.
    """

    state: State | None = None
    observed_generation: int = 0
    runs: int = 0
    reason: str = ""
    progress: str = ""
    last_job: LastJob | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """One MultiNicNodeConfig.

    :param created: seconds since the epoch.
    :param deleting: whether its deletion has been asked for.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    created: float
    deleting: bool
    finalizers: tuple[str, ...]
    node_name: str
    instance_id: str
    interfaces: tuple[Mapping[str, Any], ...]
    status: Status

    @property
    def key(self) -> str:
        """How messages name it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Node:
    """A Node as far as it matters."""

    name: str
    ready: bool
    system_uuid: str
    boot_id: str
    os_image: str


@dataclass(frozen=True)
class Job:
    """A Job of ours, with what its pod tells.

    :param node_name: the node that it is for.
    :param run: which run of its resource it is; the first is 1.
    :param boot_id: the boot of the node when it was created.
    :param terminating: whether its deletion has been asked for.
    :param reason: why it failed, or what its pod waits for; a CamelCase word of Kubernetes.
    :param termination: the agent's termination message; None while it is not known.
    :param ended: seconds since the epoch.
    """

    namespace: str
    name: str
    uid: str
    config_uid: str
    node_name: str
    task: Task
    generation: int
    run: int
    boot_id: str
    phase: Phase
    terminating: bool = False
    reason: str = ""
    message: str = ""
    termination: str | None = None
    ended: float = 0.0


@dataclass(frozen=True)
class Fleet:
    """What the limits are counted from.

    :param size: how many resources there are.
    :param in_flight: uids of the resources that have a Job that has not ended.
    :param failing: uids of the resources whose last run failed.
    """

    size: int = 0
    in_flight: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Observed:
    """All that :func:`reconcile` looks at.

    :param jobs: those of this resource, whatever their state.
    :param others: names of Jobs of other resources that may still do something to the node.
    :param rival: an older resource for the same node, as ``namespace/name``.
    :param now: seconds since the epoch.
    """

    config: Config
    node: Node | None
    jobs: tuple[Job, ...]
    others: tuple[str, ...]
    rival: str | None
    fleet: Fleet
    now: float
    settings: Settings
