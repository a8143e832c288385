# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may get wrong: each is refused before a byte moves, and told in a way that can be acted upon.

All cases of a tier are tasks of one playbook. In each, every step that could run leaves a witness.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration.support import assert_no_traceback, folder_in, one_line, pipeline, play
from testbed.bed import Bed
from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory
from testbed.playbook import PlaybookResult
from testbed.pods import Kubes, PodHost
from testbed.run import Run
from testbed.ssh.host import SshHost
from testbed.ssh.keys import make_key
from testbed.tier import Tier

OLD = "the old content\n"


@dataclass(frozen=True)
class Case:
    """Steps that are refused, the step that is to blame, and what the message must say."""

    name: str
    steps: list[dict[str, Any]]
    blamed: str | None
    context: str | None
    says: list[str]
    understood: bool = True
    """Whether the steps as such are in order: the result then has the failed step's name."""


def source(**changes: Any) -> dict[str, Any]:
    return {"name": "source", "context": "alpha", "command": 'touch "$HOME/witness"; echo data', **changes}


def consumer(**changes: Any) -> dict[str, Any]:
    return {"name": "pack", "context": "local", "command": "tee {{ witness }}", **changes}


def sink(**changes: Any) -> dict[str, Any]:
    return {"name": "save", "context": "beta", "dest": "{{ folder }}/old", **changes}


def refused_places() -> list[Case]:
    """Contexts that cannot be used, each once as source and once as sink."""
    causes: list[tuple[str, list[str]]] = [
        ("unknown", ["no such host", "Contexts are the hosts of the inventory"]),
        ("betta", ["no such host", "Did you mean 'beta'?"]),
        ("no-pod", ["pod/nowhere does not exist", "There are: "]),
        ("pending-pod", ["pod/pending is not ready", "kubectl describe pod"]),
        ("no-container", ["no container 'missing'", "It has: main"]),
        ("no-kube-context", ["does not exist", "kubeconfig"]),
        ("no-kubeconfig", ["does not exist", "ansible_kubectl_kubeconfig"]),
        ("closed-api", ["refused"]),
        ("stranger", ["refused the login", "ansible_ssh_private_key_file"]),
        ("keyless", ["No such file", "ansible_ssh_private_key_file"]),
        ("closed-port", ["Connection refused", "ansible_port"]),
        ("no-address", ["Could not resolve hostname", "ansible_host"]),
        ("changed-key", ["host key is unknown or has changed", "known_hosts"]),
    ]
    cases = []
    for place, says in causes:
        as_source = [source(context=place), consumer(), sink()]
        as_sink = [source(), consumer(), sink(context=place)]
        cases.append(Case(f"{place}-as-source", as_source, "source", place, says))
        cases.append(Case(f"{place}-as-sink", as_sink, "save", place, says))
    return cases


def refused_steps() -> list[Case]:
    """Steps that cannot run where they are to run."""
    missing = ["'no-such-tool'", "not found"]
    return [
        Case("no-source", [source(command=None, argv=["no-such-tool", "x"]), sink()], "source", "alpha", missing),
        Case("no-consumer", [source(), consumer(command="no-such-tool -9"), sink()], "pack", "local", missing),
        Case(
            "no-command-in-pod",
            [source(), consumer(context="web", command="no-such-tool -9"), sink()],
            "pack",
            "web",
            missing,
        ),
        Case(
            "no-program-at-path",
            [source(), consumer(argv=["/no/such/tool"], command=None), sink()],
            "pack",
            "local",
            ["'/no/such/tool'", "not found"],
        ),
        Case(
            "no-chdir",
            [source(chdir="/no/such/folder"), sink()],
            "source",
            "alpha",
            ["cannot change to the directory /no/such/folder"],
        ),
        Case(
            "dest-is-a-directory",
            [source(), consumer(), sink(dest="{{ folder }}")],
            "save",
            "beta",
            ["is a directory", "name a file in it"],
        ),
        Case(
            "dest-in-no-directory",
            [source(), consumer(), sink(dest="{{ folder }}/missing/new")],
            "save",
            "beta",
            ["/missing does not exist", "create_parents"],
        ),
        Case(
            "dest-ends-with-a-slash",
            [source(), consumer(), sink(dest="{{ folder }}/")],
            "save",
            "beta",
            ["is a directory", "name a file in it"],
        ),
        Case(
            "dest-in-a-file",
            [source(), consumer(), sink(dest="{{ folder }}/old/new")],
            "save",
            "beta",
            ["/old does not exist", "create_parents"],
        ),
        Case(
            "become-program-missing",
            [source(), consumer(context="no-sudo", become=True), sink()],
            "pack",
            "no-sudo",
            ["no-such-sudo", "not found", "ansible_become_exe"],
        ),
    ]


def refused_texts() -> list[Case]:
    """Steps that cannot be understood."""
    exactly = "exactly one of 'command', 'argv',"
    return [
        Case("empty-list", [], None, None, ["steps is empty", "name at least one step"], False),
        Case(
            "command-and-argv",
            [source(argv=["true"]), sink()],
            "source",
            None,
            [exactly, "'command' and 'argv'"],
            False,
        ),
        Case("command-and-dest", [source(), consumer(dest="x")], "pack", None, [exactly], False),
        Case("nothing-to-do", [source(), {"name": "idle", "context": "beta"}, sink()], "idle", None, [exactly], False),
        Case(
            "sink-in-the-middle",
            [source(), sink(), consumer()],
            "save",
            None,
            ["in the middle", "make it the last step"],
            False,
        ),
        Case("sink-first", [sink(), consumer()], "save", None, ["needs a step before it"], False),
        Case("unknown-key", [source(comand="x"), sink()], "source", None, ["'comand'", "'command'"], False),
        Case("same-name", [source(), consumer(name="source"), sink()], "source", None, ["used twice"], False),
        Case("argv-is-text", [source(command=None, argv="echo x"), sink()], "source", None, ["list of words"], False),
        Case("argv-is-empty", [source(command=None, argv=[]), sink()], "source", None, ["'argv' is empty"], False),
        Case("empty-command", [source(command=" "), sink()], "source", None, ["'command' is empty"], False),
        Case("bad-variable", [source(environment={"A-B": "x"}), sink()], "source", None, ["'A-B'"], False),
        Case("bad-code", [source(ok_codes=[256]), sink()], "source", None, ["from 0 to 255"], False),
        Case("become-what", [source(become="perhaps"), sink()], "source", None, ["true or false"], False),
        Case("sink-with-chdir", [source(), sink(chdir="/")], "save", None, ["'chdir'", "'dest'"], False),
    ]


PLACES, STEPS, TEXTS = refused_places(), refused_steps(), refused_texts()
CASES = [*PLACES, *STEPS, *TEXTS]


@dataclass(frozen=True)
class Scene:
    """A playbook that ran every case, and what was there before."""

    result: PlaybookResult
    alpha: SshHost
    beta: SshHost
    witness: Path
    folder: Path


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken but that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def pending_pod(web: PodHost) -> None:
    """Create a pod that never starts, and wait until its cluster has given up on it."""
    kube = web.kube
    spec = {"containers": [{"name": "main", "image": "no.such/image", "command": ["/no/such/program"]}]}
    kube.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pending"}, "spec": spec})
    store = kube.front.objects.store
    while True:
        revision = store.revision
        if kube.get("Pod", "pending").get("status", {}).get("message"):
            return
        store.events_after(revision, 10)


def places(alpha: SshHost, beta: SshHost, web: PodHost, port: int, scratch: Path) -> dict[str, Any]:
    """Return the inventory: three sound hosts and one for each thing that can be wrong with one."""
    ssh, kube = beta.inventory_vars(), web.inventory_vars()
    closed = web.kube.kubeconfig()
    closed["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{port}"
    (scratch / "changed").write_text(alpha.known_hosts_path.read_text().replace(f":{alpha.port} ", f":{beta.port} "))
    changed = str(ssh["ansible_ssh_common_args"]).replace(str(beta.known_hosts_path), str(scratch / "changed"))
    return {
        "alpha": alpha.inventory_vars(),
        "beta": ssh,
        "web": kube,
        "no-sudo": {**kube, "ansible_become_exe": "no-such-sudo"},
        "no-pod": {**kube, "ansible_kubectl_pod": "nowhere"},
        "pending-pod": {**kube, "ansible_kubectl_pod": "pending"},
        "no-container": {**kube, "ansible_kubectl_container": "missing"},
        "no-kube-context": {**kube, "ansible_kubectl_context": "missing"},
        "no-kubeconfig": {**kube, "ansible_kubectl_kubeconfig": str(scratch / "nowhere")},
        "closed-api": {**kube, "ansible_kubectl_kubeconfig": closed},
        "stranger": {**ssh, "ansible_ssh_private_key_file": str(make_key(scratch / "stranger").private_path)},
        "keyless": {**ssh, "ansible_ssh_private_key_file": str(scratch / "nowhere")},
        "closed-port": {**ssh, "ansible_port": port},
        "no-address": {**ssh, "ansible_host": "no-such-host.invalid"},
        "changed-key": {**ssh, "ansible_ssh_common_args": changed},
    }


@pytest.fixture(scope="module", params=ON_BOTH_TIERS)
def scene(
    request: pytest.FixtureRequest, testbed_run: Run, kubes: Kubes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Run every case in one playbook."""
    scratch = tmp_path_factory.mktemp("bad")
    tier: Tier = request.param
    with Bed(testbed_run, tier, kubes) as bed, closed_port() as port:
        alpha, beta, web = bed.ssh_host("alpha"), bed.ssh_host("beta"), bed.pod("web")
        pending_pod(web)
        folder = beta.data / "folder"
        folder.mkdir()
        (folder / "old").write_text(OLD)
        folder_in(web, "data")
        contexts: Inventory = bed.inventory(
            text=str({"all": {"hosts": places(alpha, beta, web, port, scratch)}}),
        )
        tasks = [pipeline(case.name, *case.steps) for case in CASES]
        result = contexts.run_playbook(
            [play(*tasks)], extra_vars={"witness": str(scratch / "witness"), "folder": str(folder)}
        )
        web.kube.delete("Pod", "pending", grace_seconds=0)
        yield Scene(result, alpha, beta, scratch / "witness", folder)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_it_is_refused_with_a_message_that_helps(scene: Scene, case: Case) -> None:
    done = scene.result.task(case.name)
    result, message = done.result, one_line(done.result["msg"])
    assert done.status == "failed"
    assert [text for text in case.says if text.lower() not in message.lower()] == [], message
    if case.blamed is not None:
        assert f"step '{case.blamed}'" in message
    if case.context is not None:
        assert f"({case.context})" in message
    if case.understood:
        assert result["failed_step"] == case.blamed
    assert not result.get("changed")


def test_not_one_byte_moved_and_the_old_file_is_as_it_was(scene: Scene) -> None:
    assert not (scene.alpha.data / "witness").exists()
    assert not scene.witness.exists()
    assert {path.name: path.read_text() for path in scene.folder.iterdir()} == {"old": OLD}


def test_nobody_saw_a_traceback(scene: Scene) -> None:
    assert_no_traceback(scene.result)


@pytest.mark.embedded
def test_an_unhandled_refusal_ends_the_playbook_red(inventory: Any) -> None:
    tasks = [pipeline("refused", {"context": "nowhere", "command": "true"}, task={"ignore_errors": False})]
    result = inventory(text="all: {hosts: {}}").run_playbook([play(*tasks)])
    assert result.rc == 2
    assert "step 'step 1' (nowhere)" in one_line(result.stdout + result.stderr)
    assert_no_traceback(result)
