# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubectl exec: streams, exit codes, what survives a client and what does not."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.kube import Kube
from testbed.kube.kubectl import Kubectl

TIMEOUT = 60
MEBIBYTE = 1024 * 1024

KubectlFor = Callable[[Kube], Kubectl]


@pytest.fixture(scope="module")
def hundred_megabytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 100 MiB that no compression and no repetition can hide a fault in."""
    path = tmp_path_factory.mktemp("data") / "data"
    path.write_bytes(random.Random(2).randbytes(100 * MEBIBYTE))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_stdout_stderr_and_exit_code_are_kept_apart(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    done = kubectl.run("exec", pod.name, "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    assert done.stdout == b"out\n"
    assert done.stderr == b"err\ncommand terminated with exit code 42\n"
    assert done.returncode == 42


def test_death_by_signal_is_reported_as_a_shell_does(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    assert kubectl.run("exec", pod.name, "--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_stdin_reaches_the_process_and_ends(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    assert kubectl("exec", "-i", pod.name, "--", "wc", "-c", input=b"\0\1\xff" * 1000).split() == ["3000"]
    assert kubectl("exec", "-i", pod.name, "--", "cat", input="") == ""


def test_without_stdin_the_process_reads_nothing(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    assert kubectl("exec", pod.name, "--", "cat") == ""


def test_hundred_megabytes_in_and_out_are_unharmed(
    kube_front: Kube, kubectl_for: KubectlFor, hundred_megabytes: Path, tmp_path: Path
) -> None:
    # The shell outlives what reads its stdin: where the command itself reads a large stdin to its end, containerd's
    # own SPDY stream silently loses most of it and reports success (containerd/containerd#13934).
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    expected = sha256(hundred_megabytes)
    with hundred_megabytes.open("rb") as source:
        subprocess.run(
            [kubectl.program, "exec", "-i", pod.name, "--", "sh", "-c", 'cat > "${POD_ROOT:-}/tmp-data"; exit $?'],
            env=kubectl.environment,
            stdin=source,
            check=True,
            timeout=TIMEOUT,
        )
    received = tmp_path / "received"
    with received.open("wb") as sink:
        subprocess.run(
            [kubectl.program, "exec", pod.name, "--", "sh", "-c", 'cat "${POD_ROOT:-}/tmp-data"'],
            env=kubectl.environment,
            stdout=sink,
            check=True,
            timeout=TIMEOUT,
        )
    checked = kubectl("exec", pod.name, "--", "sh", "-c", 'sha256sum "${POD_ROOT:-}/tmp-data"')
    assert checked.split()[0] == expected
    assert sha256(received) == expected


def test_both_directions_at_once(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    data = random.Random(3).randbytes(8 * MEBIBYTE)
    done = kubectl.run("exec", "-i", pod.name, "--", "sh", "-c", "cat; exit $?", input=data)
    assert (done.returncode, hashlib.sha256(done.stdout).digest()) == (0, hashlib.sha256(data).digest())


def test_copy_in_and_out(kube_front: Kube, kubectl_for: KubectlFor, tmp_path: Path) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "file").write_bytes(random.Random(4).randbytes(3 * MEBIBYTE))
    (tree / "empty").touch()
    kubectl("cp", str(tree), f"{pod.name}:copied")
    kubectl("cp", f"{pod.name}:copied", str(tmp_path / "back"))
    assert (tmp_path / "back" / "below" / "file").read_bytes() == (tree / "below" / "file").read_bytes()
    assert (tmp_path / "back" / "empty").exists()


def test_a_command_that_does_not_exist_is_an_error_not_a_hang(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    done = kubectl.run("exec", pod.name, "--", "no-such-command")
    assert done.returncode != 0
    assert b"no-such-command" in done.stderr


def test_the_container_is_chosen_and_checked(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    containers: list[dict[str, Any]] = [{"name": "one", "env": [{"name": "WHO", "value": "1"}]}, {"name": "two"}]
    pod, kubectl = kube_front.pod(containers=containers), kubectl_for(kube_front)
    assert kubectl("exec", pod.name, "-c", "one", "--", "sh", "-c", "echo $WHO") == "1\n"
    assert kubectl("exec", pod.name, "-c", "two", "--", "sh", "-c", "echo $WHO") == "\n"
    assert kubectl.run("exec", pod.name, "-c", "three", "--", "true").returncode == 1


def test_a_process_that_ends_without_reading_its_stdin_ends_the_exec(
    websocket_front: Kube, kubectl_for: KubectlFor
) -> None:
    # Over containerd's own SPDY this hangs in kubectl, for every version known.
    pod, kubectl = websocket_front.pod(), kubectl_for(websocket_front)
    done = kubectl.run("exec", "-i", pod.name, "--", "sh", "-c", "exit 7", input=bytes(16 * MEBIBYTE))
    assert done.returncode == 7


def test_a_killed_client_leaves_the_process_running(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    script = "mkfifo gate; echo started; cat; read word < gate; echo $word > result; mkfifo done; echo > done"
    command = ("exec", "-i", pod.name, "--", "sh", "-c", f'cd "${{POD_ROOT:-/}}"; {script}')
    with kubectl.start(*command) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"started\n"
        client.kill()
    # `cat` ends only because the death of the client has ended the process's stdin.
    rest = 'cd "${POD_ROOT:-/}"; echo alive > gate; until [ -p done ]; do :; done; read _ < done; cat result'
    assert kubectl("exec", pod.name, "--", "sh", "-c", rest) == "alive\n"


def test_exec_into_a_pod_that_has_ended_is_refused(kube_front: Kube, kubectl_for: KubectlFor) -> None:
    kubectl = kubectl_for(kube_front)
    kube_front.create(
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "ended"},
            "spec": {"containers": [{"name": "main", "image": "testbed", "command": ["sh", "-c", "exit 3"]}]},
        }
    )
    try:
        kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/ended", f"--timeout={TIMEOUT}s")
        done = kubectl.run("exec", "ended", "--", "true")
        assert done.returncode == 1
        assert b"cannot exec into a container in a completed pod" in done.stderr
    finally:
        kubectl("delete", "pod", "ended")
