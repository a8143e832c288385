# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError, ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import KubectlRefused, PodFinder
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._workload import PodKind, Target

from unit.become import FakeBecome

ARGV = (b"kubectl", b"--context", b"prod", b"exec", b"-i", b"shop", b"--")


def _context(become: FakeBecome | None = None) -> KubernetesContext:
    kubectl = Kubectl("shop", Access(("kubectl", "--context", "prod"), env={"KUBECONFIG": "/x"}))
    return KubernetesContext("shop", kubectl, _pods("shop"), become=become)


def _pods(pod: str, container: str | None = None) -> PodFinder:
    """Return the finder of a pod of which the API tells nothing."""

    def read(_arguments: Sequence[str], _seconds: float) -> dict[str, Any]:
        raise KubectlRefused("not now")

    return PodFinder("shop", read, Target(PodKind.POD, pod), container)


def test_a_command_is_the_last_argument_of_kubectl_exec() -> None:
    context = _context()
    launch = context.launch("echo " + os.fsdecode(b"\xff"))
    assert launch.argv == (*ARGV, b"sh", b"-c", b"echo \xff")
    assert launch.env == {"KUBECONFIG": "/x", "GOMAXPROCS": "1"}
    assert launch.dialog is None
    assert context.kind is ContextKind.KUBERNETES
    assert context.counts_input


def test_a_program_runs_without_a_shell_where_there_is_none() -> None:
    assert _context().launch_argv(["/pause", "it's"]).argv == (*ARGV, b"/pause", b"it's")


def test_a_container_is_named_where_one_is_wanted() -> None:
    context = KubernetesContext("shop", Kubectl("shop", Access(("kubectl",))), _pods("shop-0", "app"))
    assert context.launch_argv(["id"]).argv == (b"kubectl", b"exec", b"-i", b"shop-0", b"-c", b"app", b"--", b"id")


def test_a_pod_that_nobody_named_is_told_apart() -> None:
    kubectl = Kubectl("shop", Access(("kubectl",)))
    assert KubernetesContext("shop", kubectl, _pods("shop")).unnamed_pod is None
    assert KubernetesContext("shop", kubectl, _pods("shop"), names_pod=False).unnamed_pod == "shop"


def test_kubectl_runs_against_the_cluster_of_a_context_without_its_pod() -> None:
    launch = _context().launch_kubectl(["get", "nodes"])
    assert launch.argv == (b"kubectl", b"--context", b"prod", b"get", b"nodes")
    assert launch.env == {"KUBECONFIG": "/x", "GOMAXPROCS": "1"}


def test_a_command_may_run_as_another_user() -> None:
    context = _context(FakeBecome("secret"))
    launch = context.launch("cat")
    assert launch.dialog is not None
    assert b"secret" not in b" ".join(launch.argv).replace(b"!= secret", b"")


def test_a_line_for_kubectl_runs_here_with_its_credentials() -> None:
    here = _context().for_kubectl()
    assert here.program == ("kubectl", "--context", "prod")
    launch = here.launch("true")
    assert (launch.argv, launch.env) == ((b"/bin/sh", b"-c", b"true"), {"KUBECONFIG": "/x"})
    assert not here.counts_input and not here.outlives_connection


@pytest.mark.parametrize(
    ("pod", "container", "words"),
    [
        ("web-0", None, (b"web-0", b"--", b"id")),
        (None, "side", (b"shop", b"-c", b"side", b"--", b"id")),
        ("pod/web-0", "side", (b"web-0", b"-c", b"side", b"--", b"id")),
    ],
)
def test_a_step_may_name_another_pod_or_container(
    pod: str | None, container: str | None, words: tuple[bytes, ...]
) -> None:
    other = _context(FakeBecome("secret")).in_pod(pod, container)
    assert other.name == "shop"
    assert other.launch_argv(["id"]).argv[5:] == words
    assert other.launch("id").dialog is not None, "it becomes another user as the context does"


def test_a_pod_that_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ContextError, match="context 'shop': choosing its pod: 'job/x' names no pod"):
        _context().in_pod("job/x", None)


@pytest.mark.parametrize(
    ("output", "cause", "remedy"),
    [
        (
            'Error from server (NotFound): pods "shop" not found',
            'Error from server (NotFound): pods "shop" not found',
            "Check the pod's name, namespace and cluster",
        ),
        (
            "Error from server (BadRequest): container x is not valid for pod shop",
            "Error from server (BadRequest): container x is not valid for pod shop",
            "Check ansible_kubectl_container",
        ),
        (
            'error: unable to upgrade connection: container not found ("main")',
            'error: unable to upgrade connection: container not found ("main")',
            "Check ansible_kubectl_container",
        ),
        (
            "error: cannot exec into a container in a completed pod; current phase is Succeeded",
            "the pod is not ready (error: cannot exec into a container in a completed pod; current phase is Succeeded)",
            "See 'kubectl describe pod'",
        ),
        (
            "Error from server (BadRequest): pod shop does not have a host assigned",
            "the pod is not ready (Error from server (BadRequest): pod shop does not have a host assigned)",
            "See 'kubectl describe pod'",
        ),
        (
            'Error from server (Forbidden): pods "shop" is forbidden',
            'Error from server (Forbidden): pods "shop" is forbidden',
            "The user of this kubeconfig needs 'create' on 'pods/exec'",
        ),
        (
            "error: You must be logged in to the server (Unauthorized)",
            "error: You must be logged in to the server (Unauthorized)",
            "Check the credentials",
        ),
        (
            'error: context "prod" does not exist',
            'error: context "prod" does not exist',
            "Check ansible_kubectl_kubeconfig",
        ),
        (
            'OCI runtime exec failed: exec: "sh": executable file not found in $PATH',
            'OCI runtime exec failed: exec: "sh": executable file not found in $PATH',
            "The container has no 'sh'",
        ),
        (
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
            "Check that the API server",
        ),
        (
            "Unable to connect to the server: dial tcp: lookup nowhere: no such host",
            "Unable to connect to the server: dial tcp: lookup nowhere: no such host",
            "Check that the API server",
        ),
    ],
)
def test_a_failure_is_explained_with_what_to_do(output: str, cause: str, remedy: str) -> None:
    diagnosis = _context().diagnose(f"a remark\n{output}\n", 1)
    assert diagnosis.cause == cause
    assert diagnosis.remedy is not None and diagnosis.remedy.startswith(remedy)


def test_a_failure_nobody_knows_is_told_as_it_was_printed() -> None:
    diagnosis = _context().diagnose("something new\n", 1)
    assert (diagnosis.cause, diagnosis.remedy) == ("something new", None)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("tar: no\ncommand terminated with exit code 2\n", "tar: no\n"),
        ("command terminated with exit code 2\n", ""),
        ("command terminated with exit code 2\nmore\n", "command terminated with exit code 2\nmore\n"),
        ("", ""),
    ],
)
def test_the_remark_of_kubectl_is_not_taken_for_the_commands(printed: str, said: str) -> None:
    assert _context().command_stderr(printed) == said


def test_what_the_api_says_of_a_pod_comes_before_what_kubectl_said() -> None:
    def read(arguments: Sequence[str], _seconds: float) -> dict[str, Any]:
        if "--" in arguments:
            raise KubectlRefused('Error from server (NotFound): pods "shop" not found')
        return {"items": [{"metadata": {"name": "shop-5d9c-x7"}}]}

    finder = PodFinder("shop", read, Target(PodKind.POD, "shop"))
    context = KubernetesContext("shop", Kubectl("shop", Access(("kubectl",))), finder)
    diagnosis = context.diagnose('Error from server (NotFound): pods "shop" not found', 1)
    assert (diagnosis.cause, diagnosis.remedy) == ("pod/shop does not exist", "Did you mean 'shop-5d9c-x7'?")
