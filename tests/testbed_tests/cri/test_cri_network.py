# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods' network and their extra NICs."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.kube.backend import BackendError, ExecRequest
from testbed.kube.cri import CriBackend

pytestmark = pytest.mark.node

StartPod = Callable[..., str]
MAC = "02:00:5e:10:00:01"


def output_of(backend: CriBackend, uid: str, *argv: str) -> str:
    """Return what a command in a pod writes to stdout."""
    request = ExecRequest("main", argv, stdin=False, stdout=True, stderr=False)
    with backend.exec(uid, request) as process:
        assert process.stdout is not None
        return process.stdout.read().decode()


def connect(backend: CriBackend, uid: str, port: int) -> socket.socket:
    """Connect as soon as somebody in the pod listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            connection = backend.connect(uid, port)
        except BackendError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return connection


def test_connect_reaches_a_server_on_the_pods_own_localhost(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod(command=["httpd", "-f", "-p", "127.0.0.1:7000", "-h", "/etc"])
    with connect(backend, uid, 7000) as connection:
        connection.sendall(b"GET /passwd HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_connect_to_a_closed_port_is_refused_by_name(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod()
    with pytest.raises(BackendError, match=r"port 7001 .*refused"):
        backend.connect(uid, 7001)


def test_pods_reach_each_other_and_this_machine_reaches_them(backend: CriBackend, start_pod: StartPod) -> None:
    server = start_pod(command=["sh", "-c", "echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp"])
    connect(backend, server, 80).close()
    ip = backend.state(server).ip
    assert output_of(backend, start_pod(), "wget", "-q", "-O", "-", f"http://{ip}/") == "page\n"
    with contextlib.closing(socket.create_connection((ip, 80), 10)) as connection:
        connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_a_pod_on_the_hosts_network_sees_the_hosts_interfaces(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod({"hostNetwork": True})
    assert backend.layout.name in output_of(backend, uid, "ls", "/sys/class/net").split()
    assert backend.network_namespace(uid) is None
    with pytest.raises(BackendError, match="no network of its own"):
        backend.add_nic(uid, "nic1", MAC)


def test_an_extra_nic_has_the_name_and_the_address_asked_for(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod()
    outside = backend.add_nic(uid, "nic1", MAC)
    listing = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
    assert outside in [link["ifname"] for link in listing]
    assert output_of(backend, uid, "cat", "/sys/class/net/nic1/address").strip() == MAC
    with pytest.raises(BackendError, match="exists"):
        backend.add_nic(uid, "nic1", MAC)


def test_ip_forwarding_of_this_machine_is_left_alone(start_pod: StartPod, ip_forwarding: str) -> None:
    start_pod()
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == ip_forwarding
