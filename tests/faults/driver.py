# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stream engine in a process of its own: what a worker of Ansible does, without Ansible.

    python -m faults.driver         one pipeline: a JSON object on stdin, its result on stdout
    python -m faults.driver --many  one pipeline per line of stdin, several at a time; a line for each result

A pipeline is ``{"contexts": {name: {"kind": ...}}, "steps": [...], "options": {...}}``, the steps as a user writes
them; with ``--many`` an ``id`` is repeated with the result.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ansible_collections.manifold.core.plugins.plugin_utils._signals import raising
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._become import BecomePlugin
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import pod_named
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._ssh import SshCommand, SshContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options, run_pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._result import PipelineResult
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import Step, parse_steps

PARALLEL = 6
"""Pipelines at a time with ``--many``."""


class _WrappedLocal(LocalContext):
    """This machine, reached through a program that stands in for a transport that lies."""

    def __init__(self, name: str, prefix: list[str]) -> None:
        super().__init__(name)
        self._prefix = tuple(word.encode() for word in prefix)

    def launch(self, command: str) -> Launch:
        launch = super().launch(command)
        return replace(launch, argv=(*self._prefix, *launch.argv))


def _sudo(password: str) -> tuple[Any, BecomePlugin]:
    from ansible.plugins.loader import become_loader, get_shell_plugin

    plugin = become_loader.get("sudo")
    plugin.set_options(direct={"become_user": "root", "become_pass": password})
    return get_shell_plugin("sh", "/bin/sh"), plugin


def make_context(name: str, given: Mapping[str, Any]) -> Context:
    """Return the context that a request describes."""
    if given["kind"] == "local":
        return _WrappedLocal(name, given.get("prefix", []))
    if given["kind"] == "kubernetes":
        access = Access(tuple(given["argv"]), env={**os.environ, **given["env"]})
        kubectl = Kubectl(name, access)
        return KubernetesContext(name, kubectl, pod_named(name, kubectl, given["pod"], given["container"]))
    words = [*given.get("prefix", []), *given["argv"]]
    command = SshCommand(
        "ssh", tuple(word.encode() for word in words), given["destination"], given["control_directory"]
    )
    shell, become = _sudo(given["become_password"]) if "become_password" in given else (None, None)
    return SshContext(name, lambda: command, shell, become)


def run(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run a pipeline, or a transfer, and return what Ansible would register."""
    if "transfer" in request:
        return _run_transfer(request)

    def resolve(name: str | None, _become: bool | None, _user: str | None) -> Context:
        assert name is not None
        return make_context(name, request["contexts"][name])

    options = Options(**request.get("options", {}))
    return run_pipeline(parse_steps(request["steps"]), resolve, options).as_task_result()


def _run_transfer(request: Mapping[str, Any]) -> dict[str, Any]:
    from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _apply, _ends
    from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
    from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
    from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request

    gate: Mapping[str, str] = request.get("gate", {"step": ""})

    def gated(steps: Sequence[Step], *more: Any) -> PipelineResult:
        changed = [
            replace(step, command=gate["script"].replace("@SCRIPT@", step.command))
            if step.name == gate["step"] and step.command is not None
            else step
            for step in steps
        ]
        return run_pipeline(changed, *more)

    setattr(_ends, "run_pipeline", gated)  # noqa: B010 -- no attribute that the module means to export
    # making thousands of directories for each cell takes too long; a few hundred do where perl does not count
    setattr(_apply, "_FEW_BY_PERL", getattr(_apply, "_FEW"))  # noqa: B009, B010 -- as above
    src, dest = (Endpoint(*request["transfer"].pop(name)) for name in ("src", "dest"))
    made = Request(src, dest, **request["transfer"])
    return run_transfer(made, lambda end: make_context(end.context, request["contexts"][end.context])).as_task_result(
        False
    )


def _run_many() -> None:
    lock = threading.Lock()

    def answer(line: str) -> None:
        request = json.loads(line)
        try:
            result = run(request)
        except Exception as exc:
            result = {"crashed": repr(exc)}
        with lock:
            print(json.dumps({"id": request["id"], "result": result}), flush=True)

    with ThreadPoolExecutor(PARALLEL) as pool:
        for line in sys.stdin:
            pool.submit(answer, line)


def main() -> None:
    """Run what stdin asks for."""
    if "--many" in sys.argv[1:]:
        _run_many()
        return
    request = json.load(sys.stdin)
    with raising():
        result = run(request)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
