# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done for a resource, from what is observed of it: the whole of the controller's judgement.

Pure: the same observation gives the same actions, in the order in which they are to be carried out; if one cannot be,
the rest is left, and the resource is observed again. A run's result is written before its Job is deleted, that a run
begins is written before its first Job is created, so that whatever dies in between, nothing is lost or done twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster import _status
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import (
    Action,
    AddFinalizer,
    CreateJob,
    Event,
    Requeue,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._backoff import spread
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._cleanup import clean_up
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._interfaces import wrong_with
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import job_manifest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._limits import Blocked
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import (
    FINALIZER,
    Job,
    Node,
    Observed,
    Phase,
    State,
    Task,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._outcome import outcome_of
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._runs import Runs, delete, sort
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._systems import System, system_of
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._write import write

_NET = 300.0
"""Seconds after which to look again where news is expected anyway: news can be lost."""
_FULL = 15.0
"""Seconds after which to ask for a place again."""
_RAN = frozenset([State.CONFIGURED, State.PARTIALLY_CONFIGURED, State.FAILED])


class _Due(Enum):
    """Why a run is needed."""

    NEW = "ConfigChanged"
    BOOT = "NodeRebooted"
    AGAIN = "NodeChanged"
    RETRY = "Retry"
    RESYNC = "Resync"

    @property
    def repairing(self) -> bool:
        """Whether it goes over what a run has done before; then the status tells of that run until this one ends."""
        return self in (_Due.RETRY, _Due.RESYNC)


_REFUSALS = frozenset(["DuplicateNode", "InvalidSpec", "InstanceMismatch", "UnsupportedSystem"])


@dataclass(frozen=True)
class _Refusal:
    """Why no Job can carry this out as it is.

    :param reason: one of ``_REFUSALS``.
    """

    reason: str
    message: str


def reconcile(observed: Observed) -> tuple[Action, ...]:
    """Return what is to be done now; nothing but a Requeue if all is as it should be."""
    if observed.config.deleting:
        return clean_up(observed)
    config = observed.config
    refusal = _refusal(observed)
    runs = sort(config, observed.jobs, lambda job: _wanted(observed, job, refusal))
    if runs.current is not None and runs.current.phase.ended:
        return (*runs.deletions, *_ended(observed, runs.current, refusal))
    if runs.current is not None:
        return (*runs.deletions, *_running(observed, runs.current))
    if refusal is not None:
        return (*runs.deletions, *_refuse(observed, refusal))
    if observed.node is None:
        message = f"there is no node {config.node_name}"
        wait = _status.waiting("NodeNotFound", message)
        return (*runs.deletions, *write(observed, wait), Requeue(_NET))
    if runs.obstacles or observed.others:
        return (*runs.deletions, Requeue(_NET))
    due, later = _due(observed, observed.node)
    if due is None:
        return (*runs.deletions, Requeue(later))
    return (*runs.deletions, *_start(observed, observed.node, runs, due))


def _wanted(observed: Observed, job: Job, refusal: _Refusal | None) -> bool:
    """Return whether a Job is the run that is due; one that has begun is, even if it should not begin any more."""
    config = observed.config
    same = job.task is Task.CONFIGURE and job.generation == config.generation and job.run == config.status.runs + 1
    return same and not (refusal is not None and job.phase is Phase.PENDING)


def _refusal(observed: Observed) -> _Refusal | None:
    """Return why no Job can ever carry this out as it is, or None."""
    config, node = observed.config, observed.node
    if observed.rival is not None:
        message = f"{observed.rival} is older and is for node {config.node_name} too; delete one of them"
        return _Refusal("DuplicateNode", message)
    wrong = wrong_with(config.interfaces)
    if wrong is not None:
        return _Refusal("InvalidSpec", wrong[:1024])
    if node is None:
        return None
    if node.system_uuid.lower() != config.instance_id.lower():
        told = f"the systemUUID of node {node.name} is {node.system_uuid or 'not known'}"
        return _Refusal("InstanceMismatch", f"{told}, not the instanceId {config.instance_id}: it is another machine")
    if system_of(node.os_image) is None:
        return _Refusal("UnsupportedSystem", f"node {node.name} runs {node.os_image!r}, whose folders are not known")
    return None


def _refuse(observed: Observed, refusal: _Refusal) -> tuple[Action, ...]:
    config = observed.config
    wanted = _status.refused(config, refusal.reason, refusal.message)
    written = write(observed, wanted)
    event = (Event("Warning", refusal.reason, refusal.message),) if written else ()
    return (*written, *event, Requeue(_NET))


def _ended(observed: Observed, job: Job, refusal: _Refusal | None) -> tuple[Action, ...]:
    """Tell the result of the current run, then let its Job go; that of a run that failed stays for its log."""
    if job.termination is None and observed.now - job.ended < observed.settings.summary_grace:
        return (Requeue(max(1.0, job.ended + observed.settings.summary_grace - observed.now)),)
    outcome = outcome_of(observed.config, job)
    good = outcome.state is State.CONFIGURED
    told = _status.resulted(observed.config, job, outcome)
    if refusal is not None:
        told = {**told, **_status.refused(observed.config, refusal.reason, refusal.message)}
    written = write(observed, told)
    event = Event("Normal" if good else "Warning", outcome.reason, outcome.message)
    return (*written, event, *((delete(job),) if good else ()), Requeue(0))


def _running(observed: Observed, job: Job) -> tuple[Action, ...]:
    """Tell what keeps the current run from ending, once; that it goes on is not worth a write."""
    status, node = observed.config.status, observed.node
    wanted = None
    if node is None or not node.ready:
        how = "gone" if node is None else "not ready"
        wanted = _status.waiting("NodeLost", f"node {observed.config.node_name} is {how} while Job {job.name} runs")
    elif job.phase is Phase.PENDING and job.reason not in ("", "ContainerCreating", "PodInitializing"):
        message = f"the pod of Job {job.name} does not start: {job.message or job.reason}"
        wanted = _status.in_progress(job.reason, message[:1024])
    if wanted is None or status.progress == wanted["conditions"][1]["reason"]:
        return (Requeue(_NET),)
    return (*write(observed, wanted), Requeue(_NET))


def _due(observed: Observed, node: Node) -> tuple[_Due | None, float]:
    """Return why a run is needed now, or None and the seconds after which one may be."""
    config, settings = observed.config, observed.settings
    last = config.status.last_job
    if last is None or last.generation != config.generation:
        return _Due.NEW, 0
    if last.boot_id != node.boot_id:
        return _Due.BOOT, 0
    if config.status.state not in _RAN or config.status.reason in _REFUSALS:
        return _Due.AGAIN, 0
    moments = []
    if last.retry:
        moments.append((last.completed + settings.backoff.after(last.failures, config.uid), _Due.RETRY))
    if settings.resync > 0:
        moments.append((last.completed + spread(settings.resync, config.uid), _Due.RESYNC))
    moment, due = min(moments, key=lambda each: each[0], default=(observed.now + _NET, None))
    if due is not None and moment <= observed.now:
        return due, 0
    return None, max(1.0, moment - observed.now)


def _start(observed: Observed, node: Node, runs: Runs, due: _Due) -> tuple[Action, ...]:
    """Begin a run, if the node and the limits allow it."""
    config, settings = observed.config, observed.settings
    system = system_of(node.os_image)
    if not node.ready:
        wait = _status.waiting("NodeNotReady", f"node {node.name} is not ready")
        return (*(() if due.repairing else write(observed, wait)), Requeue(_NET))
    blocked = settings.limits.blocked(observed.fleet, config.uid, due is _Due.RETRY)
    if system is None or blocked is Blocked.FULL:
        return (Requeue(_FULL),)
    if blocked is Blocked.FAILURES:
        message = f"more than {settings.limits.failures} of {observed.fleet.size} nodes have failed"
        wait = _status.waiting(Blocked.FAILURES.value, message)
        return (*(() if due.repairing else write(observed, wait)), Requeue(_FULL))
    return (*(delete(job) for job in runs.kept), *_begin(observed, node, system, due))


def _begin(observed: Observed, node: Node, system: System, due: _Due) -> tuple[Action, ...]:
    config = observed.config
    begun = _status.in_progress(due.value, f"a Job configures node {node.name}")
    manifest = job_manifest(config, node, system, Task.CONFIGURE, config.status.runs + 1, observed.settings.agent)
    return (
        *(() if FINALIZER in config.finalizers else (AddFinalizer(),)),
        *(() if due.repairing else write(observed, begun)),
        CreateJob(manifest),
        Requeue(_NET),
    )
