# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contexts that the benchmarks run against: a container and a real sshd, as on the node tier.

The container has busybox, or Debian's tools (``image="debian"``), which count what they copy at less cost.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import pod_named
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._ssh import SshCommand, SshContext

from testbed.bed import Bed
from testbed.inventory import Inventory
from testbed.kube import Kube
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.tier import Tier

_MIXED = (
    "i=0; while [ $i -lt {pieces} ]; do head -c 8388608 /dev/urandom; "
    'yes "row $i of a table that repeats itself, as databases do" | head -c 8388608; i=$((i + 1)); done'
)


@dataclass(frozen=True)
class _Pod:
    name: str
    kubeconfig: Path

    def inventory_vars(self) -> dict[str, Any]:
        return {
            "ansible_connection": "kubernetes.core.kubectl",
            "ansible_kubectl_kubeconfig": str(self.kubeconfig),
            "ansible_kubectl_pod": self.name,
            "ansible_kubectl_namespace": "default",
        }


class Site:
    """A pod ``pod`` that holds a file of mixed data, an SSH host ``host``, and an inventory of both.

    With a ``delay``, in seconds one way, there is also an SSH host ``far`` behind a slow line.
    """

    def __init__(self, size: int, image: str = "busybox", delay: float = 0.0) -> None:
        self._image = image
        self._delay = delay
        self.far: SshHost | None = None
        self.size = max(1, size >> 24) << 24
        """Bytes of the file: half random, half compressible, in pieces of 16 MiB."""

    def __enter__(self) -> Site:
        self._run = Run().__enter__()
        self._bed = Bed(self._run, Tier.NODE)
        self.kube = Kube(backend="cri", workdir=self._run.new_directory("kube"))
        self.folder = self._run.new_directory("local")
        """A folder of this machine, for data."""
        self.host: SshHost = self._bed.ssh_host("host")
        self.kube.pod("pod", containers=[{"name": "main", "image": self._image, "command": ["sleep", "1000000"]}])
        self.kubeconfig = self.kube.write_kubeconfig(self._run.directory / "kubeconfig")
        hosts = [self.host]
        if self._delay:
            self.far = self._bed.ssh_host("far", relay=True)
            assert self.far.relay is not None
            self.far.relay.set_delay(self._delay)
            hosts.append(self.far)
        self.inventory: Inventory = self._bed.inventory(*hosts, _Pod("pod", self.kubeconfig))
        script = _MIXED.format(pieces=self.size >> 24)
        subprocess.run(
            [*self.kubectl("exec", "pod", "--", "sh", "-c"), f"mkdir -p /data; {{ {script}; }} >/data/file"], check=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bed.close()
        self.kube.close()
        self._run.close()

    def kubectl(self, *words: str) -> list[str]:
        """Return a kubectl command line for the cluster."""
        program = Path(sys.executable).with_name("kubectl")
        return [
            str(program if program.exists() else shutil.which("kubectl")),
            "--kubeconfig",
            str(self.kubeconfig),
            *words,
        ]

    def ssh(self, command: str) -> str:
        """Return a shell command that runs another one on the host, over a warm master, without compression."""
        master = self.inventory.directory / "benchmark-master"
        options = [
            "-o",
            "ControlMaster=auto",
            "-o",
            "ControlPersist=60",
            "-o",
            f"ControlPath={master}",
            "-o",
            "Compression=no",
        ]
        return f"{shlex.join(self.host.ssh_argv(*options))} {shlex.quote(command)}"

    def ssh_context(self) -> SshContext:
        """Return the host as the stream engine sees it, without Ansible."""
        *argv, destination = self.host.ssh_argv()
        words = tuple(word.encode() for word in argv)
        directory = str(self.inventory.control_path_directory)
        return SshContext("host", lambda: SshCommand("ssh", words, destination, directory))

    def pod_context(self) -> KubernetesContext:
        """Return the pod as the stream engine sees it, without Ansible."""
        kubectl = Kubectl("pod", Access(tuple(self.kubectl())))
        return KubernetesContext("pod", kubectl, pod_named("pod", kubectl, "pod"))
