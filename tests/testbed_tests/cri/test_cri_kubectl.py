# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real kubectl, the API front and real containers together, over WebSockets and over containerd's own SPDY."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.kube import Kube

pytestmark = pytest.mark.node

KUBECTL = Path(sys.executable).with_name("kubectl")


@dataclass
class Cluster:
    """An API front with containers behind it, and a pod ``pod`` in it."""

    kube: Kube
    kubeconfig: Path

    def kubectl(self, *args: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl to its end."""
        return subprocess.run(self.command(*args), input=data, capture_output=True, timeout=120, check=False)

    def command(self, *args: str) -> list[str]:
        """Return the command line of a kubectl call."""
        return [str(KUBECTL), "--kubeconfig", str(self.kubeconfig), *args]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start the front with a containerd of its own, as the fixtures of the test bed do."""
    directory = tmp_path_factory.mktemp("kube")
    with Kube("cri", workdir=directory) as kube:
        serve = "echo page > /tmp/index.html; echo started; exec httpd -f -p 8080 -h /tmp"
        kube.pod("pod", containers=[{"name": "main", "image": "busybox", "command": ["sh", "-c", serve]}])
        yield Cluster(kube, kube.write_kubeconfig(directory / "kubeconfig"))


@pytest.fixture(params=["websocket", "spdy"])
def streaming(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster, speaking one of the two protocols."""
    cluster.kube.websockets = request.param == "websocket"
    yield cluster
    cluster.kube.websockets = True


def test_exec_passes_streams_and_the_exit_code(streaming: Cluster) -> None:
    done = streaming.kubectl("exec", "-i", "pod", "--", "sh", "-c", "cat; echo problem >&2; exit 42", data=b"input")
    assert done.returncode == 42
    assert done.stdout == b"input"
    assert done.stderr.splitlines()[0] == b"problem"


def test_a_missing_command_is_named(streaming: Cluster) -> None:
    done = streaming.kubectl("exec", "pod", "--", "no-such-command")
    assert done.returncode != 0
    assert b"no-such-command" in done.stderr


def test_a_hundred_megabytes_go_through_unharmed(streaming: Cluster) -> None:
    data = os.urandom(1 << 20) * 100
    digest = hashlib.sha256(data).hexdigest()
    done = streaming.kubectl("exec", "-i", "pod", "--", "sh", "-c", "tee /tmp/data | sha256sum", data=data)
    assert done.stdout.split()[0].decode() == digest
    done = streaming.kubectl("exec", "pod", "--", "cat", "/tmp/data")
    assert hashlib.sha256(done.stdout).hexdigest() == digest


def test_cp_goes_both_ways(streaming: Cluster, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"file")
    for source, target in ((tmp_path / "there", "pod:/tmp/copied"), ("pod:/tmp/copied", tmp_path / "back")):
        done = streaming.kubectl("cp", str(source), str(target))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "back").read_bytes() == b"file"


def test_port_forward_reaches_the_pod(streaming: Cluster) -> None:
    with subprocess.Popen(streaming.command("port-forward", "pod", ":8080"), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            port = re.search(r"127\.0\.0\.1:(\d+)", line)
            assert port is not None, line
            with contextlib.closing(urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/", timeout=30)) as answer:
                assert answer.read() == b"page\n"
        finally:
            process.terminate()


def test_logs_and_deletion(cluster: Cluster) -> None:
    cluster.kube.pod("brief", containers=[{"name": "main", "image": "testbed"}])
    assert cluster.kubectl("logs", "pod").stdout == b"started\n"
    assert cluster.kubectl("delete", "pod", "brief", "--now").returncode == 0
    assert b"NotFound" in cluster.kubectl("get", "pod", "brief").stderr


def test_a_terminal_is_given_when_asked_for(streaming: Cluster) -> None:
    # kubectl wants a terminal of its own; script(1) would be one, a pseudo-terminal is at hand.
    master, slave = os.openpty()
    with subprocess.Popen(
        streaming.command("exec", "-it", "pod", "--", "sh", "-c", "test -t 0 && stty -echo && echo yes"),
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        output, errors = process.communicate(timeout=60)
    os.close(master)
    os.close(slave)
    assert (process.returncode, output.strip()) == (0, b"yes"), errors
