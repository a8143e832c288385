# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Job that has ended means for its resource."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Config, Job, Phase, State
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import (
    InterfaceResult,
    Summary,
    Unreadable,
    read,
)

UNKNOWN = "Unknown"
_LONGEST = 512
_STATES = {"configured": "Configured", "failed": "Failed", "refused": "Refused"}


@dataclass(frozen=True)
class Outcome:
    """The result of a run.

    :param result: ``Succeeded``, ``Partial`` or ``Failed``.
    :param retry: whether trying again soon may help.
    :param interfaces: the entries of ``status.interfaceStatuses``.
    """

    state: State
    result: str
    reason: str
    message: str
    retry: bool
    interfaces: tuple[Mapping[str, Any], ...] = ()


def outcome_of(config: Config, job: Job) -> Outcome:
    """Judge a Job that has ended. Only its summary makes a resource configured, never that the Job succeeded."""
    summary, unknown = _summary(job)
    if summary is None:
        return _failed(config, job.reason or "SummaryMissing", unknown)
    if summary.failure is not None:
        return _failed(config, "RunFailed", summary.failure, summary)
    interfaces = _interfaces(config, summary)
    bad = [entry for entry in interfaces if entry["state"] != State.CONFIGURED.value]
    wanted = {entry["id"] for entry in interfaces}
    left = [each for each in summary.interfaces if each.state != "configured" and each.id not in wanted]
    if bad or left:
        return _partial(interfaces, bad, left)
    if job.phase is Phase.FAILED:
        return _failed(config, job.reason or "JobFailed", f"the Job failed: {_why(job)}", summary)
    return Outcome(
        State.CONFIGURED, "Succeeded", "Configured", f"{_count(len(interfaces))} configured", False, interfaces
    )


def cleanup_failure(job: Job) -> tuple[str, str] | None:
    """Return why a clean-up that has ended did not clean, as reason and message; None if it did."""
    summary, unknown = _summary(job)
    if summary is None:
        return job.reason or "SummaryMissing", unknown
    if summary.failure is not None:
        return "RunFailed", summary.failure
    left = [each for each in summary.interfaces if each.state != "configured"]
    if left:
        return "InterfacesFailed", "; ".join(_told(each) for each in left)
    if job.phase is Phase.FAILED:
        return job.reason or "JobFailed", f"the Job failed: {_why(job)}"
    return None


def _summary(job: Job) -> tuple[Summary | None, str]:
    """Return the summary, or None and why there is none."""
    if not job.termination:
        how = "succeeded" if job.phase is Phase.SUCCEEDED else f"failed ({_why(job)})"
        return None, f"Job {job.name} {how} and its agent left no summary; it may have been lost with its node"
    try:
        summary = read(job.termination)
    except Unreadable as exc:
        return None, f"the summary of Job {job.name} cannot be read: {exc}"
    if summary.task is not job.task or summary.generation != job.generation:
        told = f"{summary.task.value} of generation {summary.generation}"
        return None, f"the summary of Job {job.name} is that of another run: {told}"
    return summary, ""


def _interfaces(config: Config, summary: Summary | None) -> tuple[Mapping[str, Any], ...]:
    """Return what is told of each interface that is wanted, in order of id."""
    told = {} if summary is None else {each.id: each for each in summary.interfaces}
    return tuple(_entry(wanted, told.get(wanted["id"])) for wanted in sorted(config.interfaces, key=_id))


def _id(entry: Mapping[str, Any]) -> int:
    found: int = entry["id"]
    return found


def _entry(wanted: Mapping[str, Any], told: InterfaceResult | None) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"id": wanted["id"], "macAddress": wanted["macAddress"], "state": UNKNOWN}
    if told is None:
        return {**entry, "reason": "NotReported", "message": "the agent did not say what became of it"}
    entry["state"] = _STATES[told.state]
    if told.name:
        entry["name"] = told.name[:15]
    if told.state != "configured":
        entry["reason"] = f"Interface{_STATES[told.state]}"
        entry["message"] = (told.reason or "the agent gave no reason")[:_LONGEST]
    return entry


def _failed(config: Config, reason: str, message: str, summary: Summary | None = None) -> Outcome:
    interfaces = _interfaces(config, summary)
    return Outcome(State.FAILED, "Failed", reason, message[: 2 * _LONGEST], True, interfaces)


def _partial(
    interfaces: tuple[Mapping[str, Any], ...], bad: list[Mapping[str, Any]], left: list[InterfaceResult]
) -> Outcome:
    reasons = [f"id {entry['id']}: {entry['message']}" for entry in bad] + [_told(each) for each in left]
    what = f"{len(bad)} of {_count(len(interfaces))} not configured" if bad else "what is not wanted any more stays"
    message = f"{what}: {'; '.join(reasons)}"[: 2 * _LONGEST]
    # what was refused stays so until somebody changes the node: the next regular run sees it
    retry = bool(left) or any(entry["state"] != "Refused" for entry in bad)
    if bad and len(bad) == len(interfaces):
        return Outcome(State.FAILED, "Failed", "InterfacesFailed", message, retry, interfaces)
    return Outcome(State.PARTIALLY_CONFIGURED, "Partial", "InterfacesFailed", message, retry, interfaces)


def _told(each: InterfaceResult) -> str:
    label = each.name or "a link" if each.id is None else f"id {each.id}"
    return f"{label}: {each.reason or each.state}"


def _why(job: Job) -> str:
    return ": ".join(part for part in (job.reason, job.message) if part) or "no reason given"


def _count(number: int) -> str:
    return f"{number} interface{'' if number == 1 else 's'}"
