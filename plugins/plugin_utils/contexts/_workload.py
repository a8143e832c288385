# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the name of a workload to one of its pods, given what the API says of both: the choice, or why there is none.

Nothing here asks the API; see _pods.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .._nearest import nearest

Obj = Mapping[str, Any]

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""The annotation by which a pod names the container that kubectl takes."""
_REVISION = "deployment.kubernetes.io/revision"
_SHOWN_PODS = 5
_SHOWN_NAMES = 10
_MESSAGE_LENGTH = 160


class PodKind(Enum):
    """What a pod can be named by; the values are kubectl's words for it."""

    POD = "pod"
    DEPLOYMENT = "deployment"
    STATEFULSET = "statefulset"
    DAEMONSET = "daemonset"
    SERVICE = "service"
    SELECTOR = "selector"


_WORDS = {
    **dict.fromkeys(("pod", "pods", "po"), PodKind.POD),
    **dict.fromkeys(("deployment", "deployments", "deploy"), PodKind.DEPLOYMENT),
    **dict.fromkeys(("statefulset", "statefulsets", "sts"), PodKind.STATEFULSET),
    **dict.fromkeys(("daemonset", "daemonsets", "ds"), PodKind.DAEMONSET),
    **dict.fromkeys(("service", "services", "svc"), PodKind.SERVICE),
}


@dataclass(frozen=True)
class Target:
    """What a user named to reach a pod."""

    kind: PodKind
    name: str
    """The name, or the selector."""

    def __str__(self) -> str:
        return f"{self.kind.value}/{self.name}" if self.kind is not PodKind.SELECTOR else f"selector '{self.name}'"


@dataclass(frozen=True)
class Choice:
    """A pod that was chosen, and its containers, the one that kubectl takes by default first."""

    pod: str
    containers: tuple[str, ...]


class NoPod(Exception):
    """There is no pod to take: cause and remedy."""

    def __init__(self, cause: str, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


def parse_target(pod: str | None, selector: str | None, host: str) -> Target:
    """Return what ``pod`` (``web-0``, ``deployment/web``) or ``selector`` names, else the pod called like the host.

    Raises NoPod if it names nothing that could be a pod.
    """
    if pod and selector:
        raise NoPod("both a pod and a selector are given", "Leave one of them out.")
    if selector:
        return Target(PodKind.SELECTOR, selector)
    word, slash, name = (pod or host).partition("/")
    if not slash:
        return Target(PodKind.POD, word)
    kind = _WORDS.get(word.lower().removesuffix(".apps"))
    if kind is None or not name or "/" in name:
        cause = f"'{pod}' names no pod"
        raise NoPod(cause, "Write a pod's name, or pod/, deployment/, statefulset/, daemonset/ or service/ and a name.")
    return Target(kind, name)


def pod_selector(target: Target, workload: Obj) -> str:
    """Return the selector of a workload's pods as kubectl takes it; raise NoPod if it has none."""
    selector = workload.get("spec", {}).get("selector") or {}
    if target.kind is PodKind.SERVICE:
        selector = {"matchLabels": selector}
    words = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    words += [_expression(each) for each in selector.get("matchExpressions") or ()]
    if not words:
        raise NoPod(f"{target} selects no pods: it has no selector", "Name a pod, or another workload.")
    return ",".join(words)


def _expression(expression: Obj) -> str:
    key, operator = expression["key"], expression["operator"]
    if operator in ("Exists", "DoesNotExist"):
        return key if operator == "Exists" else f"!{key}"
    return f"{key} {operator.lower()} ({','.join(expression.get('values') or ())})"


def choose(target: Target, workload: Obj | None, found: Iterable[Obj]) -> Choice:
    """Return the pod to take of those ``found`` by the target's selector (for a deployment: pods and replica sets).

    Only ready pods that are not being deleted count, and of a workload only those that it owns. Of a deployment the
    newest revision that has one is taken, of a stateful set the pod with the lowest number, otherwise the pod that has
    been ready for longest. Raises NoPod with the reasons if there is none.
    """
    found = list(found)
    pods = [obj for obj in found if obj.get("kind") == "Pod"]
    rank = _ranks(target, workload, found)
    ours = [pod for pod in pods if rank is None or _owner(pod) in rank]
    ready = [pod for pod in ours if is_ready(pod)]
    if not ready:
        raise none_ready(target, workload, ours)
    best = min(ready, key=lambda pod: (_order(target, pod, rank), _ready_since(pod), pod["metadata"]["name"]))
    return choice_of(best)


def choice_of(pod: Obj) -> Choice:
    """Return a pod as the choice."""
    names = [container["name"] for container in pod.get("spec", {}).get("containers", ())]
    default = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if default in names:
        names.remove(default)
        names.insert(0, default)
    return Choice(pod["metadata"]["name"], tuple(names))


def _ranks(target: Target, workload: Obj | None, found: Sequence[Obj]) -> dict[str, int] | None:
    """Return the uids that own a workload's pods, with the rank of each, lowest first; None if owners do not matter."""
    if workload is None or target.kind is PodKind.SERVICE:
        return None
    uid = workload["metadata"]["uid"]
    if target.kind is not PodKind.DEPLOYMENT:
        return {uid: 0}
    sets = [obj for obj in found if obj.get("kind") == "ReplicaSet" and _owner(obj) == uid]
    newest = sorted(sets, key=_revision, reverse=True)
    return {obj["metadata"]["uid"]: number for number, obj in enumerate(newest)}


def _revision(replica_set: Obj) -> tuple[int, str]:
    metadata = replica_set["metadata"]
    revision = str((metadata.get("annotations") or {}).get(_REVISION, ""))
    return int(revision) if revision.isdigit() else 0, str(metadata.get("creationTimestamp", ""))


def _owner(obj: Obj) -> str | None:
    """Return the uid of the controller that owns an object."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def _order(target: Target, pod: Obj, rank: Mapping[str, int] | None) -> int:
    if target.kind is PodKind.STATEFULSET:
        number = re.search(r"-(\d+)$", pod["metadata"]["name"])
        return int(number[1]) if number else 0
    return rank.get(_owner(pod) or "", 0) if rank else 0


def _condition(pod: Obj, kind: str) -> Obj:
    conditions: Sequence[Obj] = pod.get("status", {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == kind), {})


def is_ready(pod: Obj) -> bool:
    """Return whether a pod is ready and not being deleted."""
    return "deletionTimestamp" not in pod["metadata"] and _condition(pod, "Ready").get("status") == "True"


def _ready_since(pod: Obj) -> str:
    return str(_condition(pod, "Ready").get("lastTransitionTime") or "")


# -- why there is none ---------------------------------------------------------------------------------------------


def none_ready(target: Target, workload: Obj | None, pods: Sequence[Obj]) -> NoPod:
    """Return the error for a target none of whose ``pods`` is ready: what each of them is doing."""
    remedy = "See 'kubectl describe pod' for what they wait for."
    if pods:
        said = "; ".join(f"{pod['metadata']['name']}: {state_of(pod)}" for pod in pods[:_SHOWN_PODS])
        more = f"; and {len(pods) - _SHOWN_PODS} more" if len(pods) > _SHOWN_PODS else ""
        return NoPod(f"no pod of {target} is ready: {said}{more}", remedy)
    if target.kind is PodKind.SELECTOR:
        return NoPod(f"no pod matches the {target}", "Check ansible_kubectl_selector and the namespace.")
    if workload is not None and workload.get("spec", {}).get("replicas") == 0:
        return NoPod(f"{target} has no pods: it is scaled to 0", f"Scale it up: kubectl scale {target} --replicas=1")
    return NoPod(f"{target} has no pods", f"See 'kubectl describe {target}' for why none is made.")


def state_of(pod: Obj) -> str:
    """Return in a few words what a pod is doing, or waiting for."""
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    if is_ready(pod):
        return "Ready"
    troubles = [
        *(_trouble(each, "init container") for each in status.get("initContainerStatuses") or ()),
        *(_trouble(each, "container") for each in status.get("containerStatuses") or ()),
    ]
    said = [trouble for trouble in troubles if trouble]
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        said = [_with_message(scheduled.get("reason", "Unschedulable"), scheduled.get("message"))]
    if not said and status.get("reason"):
        said = [_with_message(status["reason"], status.get("message"))]
    phase = str(status.get("phase") or "Unknown")
    if not said:
        condition = _condition(pod, "Ready")
        said = [_with_message(condition.get("reason") or "not Ready", condition.get("message"))]
    return f"{phase} ({', '.join(said)})"


def _trouble(status: Obj, what: str) -> str:
    """Return what keeps a container from running, an empty text if nothing does."""
    state = status.get("state") or {}
    waiting, ended = state.get("waiting"), state.get("terminated")
    reason = ""
    if waiting:
        reason = _with_message(waiting.get("reason") or "waiting", waiting.get("message"))
    elif ended and not (what == "init container" and ended.get("exitCode") == 0):
        reason = f"{ended.get('reason') or 'ended'}, exit status {ended.get('exitCode')}"
    elif not status.get("ready") and what == "container":
        reason = "not Ready"
    return f"{what} {status.get('name')}: {reason}" if reason else ""


def _with_message(reason: str, message: str | None) -> str:
    text = " ".join((message or "").split())
    if len(text) > _MESSAGE_LENGTH:
        text = f"{text[:_MESSAGE_LENGTH]}..."
    return f"{reason}: {text}" if text else reason


def unknown(target: Target, names: Sequence[str]) -> NoPod:
    """Return the error for a name that does not exist, with the nearest of the names that do."""
    # the pod of a workload may be named without its generated end
    near = nearest(target.name, names) or next((name for name in names if name.startswith(f"{target.name}-")), None)
    if near:
        remedy = f"Did you mean '{near}'?"
    elif names:
        shown = ", ".join(names[:_SHOWN_NAMES])
        remedy = f"There are: {shown}{' and more' if len(names) > _SHOWN_NAMES else ''}."
    else:
        remedy = "Check its name, the namespace and the cluster."
    return NoPod(f"{target} does not exist", remedy)
