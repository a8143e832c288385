# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a target of a cluster leads to: its pods, and which port of a pod is meant. Nothing here asks the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .._nearest import did_you_mean
from ..contexts._base import sentence
from ..contexts._workload import NoPod, PodKind, Target, is_ready, none_ready, parse_target
from ._errors import ForwardError

Obj = Mapping[str, Any]

_KINDS = (PodKind.POD, PodKind.SERVICE, PodKind.DEPLOYMENT, PodKind.STATEFULSET)
_REMEDY = "Write service/, deployment/, statefulset/ or pod/ and a name."
_GROUPS = {PodKind.POD: ("api/v1", "pods"), PodKind.SERVICE: ("api/v1", "services")}


def target_of(text: str) -> Target:
    """Return what a user named; raise ForwardError if it is nothing that ports can be forwarded to."""
    try:
        target = parse_target(text, None, text)
    except NoPod as exc:
        raise ForwardError(sentence(f"target '{text}': it names nothing with ports", _REMEDY)) from exc
    if "/" not in text or target.kind not in _KINDS:
        raise ForwardError(sentence(f"target '{text}': ports of that are not forwarded", _REMEDY))
    return target


def resource_of(kind: PodKind) -> str:
    """Return what the API calls a kind, for messages about rights too."""
    return f"{kind.value}s"


def path_of(kind: PodKind, namespace: str, name: str = "") -> str:
    """Return the path of an object, without a name that of all of its kind."""
    group, _plural = _GROUPS.get(kind, ("apis/apps/v1", ""))
    path = f"/{group}/namespaces/{quote(namespace, safe='')}/{resource_of(kind)}"
    return f"{path}/{quote(name, safe='')}" if name else path


@dataclass(frozen=True)
class Pod:
    """A pod that may be connected to."""

    name: str
    uid: str
    ports: tuple[tuple[str, int], ...]
    """The ports that its containers name."""


@dataclass(frozen=True)
class _ServicePort:
    number: int
    name: str
    target: int | str
    protocol: str

    def __str__(self) -> str:
        return f"{self.number} ({self.name})" if self.name else str(self.number)


@dataclass(frozen=True)
class Picture:
    """What a target leads to at some time."""

    target: Target
    pods: tuple[Pod, ...]
    """Never empty; the one to be taken comes first."""
    alive: frozenset[str] = frozenset()
    """The uids of all pods of it that have not ended, ready or not."""
    service_ports: tuple[_ServicePort, ...] | None = None
    """The ports of a service, None for anything else."""

    def number(self, port: int | str, pod: Pod) -> int:
        """Return the port of the pod that a port of the target leads to; raise ForwardError if there is none."""
        if self.service_ports is None:
            return self._of_pod(port, pod)
        for each in self.service_ports:
            if port == each.number or (isinstance(port, str) and port == each.name):
                if each.protocol != "TCP":
                    cause = f"{self.target}: port {each} is for {each.protocol}, and only TCP is forwarded"
                    raise ForwardError(cause)
                # the API calls the target port of a headless service ignored, but endpoints of one have it all the same
                return self._of_pod(each.target, pod)
        has = ", ".join(map(str, self.service_ports))
        cause = f"{self.target}: it has no port {_quoted(port)}"
        raise ForwardError(sentence(cause, f"It has: {has}." if has else "It has no ports at all."))

    def _of_pod(self, port: int | str, pod: Pod) -> int:
        if isinstance(port, int):
            return port
        names = dict(pod.ports)
        if port in names:
            return names[port]
        cause = f"{self.target}: no container of pod {pod.name} names a port '{port}'"
        named = ", ".join(f"{name} ({number})" for name, number in pod.ports)
        remedy = did_you_mean(port, names) or (f"It names: {named}." if named else "It names no ports: give a number.")
        raise ForwardError(sentence(cause, remedy))


def _quoted(port: int | str) -> str:
    return str(port) if isinstance(port, int) else f"'{port}'"


def selector_of(target: Target, found: Obj, selector: Callable[[Target, Obj], str]) -> str:
    """Return the selector of the pods of a workload or a service; raise ForwardError if it has none."""
    spec = found.get("spec") or {}
    if target.kind is PodKind.SERVICE and spec.get("type") == "ExternalName":
        cause = f"{target}: it is only a name for {spec.get('externalName')}, which is outside of the cluster"
        raise ForwardError(sentence(cause, "Connect to that host, or forward it by an SSH context."))
    try:
        return selector(target, found)
    except NoPod as exc:
        cause = f"{target}: it has no selector, so no pods belong to it"
        raise ForwardError(sentence(cause, "Name a pod, a deployment or a stateful set.")) from exc


def picture_of(target: Target, found: Obj, pods: Sequence[Obj]) -> Picture:
    """Return what a target leads to, given the object and its pods (itself, for a pod). Raises NoPod if none is ready.

    A pod that is named outright only has to run, as with ``kubectl port-forward``.
    """
    spec = found.get("spec") or {}
    unready = target.kind is PodKind.POD or bool(spec.get("publishNotReadyAddresses"))
    usable = [pod for pod in pods if (_runs(pod) if unready else is_ready(pod))]
    if not usable:
        raise none_ready(target, found, pods)
    usable.sort(key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""), reverse=True)
    usable.sort(key=lambda pod: _order(target, pod))
    ports = None
    if target.kind is PodKind.SERVICE:
        ports = tuple(
            _ServicePort(
                each["port"],
                each.get("name") or "",
                each.get("targetPort") or each["port"],
                each.get("protocol", "TCP"),
            )
            for each in spec.get("ports") or ()
        )
    return Picture(target, tuple(map(_pod, usable)), alive_of(pods), ports)


def alive_of(pods: Sequence[Obj]) -> frozenset[str]:
    """Return the uids of those pods that have not ended; one that is being deleted still serves who it serves."""
    ended = ("Succeeded", "Failed")
    return frozenset(pod["metadata"]["uid"] for pod in pods if (pod.get("status") or {}).get("phase") not in ended)


def _runs(pod: Obj) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]


def _order(target: Target, pod: Obj) -> tuple[bool, int]:
    """Return what comes first: ready pods, and of a stateful set the one with the lowest number."""
    number = re.search(r"-(\d+)$", pod["metadata"]["name"]) if target.kind is PodKind.STATEFULSET else None
    return not is_ready(pod), int(number[1]) if number else 0


def _pod(pod: Obj) -> Pod:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    named = [
        (port["name"], port["containerPort"])
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name") and port.get("protocol", "TCP") == "TCP"
    ]
    return Pod(pod["metadata"]["name"], pod["metadata"]["uid"], tuple(dict(reversed(named)).items()))
