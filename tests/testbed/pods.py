# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test holds of a pod, and the API servers that the tests of a session share."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.run import Run
from testbed.tier import Tier

if TYPE_CHECKING:
    from testbed.kube import Kube


@dataclass(frozen=True)
class PodHost:
    """A pod that runs. ``root`` is its private directory where the backend has one to show."""

    name: str
    namespace: str
    container: str
    kube: Kube
    kubeconfig: Path
    root: Path | None

    def inventory_vars(self) -> dict[str, Any]:
        """Return the host variables that let Ansible reach the pod."""
        return {
            "ansible_connection": "kubernetes.core.kubectl",
            "ansible_kubectl_kubeconfig": str(self.kubeconfig),
            "ansible_kubectl_namespace": self.namespace,
            "ansible_kubectl_pod": self.name,
            "ansible_kubectl_container": self.container,
        }


class Kubes:
    """One Kubernetes API per tier, started when it is first asked for: starting containerd takes a while."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._started: dict[Tier, tuple[Kube, Path]] = {}

    def of(self, tier: Tier) -> tuple[Kube, Path]:
        """Return the API of the tier and a kubeconfig for it."""
        if tier not in self._started:
            from testbed.kube import Kube  # late: a test without a pod needs none of it

            directory = self._run.new_directory("kube")
            kube = Kube("cri" if tier is Tier.NODE else "process", workdir=directory)
            self._started[tier] = kube, kube.write_kubeconfig(directory / "kubeconfig")
        return self._started[tier]

    def reset(self) -> None:
        """Undo what a test may have switched."""
        for kube, _path in self._started.values():
            kube.faults.clear()
            kube.calls.clear()
            kube.websockets = True
            kube.authorizations = None

    def close(self) -> None:
        """End every API and every pod."""
        with contextlib.ExitStack() as stack:
            for kube, _path in self._started.values():
                stack.callback(kube.close)
        self._started.clear()


def delete_pod(kube: Kube, namespace: str, name: str, timeout: float = 30) -> None:
    """Delete a pod without grace and wait until its name is free; it may be gone already."""
    from testbed.kube.errors import ApiError

    store = kube.front.objects.store
    deadline = time.monotonic() + timeout
    try:
        kube.delete("Pod", name, namespace, grace_seconds=0)
        while True:
            revision = store.revision
            kube.get("Pod", name, namespace)
            if (remaining := deadline - time.monotonic()) <= 0:
                raise TimeoutError(f"pod {namespace}/{name} was not deleted within {timeout} s")
            store.events_after(revision, remaining)
    except ApiError as exc:
        if exc.code != 404:
            raise
