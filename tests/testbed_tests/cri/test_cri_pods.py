# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods: their life, their commands, their logs and their ports."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial

import pytest

from testbed.kube.backend import BackendError, ExecRequest, Phase, PodState
from testbed.kube.cri import CriBackend

pytestmark = pytest.mark.node

StartPod = Callable[..., str]


def run(backend: CriBackend, uid: str, *argv: str, data: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a command in a pod to its end; return exit code, stdout, stderr."""
    with backend.exec(uid, ExecRequest("main", argv, stdin=True, stdout=True, stderr=True)) as process:
        out, err = process.communicate(data, timeout=60)
        return process.returncode, out, err


def await_state(backend: CriBackend, uid: str, phase: Phase) -> PodState:
    """Poll a pod's state until it is in ``phase``, as the front does."""
    deadline = time.monotonic() + 30
    while (state := backend.state(uid)).phase is not phase:
        assert time.monotonic() < deadline, state
        time.sleep(0.02)
    return state


def test_a_pod_runs_with_an_address_of_its_own(backend: CriBackend, start_pod: StartPod) -> None:
    first, second = backend.state(start_pod()), backend.state(start_pod())
    assert first.phase is Phase.RUNNING
    assert first.ip and second.ip and first.ip != second.ip
    assert [container.name for container in first.containers] == ["main"]


def test_exec_passes_stdin_stdout_stderr_and_the_exit_code(backend: CriBackend, start_pod: StartPod) -> None:
    script = "read line; echo got $line; echo problem >&2; exit 42"
    assert run(backend, start_pod(), "sh", "-c", script, data=b"abc\n") == (42, b"got abc\n", b"problem\n")


def test_exec_reports_death_by_signal_as_a_shell_does(backend: CriBackend, start_pod: StartPod) -> None:
    assert run(backend, start_pod(), "sh", "-c", "kill -KILL $$")[0] == 137


def test_exec_ends_although_the_command_reads_none_of_its_input(backend: CriBackend, start_pod: StartPod) -> None:
    assert run(backend, start_pod(), "false", data=bytes(10_000_000))[0] == 1


def test_a_command_that_does_not_exist_is_refused_by_name(backend: CriBackend, start_pod: StartPod) -> None:
    with pytest.raises(BackendError, match="no-such-command"):
        run(backend, start_pod(), "no-such-command")


def test_exec_in_an_unknown_container_or_pod_is_refused(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod()
    request = ExecRequest("other", ("true",), stdin=False, stdout=True, stderr=True)
    with pytest.raises(BackendError, match="other"):
        backend.exec(uid, request)
    with pytest.raises(BackendError, match="nobody"):
        backend.exec("nobody", request)


def test_a_terminal_joins_the_outputs(backend: CriBackend, start_pod: StartPod) -> None:
    script = "test -t 0 && test -t 1 && stty -echo && echo out && echo err >&2"
    request = ExecRequest("main", ("sh", "-c", script), stdin=True, stdout=True, stderr=False, tty=True)
    with backend.exec(start_pod(), request) as process:
        assert process.stdout is not None
        output = b"".join(iter(partial(process.stdout.read, 4096), b""))
        assert process.wait(30) == 0
    # Line ends come as \r\n, or as \r\r\n before runc has switched off the inner terminal's own conversion.
    assert output.replace(b"\r", b"") == b"out\nerr\n"
    assert output.endswith(b"\r\n")


def test_logs_hold_both_outputs_and_long_lines_in_one_piece(backend: CriBackend, start_pod: StartPod) -> None:
    # stderr first: the runtime reads the two apart, and may put what comes on one between the pieces of the other
    wait = "while ! [ -e /tmp/go ]; do sleep 0.02; done"
    script = f"echo first >&2; {wait}; echo second; head -c 40000 /dev/zero | tr '\\0' x; echo; printf unfinished"
    uid = start_pod({"restartPolicy": "Never"}, command=["sh", "-c", script])
    await_log(backend, uid, b"first\n")
    assert run(backend, uid, "touch", "/tmp/go")[0] == 0
    await_state(backend, uid, Phase.SUCCEEDED)
    await_log(backend, uid, b"\n".join([b"first", b"second", b"x" * 40000, b"unfinished"]))


def await_log(backend: CriBackend, uid: str, expected: bytes) -> None:
    """Poll a container's log until it is as expected: the runtime may write it a little later."""
    deadline = time.monotonic() + 30
    while (log := backend.logs(uid, "main")) != expected:
        assert time.monotonic() < deadline, log
        time.sleep(0.02)


@pytest.mark.parametrize(("code", "phase"), [(0, Phase.SUCCEEDED), (7, Phase.FAILED)])
def test_the_end_of_a_container_shows_in_the_phase(
    backend: CriBackend, start_pod: StartPod, code: int, phase: Phase
) -> None:
    uid = start_pod(image="busybox", command=["sh", "-c"], args=[f"exit {code}"])
    state = await_state(backend, uid, phase)
    assert state.containers[0].exit_code == code
    with pytest.raises(BackendError, match="not running"):
        run(backend, uid, "true")


def test_environment_directory_user_and_host_name_are_the_pods(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod(
        {"hostname": "keeper", "securityContext": {"runAsUser": 1234}},
        env=[{"name": "A", "value": "1"}, {"name": "U", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
        workingDir="/var/tmp",
    )
    _code, out, _err = run(backend, uid, "sh", "-c", "echo $A $U $(pwd) $(id -u) $(hostname)")
    assert out.decode().split() == ["1", uid, "/var/tmp", "1234", "keeper"]


def test_the_root_directory_shows_what_the_container_sees(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod()
    root = backend.root(uid)
    assert root is not None
    (root / "tmp" / "from-outside").write_text("hello")
    assert run(backend, uid, "cat", "/tmp/from-outside")[1] == b"hello"


@pytest.mark.parametrize("image", ["nginx", "registry.example/team/app:1"])
def test_an_image_that_cannot_be_had_is_refused_by_name(start_pod: StartPod, image: str) -> None:
    with pytest.raises(BackendError, match=image):
        start_pod(image=image)


def test_a_pod_that_could_not_start_is_forgotten(backend: CriBackend, start_pod: StartPod) -> None:
    with pytest.raises(BackendError, match="no-such-program") as failure:
        start_pod(command=["no-such-program"])
    assert "StartContainer" in str(failure.value)
    assert not backend._pods


def test_an_unknown_pod_has_no_state_and_may_be_deleted(backend: CriBackend) -> None:
    with pytest.raises(KeyError):
        backend.state("nobody")
    backend.delete("nobody", 0)


def test_deletion_grants_its_grace_to_those_who_use_it(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod(
        {"volumes": [{"name": "out", "hostPath": {"path": str(backend.layout.images)}}]},
        command=["sh", "-c", "trap 'echo bye > /out/last-words; exit 0' TERM; while :; do sleep 0.1; done"],
        volumeMounts=[{"name": "out", "mountPath": "/out"}],
    )
    backend.delete(uid, 20)
    words = backend.layout.images / "last-words"
    assert words.read_text() == "bye\n"
    words.unlink()


def test_native_streams_are_offered_as_urls(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod()
    request = ExecRequest("main", ("true",), stdin=False, stdout=True, stderr=True)
    for url in (backend.exec_url(uid, request), backend.port_forward_url(uid, [80])):
        assert url is not None
        assert url.startswith("http://127.0.0.1:")


def test_a_hundred_megabytes_go_in_and_out_unharmed(
    backend: CriBackend, start_pod: StartPod, tmp_path_factory: pytest.TempPathFactory
) -> None:
    uid, source = start_pod(), tmp_path_factory.mktemp("data") / "source"
    subprocess.run(["dd", "if=/dev/urandom", f"of={source}", "bs=1M", "count=100", "status=none"], check=True)
    request = ExecRequest("main", ("sh", "-c", "cat > /tmp/data"), stdin=True, stdout=False, stderr=False)
    with source.open("rb") as file, backend.exec(uid, request) as process:
        assert process.stdin is not None
        shutil.copyfileobj(file, process.stdin, 1 << 20)
        process.stdin.close()
        assert process.wait(60) == 0
    request = ExecRequest("main", ("cat", "/tmp/data"), stdin=False, stdout=True, stderr=False)
    received = source.with_name("received")
    with backend.exec(uid, request) as process, received.open("wb") as file:
        assert process.stdout is not None
        shutil.copyfileobj(process.stdout, file, 1 << 20)
        assert process.wait(60) == 0
    assert received.stat().st_size == 100 * 1024 * 1024
    assert subprocess.run(["cmp", source, received], check=False).returncode == 0
