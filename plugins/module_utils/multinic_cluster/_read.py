# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of the API, as it gives them, read into what :func:`reconcile` looks at."""

from __future__ import annotations

import calendar
import time
from typing import Any, Iterable, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._job import (
    BOOT_ANNOTATION,
    CONFIG_LABEL,
    CONTAINER,
    GENERATION_LABEL,
    NODE_ANNOTATION,
    RUN_LABEL,
    TASK_LABEL,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import (
    Config,
    Job,
    LastJob,
    Node,
    Phase,
    State,
    Status,
    Task,
)

_PULL_TROUBLE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")


def config_of(obj: Mapping[str, Any]) -> Config:
    """Read a MultiNicNodeConfig."""
    metadata = obj["metadata"]
    spec = obj.get("spec") or {}
    return Config(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        generation=metadata.get("generation", 1),
        created=seconds(metadata.get("creationTimestamp")),
        deleting=metadata.get("deletionTimestamp") is not None,
        finalizers=tuple(metadata.get("finalizers") or ()),
        node_name=spec.get("nodeName", ""),
        instance_id=spec.get("instanceId", ""),
        interfaces=tuple(spec.get("interfaces") or ()),
        status=_status_of(obj.get("status") or {}),
    )


def _status_of(raw: Mapping[str, Any]) -> Status:
    conditions = {each.get("type"): each for each in raw.get("conditions") or ()}
    last = raw.get("lastJob")
    state = raw.get("state")
    return Status(
        state=State(state) if state in [each.value for each in State] else None,
        observed_generation=raw.get("observedGeneration", 0),
        runs=raw.get("runs", 0),
        reason=conditions.get("Ready", {}).get("reason", ""),
        progress=conditions.get("Progressing", {}).get("reason", ""),
        last_job=None if not last else _last_job_of(last),
        raw=raw,
    )


def _last_job_of(raw: Mapping[str, Any]) -> LastJob:
    return LastJob(
        uid=raw.get("uid", ""),
        task=_task(raw.get("task")),
        generation=raw.get("generation", 0),
        boot_id=raw.get("bootID", ""),
        result=raw.get("result", ""),
        failures=raw.get("failures", 0),
        retry=raw.get("retry", False),
        completed=seconds(raw.get("completionTime")),
    )


def node_of(obj: Mapping[str, Any]) -> Node:
    """Read a Node."""
    status = obj.get("status") or {}
    info = status.get("nodeInfo") or {}
    ready = any(each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ())
    return Node(
        name=obj["metadata"]["name"],
        ready=ready and obj["metadata"].get("deletionTimestamp") is None,
        system_uuid=info.get("systemUUID", ""),
        boot_id=info.get("bootID", ""),
        os_image=info.get("osImage", ""),
    )


def job_of(obj: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> Job | None:
    """Read a Job of ours, with those pods that are its own; None if no resource can be told from it."""
    metadata = obj["metadata"]
    labels = metadata.get("labels") or {}
    if CONFIG_LABEL not in labels:
        return None
    pod = _newest([each for each in pods if pod_owner(each) == metadata.get("uid")])
    phase, reason, message, ended = _phase(obj, pod)
    return Job(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        config_uid=labels[CONFIG_LABEL],
        node_name=(metadata.get("annotations") or {}).get(NODE_ANNOTATION, ""),
        task=_task(labels.get(TASK_LABEL)),
        generation=_number(labels.get(GENERATION_LABEL)),
        run=_number(labels.get(RUN_LABEL)),
        boot_id=(metadata.get("annotations") or {}).get(BOOT_ANNOTATION, ""),
        phase=phase,
        terminating=metadata.get("deletionTimestamp") is not None,
        reason=reason,
        message=message,
        termination=_termination(pod),
        ended=ended,
    )


def _task(text: str | None) -> Task:
    return Task.CLEANUP if text == Task.CLEANUP.value else Task.CONFIGURE


def _phase(job: Mapping[str, Any], pod: Mapping[str, Any] | None) -> tuple[Phase, str, str, float]:
    """Return how far a Job is, and why; a Job has ended when it says so, not when its pod does."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            phase = Phase.SUCCEEDED if condition["type"] == "Complete" else Phase.FAILED
            pod_reason = (((pod or {}).get("status")) or {}).get("reason") or ""
            reason = condition.get("reason") or ""
            if phase is Phase.FAILED and reason in ("", "BackoffLimitExceeded"):
                # what the pod says is why; the Job only counts
                reason = pod_reason or _exit_reason(pod) or reason
            return phase, reason, condition.get("message") or "", seconds(condition.get("lastTransitionTime"))
    if pod is None:
        return Phase.PENDING, "", "", 0.0
    waiting = _container_state(pod).get("waiting")
    if (pod.get("status") or {}).get("phase", "Pending") == "Pending":
        waiting = waiting or {}
        reason = waiting.get("reason", "")
        # the two alternate
        reason = "ImagePullFailed" if reason in _PULL_TROUBLE else reason
        return Phase.PENDING, reason, waiting.get("message", ""), 0.0
    return Phase.RUNNING, "", "", 0.0


def _exit_reason(pod: Mapping[str, Any] | None) -> str:
    terminated = _container_state(pod).get("terminated") or {}
    code = terminated.get("exitCode", 0)
    reason: str = terminated.get("reason", "") if code else ""
    return reason if reason != "Error" else f"ExitCode{code}"


def _termination(pod: Mapping[str, Any] | None) -> str | None:
    terminated = _container_state(pod).get("terminated")
    return None if terminated is None else terminated.get("message", "")


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's agent has said its last word."""
    return _termination(pod) is not None


def _container_state(pod: Mapping[str, Any] | None) -> Mapping[str, Any]:
    for container in ((pod or {}).get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == CONTAINER:
            found: Mapping[str, Any] = container.get("state") or {}
            return found
    return {}


def _newest(pods: list[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    return max(pods, key=lambda pod: seconds(pod["metadata"].get("creationTimestamp")), default=None)


def pod_owner(pod: Mapping[str, Any]) -> str | None:
    """Return the uid of the Job that a pod belongs to."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("kind") == "Job":
            uid: str | None = owner.get("uid")
            return uid
    return None


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else -1


def seconds(timestamp: str | None) -> float:
    """Return an RFC 3339 time of the API (always UTC) as seconds since the epoch; 0 for none."""
    if not timestamp:
        return 0.0
    return float(calendar.timegm(time.strptime(timestamp[:19], "%Y-%m-%dT%H:%M:%S")))


def timestamp(moment: float) -> str:
    """Return seconds since the epoch as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
