# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Injected faults do what they say, on the streams that can carry them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from testbed.kube import Action, Direction, Fault, Kube
from testbed.kube.kubectl import Kubectl

KubectlFor = Callable[[Kube], Kubectl]

SIZE = 3_000_000
CUT = 1_000_000
SEND = ("sh", "-c", f"head -c {SIZE} /dev/zero; exit 9")
RECEIVE = ("sh", "-c", 'wc -c > "${POD_ROOT:-}/count"; exit 9')
COUNTED = ("sh", "-c", 'until [ -s "${POD_ROOT:-}/count" ]; do :; done; cat "${POD_ROOT:-}/count"')


@pytest.mark.parametrize(
    ("action", "exit_code"),
    [
        # No status at all looks like success to kubectl: the reason to have this fault.
        (Action.END_WITHOUT_STATUS, 0),
        (Action.END_WITH_SUCCESS, 0),
        (Action.RESET, 1),
    ],
)
def test_stdout_is_cut(websocket_front: Kube, kubectl_for: KubectlFor, action: Action, exit_code: int) -> None:
    pod, kubectl = websocket_front.pod(), kubectl_for(websocket_front)
    fault = websocket_front.faults.add(Fault(Direction.STDOUT, action, CUT, pod=pod.name))
    done = kubectl.run("exec", pod.name, "--", *SEND)
    assert fault.fired.is_set()
    assert done.returncode == exit_code
    if action is Action.RESET:
        assert len(done.stdout) <= CUT  # a reset also throws away what was under way
    else:
        assert len(done.stdout) == CUT
    assert kubectl.run("exec", pod.name, "--", *SEND).returncode == 9  # it struck once


@pytest.mark.parametrize("action", [Action.END_WITHOUT_STATUS, Action.END_WITH_SUCCESS, Action.RESET])
def test_stdin_is_cut(websocket_front: Kube, kubectl_for: KubectlFor, action: Action) -> None:
    pod, kubectl = websocket_front.pod(), kubectl_for(websocket_front)
    websocket_front.faults.add(Fault(Direction.STDIN, action, CUT, pod=pod.name))
    done = kubectl.run("exec", "-i", pod.name, "--", *RECEIVE, input=bytes(SIZE))
    assert done.returncode == (1 if action is Action.RESET else 0)
    assert kubectl("exec", pod.name, "--", *COUNTED).split() == [str(CUT)]


def test_stdin_ends_early_but_the_status_is_true(websocket_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, kubectl = websocket_front.pod(), kubectl_for(websocket_front)
    websocket_front.faults.add(Fault(Direction.STDIN, Action.EARLY_EOF, CUT, pod=pod.name))
    done = kubectl.run("exec", "-i", pod.name, "--", *RECEIVE, input=bytes(SIZE))
    assert done.returncode == 9
    assert kubectl("exec", pod.name, "--", *COUNTED).split() == [str(CUT)]


@pytest.mark.parametrize("direction", list(Direction))
def test_a_stall_lasts_until_it_is_released(kube_front: Kube, kubectl_for: KubectlFor, direction: Direction) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    fault = kube_front.faults.add(Fault(direction, Action.STALL, CUT, pod=pod.name))
    with kubectl.start("exec", "-i", pod.name, "--", "sh", "-c", "cat; exit 9") as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(bytes(SIZE) if direction is Direction.STDOUT else bytes(CUT + 1))
        client.stdin.close()
        assert fault.fired.wait(60)
        assert client.poll() is None
        fault.release()
        assert len(client.stdout.read()) == (SIZE if direction is Direction.STDOUT else CUT + 1)
        assert client.wait(60) == 9


@pytest.mark.parametrize("direction", list(Direction))
def test_a_reset_is_possible_on_every_stream(kube_front: Kube, kubectl_for: KubectlFor, direction: Direction) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    fault = kube_front.faults.add(Fault(direction, Action.RESET, CUT, pod=pod.name))
    done = kubectl.run("exec", "-i", pod.name, "--", "sh", "-c", "cat; exit 9", input=bytes(SIZE))
    assert fault.fired.is_set()
    assert len(done.stdout) <= (CUT if direction is Direction.STDOUT else SIZE)
    # Over SPDY kubectl takes a broken connection for the end of every stream, and the missing status for success.
    assert (done.returncode == 0) is not kube_front.websockets


def test_a_reset_is_one_for_the_client_too(process_front: Kube) -> None:
    pod = process_front.pod()
    process_front.faults.add(Fault(Direction.STDOUT, Action.RESET, pod=pod.name))
    target = urlsplit(process_front.url)
    with socket.create_connection((str(target.hostname), int(target.port or 0)), timeout=60) as client:
        client.sendall(
            f"GET /api/v1/namespaces/default/pods/{pod.name}/exec?command=echo&stdout=1 HTTP/1.1\r\n"
            "Host: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n".encode()
        )
        with pytest.raises(ConnectionResetError):
            while client.recv(4096):
                pass


def test_a_fault_strikes_only_what_it_matches(process_front: Kube, kubectl_for: KubectlFor) -> None:
    pod, other, kubectl = process_front.pod(), process_front.pod(), kubectl_for(process_front)
    fault = Fault(
        Direction.STDOUT, Action.END_WITH_SUCCESS, pod=pod.name, command=lambda argv: argv[0] == "head", times=None
    )
    process_front.faults.add(fault)
    assert kubectl("exec", other.name, "--", "head", "-c3", "/dev/zero") == "\0\0\0"
    assert kubectl("exec", pod.name, "--", "echo", "whole") == "whole\n"
    assert kubectl("exec", pod.name, "--", "head", "-c3", "/dev/zero") == ""
    assert kubectl("exec", pod.name, "--", "head", "-c3", "/dev/zero") == ""
    process_front.faults.clear()
    assert kubectl("exec", pod.name, "--", "head", "-c3", "/dev/zero") == "\0\0\0"


def test_a_fault_that_a_passed_through_stream_cannot_carry_is_refused(
    kube_front: Kube, kubectl_for: KubectlFor
) -> None:
    pod, kubectl = kube_front.pod(), kubectl_for(kube_front)
    passed_through = kube_front.front.backend.name == "cri" and not kube_front.websockets
    kube_front.faults.add(Fault(Direction.STDOUT, Action.END_WITH_SUCCESS, 1, pod=pod.name))
    done = kubectl.run("exec", pod.name, "--", *SEND)
    assert (b"passed through" in done.stderr) is passed_through
    assert (done.returncode == 0) is not passed_through
