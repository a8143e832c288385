# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written into ``status``.

``observedGeneration`` moves only with the result of a generation, a condition's ``lastTransitionTime`` only when its
status does, and what is there already is not written.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, Job, State, Status
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._outcome import Outcome
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._read import timestamp

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"


def in_progress(reason: str, message: str) -> Mapping[str, Any]:
    """A Job is about to be created, or runs: nobody knows yet how the node will be."""
    return {
        "state": State.IN_PROGRESS.value,
        "conditions": _conditions((UNKNOWN, TRUE, UNKNOWN), reason, message),
    }


def waiting(reason: str, message: str) -> Mapping[str, Any]:
    """Nothing can be done until something else happens."""
    return {"state": State.WAITING.value, "conditions": _conditions((FALSE, TRUE, UNKNOWN), reason, message)}


def deleting(reason: str, message: str) -> Mapping[str, Any]:
    """The node is to be cleaned."""
    return {"state": State.DELETING.value, "conditions": _conditions((FALSE, TRUE, UNKNOWN), reason, message)}


def refused(config: Config, reason: str, message: str) -> Mapping[str, Any]:
    """This generation cannot be carried out; no Job is needed to know that."""
    return {
        "state": State.FAILED.value,
        "observedGeneration": config.generation,
        "interfaceStatuses": None,
        "conditions": _conditions((FALSE, FALSE, TRUE), reason, message),
    }


def resulted(config: Config, job: Job, outcome: Outcome) -> Mapping[str, Any]:
    """A Job has ended."""
    good = outcome.state is State.CONFIGURED
    statuses = (TRUE if good else FALSE, TRUE if outcome.retry else FALSE, FALSE if good else TRUE)
    last = config.status.last_job
    again = last is not None and (last.generation, last.boot_id) == (job.generation, job.boot_id)
    before = last.failures if last is not None and again else 0
    return {
        "state": outcome.state.value,
        "observedGeneration": job.generation,
        "runs": job.run,
        "interfaceStatuses": [dict(entry) for entry in outcome.interfaces] or None,
        "lastJob": _last_job(job, outcome.result, 0 if good else before + 1, outcome.retry),
        "conditions": _conditions(statuses, outcome.reason, outcome.message),
    }


def cleanup_failed(config: Config, job: Job, reason: str, message: str) -> Mapping[str, Any]:
    """A clean-up did not clean."""
    last = config.status.last_job
    before = last.failures if last is not None and last.task is job.task else 0
    return {
        **deleting(reason, message),
        "runs": job.run,
        "lastJob": _last_job(job, "Failed", before + 1, True),
    }


def _last_job(job: Job, result: str, failures: int, retry: bool) -> Mapping[str, Any]:
    return {
        "name": job.name,
        "uid": job.uid,
        "task": job.task.value,
        "generation": job.generation,
        "bootID": job.boot_id,
        "result": result,
        "failures": failures,
        "retry": retry,
        "completionTime": timestamp(job.ended),
    }


def _conditions(statuses: Sequence[str], reason: str, message: str) -> list[dict[str, Any]]:
    return [
        {"type": kind, "status": status, "reason": reason, "message": message}
        for kind, status in zip(("Ready", "Progressing", "Degraded"), statuses)
    ]


def patch(status: Status, generation: int, wanted: Mapping[str, Any], now: float) -> Mapping[str, Any]:
    """Return what of this is to be written, as a merge patch; empty if the status says so already."""
    old = status.raw
    found: dict[str, Any] = {}
    for key, value in wanted.items():
        if key == "conditions":
            value = _merged(old.get("conditions") or (), value, generation, now)
        if isinstance(value, Mapping) and isinstance(old.get(key), Mapping):
            # a merge patch keeps what it does not name
            value = {**{name: None for name in old[key] if name not in value}, **value}
        if old.get(key) != value:
            found[key] = value
    return found


def _merged(
    old: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], generation: int, now: float
) -> list[dict[str, Any]]:
    """Return the conditions with their times; those of others are kept."""
    before = {each.get("type"): each for each in old}
    merged = []
    for condition in wanted:
        known = before.pop(condition["type"], {})
        same = known.get("status") == condition["status"] and known.get("lastTransitionTime")
        moment = known["lastTransitionTime"] if same else timestamp(now)
        merged.append({**condition, "observedGeneration": generation, "lastTransitionTime": moment})
    return [*merged, *(dict(each) for each in before.values())]
