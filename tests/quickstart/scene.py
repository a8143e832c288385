# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of the demonstration: an SSH host and a pod, both on loopback, both gone afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstart import sample
from testbed.bed import Bed
from testbed.inventory import Inventory
from testbed.kube import Kube
from testbed.run import Run
from testbed.ssh.host import SshHost

POD = "postgres-0"
SSH_HOST = "backup-server"
SOURCE = "k8s-prod"


@dataclass(frozen=True)
class PodContext:
    """A pod as a host of the inventory, with the variables of ``kubernetes.core.kubectl``."""

    name: str
    pod: str
    kubeconfig: Path

    def inventory_vars(self) -> dict[str, Any]:
        """Return the host variables that let Ansible reach the pod."""
        return {
            "ansible_connection": "kubernetes.core.kubectl",
            "ansible_kubectl_kubeconfig": str(self.kubeconfig),
            "ansible_kubectl_namespace": "default",
            "ansible_kubectl_pod": self.pod,
            "ansible_kubectl_container": "main",
        }


@dataclass(frozen=True)
class Scene:
    """What there is while the demonstration runs."""

    data: Path
    backups: Path
    host: SshHost
    inventory: Inventory
    scratch: Path


@contextlib.contextmanager
def scene(mebibytes: int) -> Iterator[Scene]:
    """Bring everything up, fill the pod's folder, and take everything down at the end, come what may."""
    with Run() as run, Bed(run) as bed, contextlib.ExitStack() as stack:
        scratch = run.new_directory("quick")
        kube = stack.enter_context(Kube("process", workdir=run.new_directory("kube")))
        pod = kube.pod(POD)
        if pod.root is None:
            raise RuntimeError("a pod of this backend has a folder")
        sample.fill(pod.root / "data", mebibytes)
        host = bed.ssh_host(SSH_HOST)
        (host.data / "backups").mkdir()
        source = PodContext(SOURCE, POD, kube.write_kubeconfig(scratch / "kubeconfig"))
        yield Scene(pod.root / "data", host.data / "backups", host, bed.inventory(source, host), scratch)
