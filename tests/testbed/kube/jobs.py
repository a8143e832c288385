# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Job controller: one pod per Job at a time, its outcome, its deadline, and its end.

As a real one since Kubernetes 1.31 it first says what it has decided (``FailureTarget``, ``SuccessCriteriaMet``) and
adds the terminal condition only when no pod of the Job can run any more. Not there: parallelism, indexed Jobs, pod
failure policies, and the delay before a pod is replaced.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from testbed.kube.errors import ApiError
from testbed.kube.objects import Objects, name_suffix, now, owner_reference
from testbed.kube.store import Event, Obj, Ref, clone

_WAIT_SECONDS = 5.0
_LOG = logging.getLogger(__name__)

_FAILED = {
    "BackoffLimitExceeded": "Job has reached the specified backoff limit",
    "DeadlineExceeded": "Job was active longer than specified deadline",
}
_DONE = ("CompletionsReached", "Reached expected number of succeeded pods")


@dataclass
class _Memory:
    """What the status does not say precisely enough: monotonic times, and how each pod ended."""

    started: float = field(default_factory=time.monotonic)
    finished: float | None = None
    pods: dict[str, str] = field(default_factory=dict)


class Jobs:
    """One thread that looks at the Jobs that something has happened to."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._jobs = objects.registry.of_kind("Job", "batch/v1")
        self._pods = objects.registry.of_kind("Pod", "v1")
        self._memory: dict[str, _Memory] = {}
        self._timers: list[tuple[float, Ref]] = []
        self._thread = threading.Thread(target=self._run, name="jobs")
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread; call it after the store was closed."""
        self._thread.join()

    def _run(self) -> None:
        store = self._objects.store
        revision, due = 0, self._all()
        while not store.closed:
            for ref in due:
                self._try(ref)
            try:
                events = store.events_after(revision, self._patience())
            except ApiError:  # more changes than the history holds
                revision, due = store.revision, self._all()
                continue
            if events:
                revision = events[-1].revision
            due = dict.fromkeys([*(ref for event in events for ref in _touched(event)), *self._due()])

    def _all(self) -> dict[Ref, None]:
        return dict.fromkeys(ref for ref, _obj in self._objects.store.entries(lambda ref, _: _is_job(ref)))

    def _patience(self) -> float:
        return max(0.0, min(_WAIT_SECONDS, self._timers[0][0] - time.monotonic())) if self._timers else _WAIT_SECONDS

    def _due(self) -> list[Ref]:
        due = []
        while self._timers and self._timers[0][0] <= time.monotonic():
            due.append(heapq.heappop(self._timers)[1])
        return due

    def _try(self, ref: Ref) -> None:
        try:
            job = self._objects.store.read(ref)
            if job is not None:
                self._reconcile(ref, job)
        except ApiError as exc:
            # Somebody else was faster; their change comes here as an event.
            _LOG.debug("job %s: %s", ref.name, exc)
        except Exception:
            _LOG.exception("job %s", ref.name)

    # -- one job

    def _reconcile(self, ref: Ref, job: Obj) -> None:
        memory = self._memory.setdefault(job["metadata"]["uid"], _Memory())
        pods = [obj for _ref, obj in self._objects.store.owned_by(job["metadata"]["uid"]) if obj["kind"] == "Pod"]
        _remember(memory, pods)
        if "deletionTimestamp" in job["metadata"]:
            return
        if condition(job, "Complete") or condition(job, "Failed"):
            self._expire(ref, job, memory)
            return
        status = clone(job.get("status") or {})
        self._decide(ref, job, status, memory)
        running = [pod for pod in pods if not _ended(pod)]
        decided = _decision(status)
        if decided:
            self._end(running)
            if not running:
                _finish(status, *decided)
        elif not running and not job["spec"].get("suspend"):
            status.setdefault("startTime", now())
            self._create_pod(job)
        _count(status, memory, running)
        self._write(ref, job, status)

    def _decide(self, ref: Ref, job: Obj, status: Obj, memory: _Memory) -> None:
        """Add the condition that says how the Job will end, once that is known."""
        spec, outcomes = job["spec"], list(memory.pods.values())
        if _decision(status) or spec.get("suspend"):
            return
        deadline = spec.get("activeDeadlineSeconds")
        if outcomes.count("Succeeded") >= spec["completions"]:
            _add_condition(status, "SuccessCriteriaMet", *_DONE)
        elif outcomes.count("Failed") > spec["backoffLimit"]:
            _add_condition(status, "FailureTarget", "BackoffLimitExceeded", _FAILED["BackoffLimitExceeded"])
        elif deadline is not None and "startTime" in status:
            if time.monotonic() >= memory.started + deadline:
                _add_condition(status, "FailureTarget", "DeadlineExceeded", _FAILED["DeadlineExceeded"])
        elif deadline is not None:
            memory.started = time.monotonic()
            heapq.heappush(self._timers, (memory.started + deadline, ref))

    def _end(self, pods: list[Obj]) -> None:
        for pod in pods:
            metadata = pod["metadata"]
            if "deletionTimestamp" not in metadata:
                with contextlib.suppress(ApiError):
                    self._objects.delete(self._pods, metadata["namespace"], metadata["name"], uid=metadata["uid"])

    def _create_pod(self, job: Obj) -> None:
        template, metadata = clone(job["spec"]["template"]), job["metadata"]
        pod = {
            "metadata": {
                **(template.get("metadata") or {}),
                "name": f"{metadata['name'][:57]}-{name_suffix()}",
                "ownerReferences": [owner_reference(job)],
            },
            "spec": template["spec"],
        }
        self._objects.create(self._pods, metadata["namespace"], pod)

    def _write(self, ref: Ref, job: Obj, status: Obj) -> None:
        def change(obj: Obj) -> None:
            if obj["metadata"]["uid"] == job["metadata"]["uid"]:
                obj["status"] = status

        self._objects.change(self._jobs, ref.namespace, ref.name, change, "status")

    def _expire(self, ref: Ref, job: Obj, memory: _Memory) -> None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return
        if memory.finished is None:
            memory.finished = time.monotonic()
            heapq.heappush(self._timers, (memory.finished + seconds, ref))
        elif time.monotonic() >= memory.finished + seconds:
            self._objects.delete(self._jobs, ref.namespace, ref.name, foreground=True, uid=job["metadata"]["uid"])


def condition(obj: Obj, kind: str) -> Obj | None:
    """Return a condition of an object if it is true."""
    found: list[Obj] = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in found if entry["type"] == kind and entry["status"] == "True"), None)


def _is_job(ref: Ref) -> bool:
    return (ref.group, ref.plural) == ("batch", "jobs")


def _touched(event: Event) -> list[Ref]:
    """Return the Jobs that an event concerns."""
    if _is_job(event.ref):
        return [event.ref]
    if (event.ref.group, event.ref.plural) != ("", "pods"):
        return []
    owners = event.obj["metadata"].get("ownerReferences") or ()
    return [Ref("batch", "jobs", event.ref.namespace, owner["name"]) for owner in owners if owner["kind"] == "Job"]


def _ended(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _remember(memory: _Memory, pods: list[Obj]) -> None:
    """Note how the pods are; one that is gone without having ended has failed."""
    there = {pod["metadata"]["uid"]: pod for pod in pods}
    for uid, phase in memory.pods.items():
        if uid not in there and phase not in ("Succeeded", "Failed"):
            memory.pods[uid] = "Failed"
    for uid, pod in there.items():
        memory.pods[uid] = pod["status"]["phase"]


def _add_condition(status: Obj, kind: str, reason: str, message: str) -> None:
    entry = {"type": kind, "status": "True", "reason": reason, "message": message}
    times = {"lastProbeTime": now(), "lastTransitionTime": now()}
    status["conditions"] = [*(status.get("conditions") or ()), {**entry, **times}]


def _decision(status: Obj) -> tuple[str, Obj] | None:
    """Return the terminal condition that is to follow, and the one that announces it."""
    for announced, final in (("FailureTarget", "Failed"), ("SuccessCriteriaMet", "Complete")):
        found = condition({"status": status}, announced)
        if found is not None:
            return final, found
    return None


def _finish(status: Obj, final: str, announced: Obj) -> None:
    _add_condition(status, final, announced["reason"], announced["message"])
    if final == "Complete":
        status["completionTime"] = now()


def _count(status: Obj, memory: _Memory, running: list[Obj]) -> None:
    ending = [pod for pod in running if "deletionTimestamp" in pod["metadata"]]
    outcomes = list(memory.pods.values())
    counts: dict[str, Any] = {
        "active": len(running) - len(ending),
        "ready": sum(condition(pod, "Ready") is not None for pod in running),
        "terminating": len(ending),
        "succeeded": outcomes.count("Succeeded"),
        "failed": outcomes.count("Failed"),
        "uncountedTerminatedPods": {},
    }
    for name, count in counts.items():
        if count or name in ("ready", "terminating", "uncountedTerminatedPods"):
            status[name] = count
        else:
            status.pop(name, None)
