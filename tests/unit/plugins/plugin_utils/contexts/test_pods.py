# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import KubectlRefused, PodFinder, read_by
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._workload import PodKind, Target

WEB = Target(PodKind.DEPLOYMENT, "web")
NOT_FOUND = 'Error from server (NotFound): deployments.apps "web" not found'


class FakeApi:
    """Answers what kubectl get would print, and remembers what was asked."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    def __call__(self, arguments: Sequence[str], seconds: float) -> Mapping[str, Any]:
        assert seconds > 0, "nothing is waited for without end"
        self.asked.append(" ".join(arguments))
        answer = self.answers[self.asked[-1]]
        if isinstance(answer, str):
            raise KubectlRefused(answer)
        result: Mapping[str, Any] = answer
        return result


def pod(name: str, **status: Any) -> dict[str, Any]:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    owner = {"uid": "rs", "controller": True}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "main"}, {"name": "side"}]},
        "status": status or ready,
    }


def web(*pods: dict[str, Any]) -> dict[str, Any]:
    replica_set = {
        "kind": "ReplicaSet",
        "metadata": {"name": "web-1", "uid": "rs", "ownerReferences": [{"uid": "d", "controller": True}]},
    }
    deployment = {"metadata": {"uid": "d"}, "spec": {"selector": {"matchLabels": {"app": "web"}}}}
    return {
        "deployment -- web": deployment,
        "replicasets,pods --selector app=web": {"items": [replica_set, *pods]},
    }


def test_a_pod_that_is_named_outright_is_not_asked_for() -> None:
    api = FakeApi({})
    assert PodFinder("shop", api, Target(PodKind.POD, "web-0"), "side").find() == ("web-0", "side")
    assert api.asked == []


def test_a_workload_is_asked_for_once_until_it_is_suspected() -> None:
    api = FakeApi(web(pod("web-a")))
    finder = PodFinder("shop", api, WEB)
    assert finder.find() == finder.find() == ("web-a", "main")
    assert api.asked == ["deployment -- web", "replicasets,pods --selector app=web"]
    api.answers = web(pod("web-b"))
    assert finder.find() == ("web-a", "main")
    finder.forget()
    assert finder.find() == ("web-b", "main")


def test_a_selector_needs_one_question() -> None:
    api = FakeApi({"pods --selector app=web": {"items": [pod("web-a")]}})
    assert PodFinder("shop", api, Target(PodKind.SELECTOR, "app=web"), "side").find() == ("web-a", "side")


@pytest.mark.parametrize(
    ("answers", "container", "text"),
    [
        (web(pod("web-a", phase="Pending")), None, "no pod of deployment/web is ready: web-a: Pending (not Ready)"),
        (web(), None, "deployment/web has no pods"),
        (web(pod("web-a")), "sid", "pod web-a has no container 'sid'. It has: main, side."),
        (
            {"deployment -- web": NOT_FOUND, "deployment": {"items": [{"metadata": {"name": "webs"}}]}},
            None,
            "deployment/web does not exist. Did you mean 'webs'?",
        ),
        (
            {"deployment -- web": NOT_FOUND, "deployment": "Error from server (Forbidden): no"},
            None,
            "deployment/web does not exist. Check its name",
        ),
        (
            {"deployment -- web": "Error from server (Forbidden): no"},
            None,
            "Error from server (Forbidden): no. The user of this kubeconfig needs 'get'",
        ),
        ({"deployment -- web": "it is down"}, None, "it is down"),
    ],
)
def test_a_failure_names_the_context_and_what_was_looked_for(
    answers: dict[str, Any], container: str | None, text: str
) -> None:
    with pytest.raises(ContextError) as failed:
        PodFinder("shop", FakeApi(answers), WEB, container).find()
    assert str(failed.value).startswith(f"context 'shop': finding a pod of deployment/web: {text}")


@pytest.mark.parametrize(
    ("answer", "container", "cause"),
    [
        (pod("web-0"), None, None),
        (pod("web-0"), "gone", "pod web-0 has no container 'gone'"),
        (pod("web-0", phase="Pending"), None, "pod/web-0 is not ready: Pending (not Ready)"),
        ('Error from server (NotFound): pods "web-0" not found', None, "pod/web-0 does not exist"),
        ("it is down", None, None),
        ({}, None, None),
    ],
)
def test_a_pod_that_is_named_outright_is_explained_afterwards(answer: Any, container: str | None, cause: str) -> None:
    api = FakeApi({"pod -- web-0": answer, "pod": {"items": []}})
    reason = PodFinder("shop", api, Target(PodKind.POD, "web-0"), container).why_not()
    assert (reason.cause if reason else None) == cause


# -- kubectl itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "seconds", "text"),
    [
        ("echo one >&2; echo two >&2; exit 1", 20.0, "two"),
        ("exit 3", 20.0, "kubectl ended with status 3"),
        ("echo no json", 20.0, "kubectl printed no JSON"),
        ("exec sleep 100", 0.05, "the API did not answer within 0.05 seconds"),
        (None, 20.0, "No such file or directory"),
    ],
)
def test_what_kubectl_does_not_give_is_said(script: str | None, seconds: float, text: str, tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    with pytest.raises(KubectlRefused, match=text):
        read_by(Kubectl("shop", Access((str(program),))))(["pods"], seconds)


def test_kubectl_is_asked_for_json(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text('#!/bin/sh\nprintf \'{"said": "%s"}\' "$*"\n')
    program.chmod(0o755)
    read = read_by(Kubectl("shop", Access((str(program), "--context", "prod"))))
    assert read(["pods", "--", "x"], 20.0) == {"said": "--context prod get -o json pods -- x"}
