# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes pod as a context: commands run as with ``kubectl exec``, or through it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ._base import Context, ContextError, ContextKind, Diagnosis, Launch
from ._become import BecomePlugin, wrap
from ._direct import DirectExec
from ._kubectl import OUR_USER, Access, Kubectl
from ._pods import PodFinder

_DIAGNOSES: tuple[tuple[str, str, str], ...] = (
    (
        r'pods "?[^"]*"? not found|\(NotFound\)',
        "{line}",
        "Check the pod's name, namespace and cluster (ansible_kubectl_pod, _namespace, _context).",
    ),
    (
        r"container .* is not valid for pod|container not found|unable to find container",
        "{line}",
        "Check ansible_kubectl_container; 'kubectl get pod' shows the containers.",
    ),
    (
        r"is not running|ContainerCreating|unable to upgrade connection|does not have a host assigned|current phase is",
        "the pod is not ready ({line})",
        "See 'kubectl describe pod' for what it waits for.",
    ),
    (
        r"\(Forbidden\)|forbidden",
        "{line}",
        "The user of this kubeconfig needs 'create' on 'pods/exec' in that namespace.",
    ),
    (
        r"\(Unauthorized\)|must be logged in|[Uu]nauthorized",
        "{line}",
        "Check the credentials in the kubeconfig of this context.",
    ),
    (
        rf'auth info "{OUR_USER}" does not exist',
        "kubectl cannot read the token or password that it was given by a descriptor",
        "Check whether 'kubectl' on this machine is a script that closes descriptors, as one with sudo does.",
    ),
    (
        r"context .* does not exist|no such file or directory|invalid configuration",
        "{line}",
        "Check ansible_kubectl_kubeconfig and ansible_kubectl_context.",
    ),
    (
        r"executable file not found|OCI runtime exec failed|no such file",
        "{line}",
        "The container has no 'sh'; name another container, or run steps with 'argv' and 'proof: transport'.",
    ),
    (
        r"was refused|dial tcp|i/o timeout|no such host|Unable to connect to the server",
        "{line}",
        "Check that the API server in the kubeconfig can be reached from here.",
    ),
)

_ABOUT_THE_POD = (
    r'pods "?[^"]*"? not found|is not valid for pod|container not found|unable to find container|is not running'
    r"|ContainerCreating|does not have a host assigned|current phase is"
)
"""What kubectl says where asking for the pod itself may tell more."""

_EXIT_REMARK = re.compile(r"command terminated with exit code \d+\n\Z")
"""What kubectl adds to stderr when a command fails."""


class KubernetesContext(Context):
    """Runs commands in a container of a pod."""

    kind = ContextKind.KUBERNETES

    def __init__(
        self,
        name: str,
        kubectl: Kubectl,
        pods: PodFinder,
        shell: Any = None,
        become: BecomePlugin | None = None,
        names_pod: bool = True,
        direct: DirectExec | None = None,
    ) -> None:
        super().__init__(name)
        self._kubectl = kubectl
        self._direct = DirectExec(name, kubectl.access) if direct is None else direct
        self._pods = pods
        self._names_pod = names_pod
        self._shell = shell
        self._become = become

    @property
    def outlives_connection(self) -> bool:
        """A container's process is not ended with ``kubectl exec``; one that nobody reads blocks for ever."""
        return True

    @property
    def unnamed_pod(self) -> str | None:
        return None if self._names_pod else self._pods.target.name

    def open(self, seconds: float = 60.0) -> None:
        """Find the pod that is meant, and how its API server is reached, unless both are known already."""
        self._pods.find(seconds)
        self._direct.log_in()

    def prepare(self) -> None:
        with contextlib.suppress(ContextError):
            self._direct.prepare(self._kubectl.launch(()))

    def launch(self, command: str) -> Launch:
        dialog = None
        if self._become is not None:
            command, dialog = wrap(self._become, self._shell, command)
        return replace(self._exec(["sh", "-c", command]), dialog=dialog)

    def launch_argv(self, argv: Sequence[str]) -> Launch:
        # where no shell waits for its script, what takes over from the direct way might run the program a second time
        return self._by_kubectl(*self._pods.find(), argv)

    def launch_kubectl(self, arguments: Sequence[str]) -> Launch:
        """Return the process that runs kubectl here, against this context's cluster and namespace.

        ``arguments`` begin with kubectl's command. No pod is needed. Raises ContextError if the kubeconfig is missing.
        """
        return self._kubectl.launch(arguments)

    @property
    def access(self) -> Access:
        """How kubectl reaches the cluster of this context; documents in it may hold secrets."""
        return self._kubectl.access

    def in_pod(self, pod: str | None, container: str | None) -> KubernetesContext:
        pods = self._pods.of(pod, container)
        return KubernetesContext(self.name, self._kubectl, pods, self._shell, self._become, direct=self._direct)

    def for_kubectl(self) -> KubectlContext:
        return KubectlContext(self.name, self._kubectl)

    def _exec(self, argv: Sequence[str]) -> Launch:
        pod, container = self._pods.find()
        return self._direct.launch(pod, container, argv, self._by_kubectl(pod, container, argv))

    def _by_kubectl(self, pod: str, container: str | None, argv: Sequence[str]) -> Launch:
        return self._kubectl.launch(("exec", "-i", pod, *(("-c", container) if container else ()), "--", *argv))

    def suspect(self) -> None:
        self._pods.forget()

    def diagnose(self, output: str, status: int | None) -> Diagnosis:
        self.suspect()
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        if re.search(_ABOUT_THE_POD, output) and (reason := self._pods.why_not()):
            return Diagnosis(reason.cause, reason.remedy)
        for pattern, cause, remedy in _DIAGNOSES:
            for line in reversed(lines):
                if re.search(pattern, line):
                    return Diagnosis(cause.format(line=line), remedy)
        return super().diagnose(output, status)

    def command_stderr(self, text: str) -> str:
        return _EXIT_REMARK.sub("", text)

    def close(self) -> None:
        self._direct.close()
        self._kubectl.close()


class KubectlContext(Context):
    """This machine, where kubectl runs against the cluster and the namespace of a context."""

    kind = ContextKind.KUBERNETES

    def __init__(self, name: str, kubectl: Kubectl) -> None:
        super().__init__(name)
        self._kubectl = kubectl
        kubectl.command()  # a missing kubeconfig is found here, not when the step is being made

    @property
    def counts_input(self) -> bool:
        return False

    @property
    def program(self) -> tuple[str, ...]:
        """kubectl, and what names cluster, namespace and user."""
        argv, _env, _fds = self._kubectl.command()
        return argv

    def launch(self, command: str) -> Launch:
        _argv, env, fds = self._kubectl.command()
        line = command.encode(errors="surrogateescape")
        return Launch(argv=(b"/bin/sh", b"-c", line), env=env, pass_fds=tuple(fds))

    def close(self) -> None:
        self._kubectl.close()
