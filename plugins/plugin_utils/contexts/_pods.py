# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the pod that a context means, by asking the API through kubectl.

What was found is kept as long as the finder lives, which is a task: Ansible makes a process and a connection for each.
Whoever sees the pod fail calls ``forget``.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ._base import ContextError
from ._kubectl import Kubectl
from ._workload import NoPod, Obj, PodKind, Target, choice_of, choose, parse_target, pod_selector, state_of, unknown

SECONDS = 60.0
"""How long the API may take to answer."""


class KubectlRefused(Exception):
    """kubectl did not print what it was asked for; the text is what it said instead."""


class ReadObjects(Protocol):
    """Reads objects of a cluster; the part of this file that does I/O."""

    def __call__(self, arguments: Sequence[str], seconds: float, /) -> Obj:
        """Return what ``kubectl get -o json ARGUMENTS`` prints; raise KubectlRefused or ContextError."""


def read_by(kubectl: Kubectl) -> ReadObjects:
    """Return a reader that runs kubectl."""

    def read(arguments: Sequence[str], seconds: float) -> Obj:
        launch = kubectl.launch(("get", "-o", "json", *arguments))
        try:
            done = subprocess.run(
                launch.argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=launch.env,
                pass_fds=launch.pass_fds,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise KubectlRefused(f"the API did not answer within {seconds:g} seconds") from exc
        except OSError as exc:
            raise KubectlRefused(f"{launch.argv[0].decode(errors='replace')}: {exc.strerror}") from exc
        if done.returncode != 0:
            lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
            raise KubectlRefused(lines[-1] if lines else f"kubectl ended with status {done.returncode}")
        try:
            document: Any = json.loads(done.stdout)
        except ValueError as exc:
            raise KubectlRefused("kubectl printed no JSON") from exc
        return document if isinstance(document, Mapping) else {}

    return read


def pod_named(context: str, kubectl: Kubectl, pod: str, container: str | None = None) -> PodFinder:
    """Return the finder of a pod that is named outright."""
    return PodFinder(context, read_by(kubectl), Target(PodKind.POD, pod), container)


class PodFinder:
    """Finds the pod and the container for a target. Thread-safe."""

    def __init__(self, context: str, read: ReadObjects, target: Target, container: str | None = None) -> None:
        self.target = target
        self._context = context
        self._read = read
        self._container = container
        self._found: tuple[str, str | None] | None = None
        self._lock = threading.Lock()

    def of(self, pod: str | None, container: str | None) -> PodFinder:
        """Return the finder for another pod of the same cluster, or for another container of the same pod.

        Raises ContextError if ``pod`` names nothing that could be a pod.
        """
        if pod is None:
            return PodFinder(self._context, self._read, self.target, container)
        try:
            target = parse_target(pod, None, pod)
        except NoPod as exc:
            raise ContextError(self._context, "choosing its pod", exc.cause, exc.remedy) from exc
        return PodFinder(self._context, self._read, target, container)

    def find(self, seconds: float = SECONDS) -> tuple[str, str | None]:
        """Return a ready pod and a container of it (None: kubectl's default); raise ContextError if there is none.

        A pod that is named outright is taken as it is, ready or not: someone may want to look into it.
        """
        if self.target.kind is PodKind.POD:
            return self.target.name, self._container
        with self._lock:
            if self._found is None:
                self._found = self._search(seconds)
            return self._found

    def forget(self) -> None:
        """Look again next time: the pod may be gone."""
        with self._lock:
            self._found = None

    def why_not(self, seconds: float = SECONDS) -> NoPod | None:
        """Return why a pod that is named outright cannot be used, None if nothing speaks against it."""
        if self.target.kind is not PodKind.POD:
            return None
        try:
            pod = self._get(self.target.kind, self.target.name, seconds)
            if not pod.get("metadata"):
                return None
            containers = choice_of(pod).containers
            if self._container is not None and self._container not in containers:
                return self._no_container(self.target.name, containers)
            state = state_of(pod)
        except NoPod as exc:
            return exc
        except (KubectlRefused, ContextError):
            return None
        if state == "Ready":
            return None
        return NoPod(f"{self.target} is not ready: {state}", "See 'kubectl describe pod' for what it waits for.")

    def _search(self, seconds: float) -> tuple[str, str | None]:
        try:
            return self._choose(seconds)
        except NoPod as exc:
            raise ContextError(self._context, f"finding a pod of {self.target}", exc.cause, exc.remedy) from exc
        except KubectlRefused as exc:
            raise ContextError(self._context, f"finding a pod of {self.target}", str(exc), _remedy(str(exc))) from exc

    def _choose(self, seconds: float) -> tuple[str, str | None]:
        target, workload, kinds = self.target, None, "pods"
        selector = target.name
        if target.kind is not PodKind.SELECTOR:
            workload = self._get(target.kind, target.name, seconds)
            selector = pod_selector(target, workload)
        if target.kind is PodKind.DEPLOYMENT:
            kinds = "replicasets,pods"
        found = self._read((kinds, "--selector", selector), seconds)
        choice = choose(target, workload, found.get("items") or ())
        if self._container is not None and self._container not in choice.containers:
            raise self._no_container(choice.pod, choice.containers)
        return choice.pod, self._container or next(iter(choice.containers), None)

    def _no_container(self, pod: str, containers: Sequence[str]) -> NoPod:
        return NoPod(f"pod {pod} has no container '{self._container}'", f"It has: {', '.join(containers)}.")

    def _get(self, kind: PodKind, name: str, seconds: float) -> Obj:
        """Return an object; raise NoPod, with the nearest names, if it does not exist."""
        try:
            return self._read((kind.value, "--", name), seconds)
        except KubectlRefused as exc:
            if "(NotFound)" not in str(exc):
                raise
        raise unknown(Target(kind, name), self._names(kind, seconds))

    def _names(self, kind: PodKind, seconds: float) -> list[str]:
        try:
            return [obj["metadata"]["name"] for obj in self._read((kind.value,), seconds).get("items") or ()]
        except KubectlRefused:  # who may read one object need not be allowed to list them
            return []


def _remedy(said: str) -> str | None:
    if "orbidden" in said:
        return "The user of this kubeconfig needs 'get' on the workload and 'list' on pods (and replicasets)."
    return None
