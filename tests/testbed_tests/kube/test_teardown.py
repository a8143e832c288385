# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing outlives a front: no thread, no process, no socket, also in the middle of a stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from testbed.kube import Action, Direction, Fault, Kube
from testbed.kube.kubectl import Kubectl
from testbed.processes import marked
from testbed.run import Run

pytestmark = pytest.mark.embedded

TESTS = Path(__file__).resolve().parents[2]


def descriptors() -> set[str]:
    """Return what this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:
            continue  # the one that lists the folder
    return found


def test_close_ends_threads_processes_and_streams(testbed_run: Run, kubectl_for: Callable[[Kube], Kubectl]) -> None:
    threads, open_before = set(threading.enumerate()), descriptors()
    kube = Kube(workdir=testbed_run.new_directory("kube"))
    pod, kubectl = kube.pod(), kubectl_for(kube)
    uid = kube.get("Pod", pod.name)["metadata"]["uid"]
    stalled = kube.faults.add(Fault(Direction.STDIN, Action.STALL, command=lambda argv: argv == ("cat",)))
    escape = "setsid sh -c 'trap : TERM; echo up; while :; do sleep 1; done'"
    with (
        kubectl.start("exec", "-i", pod.name, "--", "cat") as blocked,
        kubectl.start("exec", pod.name, "--", "sh", "-c", escape) as escaped,
        kubectl.start("get", "pod", "--watch") as watching,
    ):
        assert blocked.stdin is not None
        blocked.stdin.write(b"x")
        blocked.stdin.flush()
        assert stalled.fired.wait(60)
        assert escaped.stdout is not None
        assert escaped.stdout.readline() == b"up\n"
        assert watching.stdout is not None
        assert watching.stdout.readline()
        kube.close()
        for client in (blocked, escaped, watching):
            client.wait(60)
    assert set(threading.enumerate()) == threads
    assert marked("TESTBED_POD_UID", uid) == []
    assert descriptors() == open_before
    kube.close()  # twice is allowed


def test_deleting_a_pod_kills_what_has_left_its_session(
    process_front: Kube, kubectl_for: Callable[[Kube], Kubectl]
) -> None:
    pod, kubectl = process_front.pod(), kubectl_for(process_front)
    uid = process_front.get("Pod", pod.name)["metadata"]["uid"]
    kubectl("exec", pod.name, "--", "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 </dev/null &")
    assert len(marked("TESTBED_POD_UID", uid)) == 2
    kubectl("delete", "pod", pod.name)
    assert marked("TESTBED_POD_UID", uid) == []
    assert pod.root is not None
    assert not pod.root.exists()


@pytest.mark.parametrize("end", ["stdin", "SIGTERM", "SIGINT", "SIGKILL"])
def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path, end: str) -> None:
    objects = tmp_path / "objects.yaml"
    objects.write_text(
        yaml.safe_dump(
            {
                "kind": "Pod",
                "metadata": {"name": "app"},
                "spec": {"containers": [{"name": "main", "image": "testbed"}]},
            }
        )
    )
    with subprocess.Popen(
        [sys.executable, "-m", "testbed.kube", str(objects)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        kubeconfig = Path(command.stdout.readline().decode().strip())
        kubectl = Kubectl(kubeconfig, tmp_path / "cache")
        root = Path(kubectl("exec", "app", "--", "pwd").strip())
        uid = kubectl("get", "pod", "app", "-o", "jsonpath={.metadata.uid}")
        assert root.is_dir()
        if end == "stdin":
            command.stdin.close()
        else:
            command.send_signal(signal.Signals[end])
        assert command.wait(60) == (-9 if end == "SIGKILL" else 0)
        # After SIGKILL it is the reaper that cleans up; it takes a moment of its own.
        waiting = threading.Event()
        while end == "SIGKILL" and kubeconfig.parent.parent.exists():
            waiting.wait(0.05)
    assert marked("TESTBED_POD_UID", uid) == []
    assert not kubeconfig.exists()
