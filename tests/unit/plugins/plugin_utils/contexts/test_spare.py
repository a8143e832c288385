# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections that wait for the command that they will run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts import _spare
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import pod_named
from ansible_collections.manifold.core.plugins.plugin_utils.streams._errand import Errand, run_errands

_KUBECTL = """#!/bin/sh
echo started >>{log}
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


class _Pod:
    """A pod whose kubectl runs commands here, and notes each start."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "log"
        program = folder / "kubectl"
        program.write_text(_KUBECTL.format(log=self._log))
        program.chmod(0o755)
        kubectl = Kubectl("pod", Access((str(program),)))
        self.context = KubernetesContext("pod", kubectl, pod_named("pod", kubectl, "pod"))

    def say(self, text: str) -> str:
        (result,) = run_errands([Errand("say", self.context, f"printf %s '{text}'")], 20)
        assert result.done, result.stderr
        return result.stdout

    def starts(self) -> int:
        return self._log.read_text().count("started")


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[_Pod]:
    made = _Pod(tmp_path)
    yield made
    made.context.close()


def test_what_waits_runs_the_next_command(pod: _Pod) -> None:
    pod.context.prepare(1)
    assert pod.say("it is\nme \\n") == "it is\nme \\n"
    assert pod.starts() == 1
    assert pod.say("again") == "again"
    assert pod.starts() == 2


def _first(pod: _Pod) -> _spare.Spare:
    launch = pod.context.launch(":")
    assert launch.spare is not None
    return launch.spare


def test_what_has_ended_is_not_used(pod: _Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes.WAITING", "exit 1")
    pod.context.prepare(1)
    os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
    assert pod.say("hello") == "hello"
    assert pod.starts() == 2


def test_what_has_waited_for_long_is_not_used(pod: _Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spare, "_SECONDS", 0.0)
    pod.context.prepare(1)
    assert pod.context.launch(":").spare is None


@pytest.mark.parametrize("how", ["close", "suspect"])
def test_nothing_waits_for_a_pod_that_is_not_used_any_more(pod: _Pod, how: str) -> None:
    pod.context.prepare(2)
    waiting = [spare.process for spare in pod.context._spares._waiting]
    getattr(pod.context, how)()
    assert len(waiting) == 2
    assert all(process.returncode is not None for process in waiting)


def test_what_waits_ends_when_its_input_does(pod: _Pod) -> None:
    pod.context.prepare(1)
    spare = _first(pod)
    os.close(spare.stdin)
    assert spare.process.wait(20) != 0
    spare.stdin = os.open(os.devnull, os.O_RDONLY)
    spare.end()


def test_a_program_that_is_not_there_is_told_when_a_command_runs(tmp_path: Path) -> None:
    kubectl = Kubectl("pod", Access((str(tmp_path / "none"),)))
    context = KubernetesContext("pod", kubectl, pod_named("pod", kubectl, "pod"))
    context.prepare(2)
    assert context.launch(":").spare is None


def test_a_command_of_several_lines_gets_a_connection_of_its_own(pod: _Pod) -> None:
    pod.context.prepare(1)
    launch: Launch = pod.context.launch("a\nb")
    assert launch.spare is None
