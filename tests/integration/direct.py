# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers without Ansible between contexts of every kind, all of which see one folder of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import pod_named
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._ssh import SshCommand, SshContext
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

from testbed.bed import Bed
from testbed.kube import Kube
from testbed.kube.kubectl import find_kubectl
from testbed.pods import Kubes, delete_pod
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.ssh.masters import close_masters
from testbed.tier import Tier


@dataclass(frozen=True)
class Reach:
    """Contexts by name, and a folder that all of them see under one path."""

    folder: Path
    contexts: dict[str, Callable[[], Context]]

    def transfer(self, src: str, source: Path, dest: str, target: Path, **options: Any) -> Result:
        """Copy a tree's content from one context to another."""
        request = Request(Endpoint(src, f"{source}/"), Endpoint(dest, str(target)), **options)
        return run_transfer(request, lambda end: self.contexts[end.context]())


class _BusyboxHere(LocalContext):
    """This machine with the tools of busybox only."""

    def __init__(self, name: str, tools: Path) -> None:
        super().__init__(name)
        self._tools = tools

    def launch(self, command: str) -> Launch:
        launch = super().launch(command)
        return replace(launch, argv=(b"env", f"PATH={self._tools}".encode(), *launch.argv))


def busybox_tools(folder: Path) -> Path:
    """Make a folder with every tool that busybox has, and no other."""
    program = shutil.which("busybox")
    assert program is not None
    folder.mkdir()
    subprocess.run([program, "--install", "-s", str(folder)], check=True)
    return folder


def _ssh(name: str, host: SshHost, control: Path) -> Callable[[], Context]:
    *argv, destination = host.ssh_argv()
    words = tuple(word.encode() for word in argv)
    return lambda: SshContext(name, lambda: SshCommand("ssh", words, destination, str(control)))


def _pod(name: str, kubeconfig: Path) -> Callable[[], Context]:
    argv = (find_kubectl(), "--kubeconfig", str(kubeconfig), "--namespace", "default")

    def make() -> Context:
        kubectl = Kubectl(name, Access(argv))
        return KubernetesContext(name, kubectl, pod_named(name, kubectl, name))

    return make


def _start_pod(kube: Kube, name: str, image: str, folder: Path) -> None:
    mount = {"name": "shared", "mountPath": str(folder)}
    container = {"name": "main", "image": image, "command": ["sleep", "1000000"], "volumeMounts": [mount]}
    kube.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "volumes": [{"name": "shared", "hostPath": {"path": str(folder)}}],
                "containers": [container],
            },
        }
    )
    kube.wait_ready(name)


@contextmanager
def reach(run: Run, kubes: Kubes) -> Iterator[Reach]:
    """Start contexts of each kind, with GNU's tools and with busybox's; it needs the node tier."""
    folder = run.new_directory("shared")
    folder.chmod(0o755)
    tools = busybox_tools(run.new_directory("busybox") / "bin")
    control = run.new_directory("cp")
    kube, kubeconfig = kubes.of(Tier.NODE)
    with Bed(run, Tier.NODE, kubes) as bed:
        busybox_host = bed.ssh_host("busyhost", config=[f"SetEnv PATH={tools}"])
        contexts = {
            "local": lambda: LocalContext("local"),
            "local-busybox": lambda: _BusyboxHere("local-busybox", tools),
            "ssh": _ssh("ssh", bed.ssh_host("gnuhost"), control),
            "ssh-busybox": _ssh("ssh-busybox", busybox_host, control),
            "pod-busybox": _pod("pod-busybox", kubeconfig),
            "pod-gnu": _pod("pod-gnu", kubeconfig),
        }
        try:
            for name, image in (("pod-busybox", "busybox"), ("pod-gnu", "debian")):
                _start_pod(kube, name, image, folder)
            yield Reach(folder, contexts)
        finally:
            close_masters(control)
            for name in ("pod-busybox", "pod-gnu"):
                delete_pod(kube, "default", name)
