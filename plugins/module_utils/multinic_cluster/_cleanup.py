# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done for a resource whose deletion has been asked for."""

from __future__ import annotations

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster import _status
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import (
    Action,
    CreateJob,
    Event,
    RemoveFinalizer,
    Requeue,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import job_manifest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import (
    FINALIZER,
    Job,
    Node,
    Observed,
    Task,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._outcome import cleanup_failure
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._runs import Runs, delete, sort
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._systems import System, system_of
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._write import write

_NET = 300.0
_FULL = 15.0


def clean_up(observed: Observed) -> tuple[Action, ...]:
    """Have the node cleaned by a Job, then let the resource go; without one where there is nothing to clean."""
    config, node = observed.config, observed.node
    if FINALIZER not in config.finalizers:
        # it is added before the first Job: there was none
        return ()
    runs = sort(config, observed.jobs, lambda job: job.task is Task.CLEANUP and job.run == config.status.runs + 1)
    needless = _needless(observed)
    if needless is not None:
        return (*runs.deletions, RemoveFinalizer(needless))
    if runs.current is not None and runs.current.phase.ended:
        return (*runs.deletions, *_ended(observed, runs.current))
    if runs.current is not None or runs.obstacles or observed.others or node is None:
        return (*runs.deletions, Requeue(_NET))
    system = system_of(node.os_image)
    if system is None:
        return (*runs.deletions, RemoveFinalizer(f"no Job can run on {node.os_image!r}"))
    return (*runs.deletions, *_start(observed, node, system, runs))


def _needless(observed: Observed) -> str | None:
    """Return why the node needs no cleaning, or must not be cleaned; None if it is to be."""
    config, node = observed.config, observed.node
    if node is None:
        return f"node {config.node_name} is gone"
    if node.system_uuid.lower() != config.instance_id.lower():
        return f"node {node.name} is another machine now"
    if observed.rival is not None:
        return f"node {node.name} is that of {observed.rival}"
    return None


def _ended(observed: Observed, job: Job) -> tuple[Action, ...]:
    if job.termination is None and observed.now - job.ended < observed.settings.summary_grace:
        return (Requeue(max(1.0, job.ended + observed.settings.summary_grace - observed.now)),)
    failure = cleanup_failure(job)
    if failure is None:
        message = f"node {observed.config.node_name} is clean"
        return (Event("Normal", "Cleaned", message), RemoveFinalizer(message))
    reason, message = failure
    message = f"node {observed.config.node_name} could not be cleaned: {message}"[:1024]
    written = write(observed, _status.cleanup_failed(observed.config, job, reason, message))
    return (*written, Event("Warning", reason, message), Requeue(0))


def _start(observed: Observed, node: Node, system: System, runs: Runs) -> tuple[Action, ...]:
    config, settings = observed.config, observed.settings
    last = config.status.last_job
    # once a clean-up has failed, the status tells of that until one succeeds
    failed = last if last is not None and last.task is Task.CLEANUP else None
    if not node.ready:
        wait = _status.deleting("NodeNotReady", f"node {node.name} is not ready to be cleaned")
        return (*(() if failed else write(observed, wait)), Requeue(_NET))
    if failed is not None:
        moment = failed.completed + settings.backoff.after(failed.failures, config.uid)
        if moment > observed.now:
            return (Requeue(max(1.0, moment - observed.now)),)
    if settings.limits.blocked(observed.fleet, config.uid, True) is not None:
        return (Requeue(_FULL),)
    begun = _status.deleting("CleaningUp", f"a Job cleans node {node.name}")
    manifest = job_manifest(config, node, system, Task.CLEANUP, config.status.runs + 1, settings.agent)
    return (
        *(delete(job) for job in runs.kept),
        *(() if failed else write(observed, begun)),
        CreateJob(manifest),
        Requeue(_NET),
    )
