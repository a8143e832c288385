# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes transport of a forward against the API of the test bed, its pods and a real containerd."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_parameters import KubeParameters
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_transport import KubernetesTransport
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_way import kubernetes_way
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair

from integration.workloads import await_pods, service, workload
from testbed.bed import Bed
from testbed.fixtures import ON_BOTH_TIERS
from testbed.forwarding import Forwarding
from testbed.kube import Kube
from testbed.kube.kubectl import find_kubectl
from testbed.kube.tls import TlsFront
from testbed.run import Run
from testbed.ssh.relay import Relay
from testbed.tier import Tier

pytestmark = pytest.mark.any_core

BYTES = int(os.environ.get("MANIFOLD_FORWARD_MIB", "24")) << 20
"""What goes each way; 1024 for a thorough run."""
SECONDS = 60
both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
embedded = pytest.mark.embedded

_SERVER = """
import hashlib, os, signal, socket, sys, threading

port = int(sys.argv[1])
pod = os.environ["HOSTNAME"]
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # the next pod may start before this one has ended
listener.bind(("127.0.0.1", port))
listener.listen(512)

def serve(connection):
    with connection:
        order = connection.recv(5)
        if order == b"name.":
            connection.sendall(pod.encode())
        elif order == b"echo.":
            while data := connection.recv(1 << 18):
                connection.sendall(data)
        elif order == b"hash.":
            digest = hashlib.sha256()
            while data := connection.recv(1 << 18):
                digest.update(data)
            connection.sendall(digest.hexdigest().encode())
        elif order == b"flood":
            try:
                while True:
                    connection.sendall(bytes(1 << 18))
            except OSError:
                open("flood-ended", "w").close()

def banner(connection):
    with connection:
        connection.sendall(pod.encode())

serve = banner if sys.argv[2:] == ["banner"] else serve
threads, stopping = [], []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
listener.settimeout(0.05)
while not stopping:
    try:
        connection, _address = listener.accept()
    except TimeoutError:
        continue
    connection.settimeout(None)
    threads = [each for each in threads if each.is_alive()]
    threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
    threads[-1].start()
listener.close()
if serve is banner:
    for each in threads:
        each.join()
"""


_BANNER = (
    "printf '#!/bin/sh\\nhostname\\n' >/tmp/banner; chmod +x /tmp/banner; nc -ll -p 7003 -e /tmp/banner &"
    " trap 'kill $!; sleep 0.5; exit' TERM; wait"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Cluster:
    """An API whose pods are processes of this machine, and what makes transports to it."""

    def __init__(self, run: Run, kube: Kube, kubeconfig: Path) -> None:
        self.kube = kube
        self.kubeconfig = kubeconfig
        self.directory = run.new_directory("forwards")
        self.lines: list[str] = []
        """What transports logged."""

    def transport(
        self, target: str, *ports: int | str, kubeconfig: Path | None = None, argv: tuple[str, ...] = ()
    ) -> KubernetesTransport:
        path = kubeconfig or self.kubeconfig
        access = Access((find_kubectl(), *argv), (str(path),), str(path))
        spec = ForwardSpec("f", "prod", target, tuple(PortPair(0, port) for port in ports))
        parameters = kubernetes_way(access, spec).parameters
        return KubernetesTransport(KubeParameters.from_json(parameters), self.lines.append)

    @contextlib.contextmanager
    def forwarded(self, target: str, port: int | str, **more: Any) -> Iterator[Forwarding]:
        timeout = more.pop("connect_timeout", 30.0)
        with Forwarding(self.transport(target, port, **more), port, timeout) as forwarding:
            yield forwarding

    def deploy(self, name: str, port: int, *words: str, command: tuple[str, ...] = ()) -> None:
        made = workload("Deployment", name, *(command or (sys.executable, "-c", _SERVER, str(port), *words)))
        made["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "main", "containerPort": port}]
        self.kube.create(made)
        found = service(name, {"app": name})
        found["spec"]["ports"] = [{"port": 80, "name": "http", "targetPort": "main"}]
        self.kube.create(found)
        await_pods(self.kube, name, 1)
        if not command:
            self.await_listener(port)

    @staticmethod
    def await_listener(port: int) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def cluster(bed: Bed, testbed_run: Run, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of the tier, empty again after the test."""
    param = getattr(request, "param", None)
    kube, kubeconfig = bed._kubes.of(Tier.NODE if param is Tier.NODE else Tier.EMBEDDED)
    made = Cluster(testbed_run, kube, kubeconfig)
    yield made
    for kind in ("deployments", "statefulsets", "services"):
        group = "apps" if kind != "services" else ""
        for obj in kube.front.objects.store.items(group, kind)[0]:
            kube.delete(obj["kind"], obj["metadata"]["name"])
    for obj in kube.front.objects.store.items("", "pods")[0]:
        with contextlib.suppress(Exception):
            kube.delete("Pod", obj["metadata"]["name"], grace_seconds=0)


def await_end(forwarding: Forwarding) -> None:
    """Wait until no connection is left; what is left would be cut."""
    deadline = time.monotonic() + SECONDS
    while forwarding.connections:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def asked(port: int, order: bytes, data: bytes = b"") -> bytes:
    """Return what a server answers to an order, until it ends the connection; data is sent and then our side ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(order + data)
        if data:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1 << 18), b""))


def echoed(port: int, data: bytes) -> str:
    """Send data to a program that returns it; return the digest of what came back."""
    digest, left = hashlib.sha256(), len(data)
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        while left:
            received = connection.recv(min(left, 1 << 18))
            assert received, f"the connection ended {left} bytes too early"
            digest.update(received)
            left -= len(received)
        sender.join()
    return digest.hexdigest()


@both_tiers
@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "spdy"])
def test_all_bytes_arrive_both_ways_at_once(bed: Bed, testbed_run: Run, tier: Tier, websockets: bool) -> None:
    port = 7007 if tier is Tier.NODE else free_port()
    words = ["nc", "-ll", "-p", "7007", "-e", "cat"]
    if tier is not Tier.NODE:
        words = [sys.executable, "-c", _SERVER.replace("order = connection.recv(5)", 'order = b"echo."'), str(port)]
    pod = bed.pod("echo", containers=[{"name": "main", "command": words}])
    pod.kube.websockets = websockets
    cluster = Cluster(testbed_run, pod.kube, pod.kubeconfig)
    data = random.Random(7).randbytes(1 << 20) * (BYTES >> 20)
    with cluster.forwarded("pod/echo", port) as forwarding:
        deadline = time.monotonic() + SECONDS
        while True:  # a container is ready before its program listens
            try:
                forwarding.transport.check(deadline)
                break
            except Unavailable:
                assert time.monotonic() < deadline
        assert echoed(forwarding.port, data) == hashlib.sha256(data).hexdigest()
        assert echoed(forwarding.port, data[:10]) == hashlib.sha256(data[:10]).hexdigest()
        await_end(forwarding)
    assert forwarding.moved == [len(data) + 10, len(data) + 10]
    assert not forwarding.errors
    assert any("trying SPDY" in line for line in cluster.lines) is not websockets


@embedded
@pytest.mark.parametrize("target", ["service/web", "deployment/web"])
def test_the_end_of_each_direction_is_passed_on_by_itself(cluster: Cluster, target: str) -> None:
    cluster.deploy("web", free_port())
    data = random.Random(3).randbytes(3_000_000)
    with cluster.forwarded(target, "http" if target.startswith("service") else "main") as forwarding:
        for _each in range(3):  # the last two use a connection that is there already
            assert asked(forwarding.port, b"hash.", data).decode() == hashlib.sha256(data).hexdigest()
        name = asked(forwarding.port, b"name.").decode()
        assert forwarding.transport.describe() == f"pod/{name} in namespace default ({target})"
        await_end(forwarding)
    assert not forwarding.errors


@embedded
def test_many_connections_at_once_are_all_served(cluster: Cluster) -> None:
    cluster.deploy("web", free_port())
    answers: list[str] = []
    with cluster.forwarded("service/web", 80) as forwarding:

        def ask(number: int) -> None:
            data = b"%d" % number * 1000
            answers.append(asked(forwarding.port, b"echo.", data).decode())

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        await_end(forwarding)
    assert sorted(answers) == sorted(f"{number}" * 1000 for number in range(50))
    assert not forwarding.errors


@embedded
def test_a_client_that_does_not_read_stops_nobody_else(cluster: Cluster) -> None:
    cluster.deploy("web", free_port())
    with (
        cluster.forwarded("service/web", 80) as forwarding,
        socket.create_connection(("127.0.0.1", forwarding.port)) as stalled,
    ):
        stalled.sendall(b"flood")
        moved = -1
        while moved != forwarding.moved[1] or not moved:  # until all that lies between is full
            moved = forwarding.moved[1]
            time.sleep(0.2)
        for _each in range(5):
            assert asked(forwarding.port, b"echo.", b"hello") == b"hello"
    assert moved < 64 << 20


@embedded
def test_a_client_that_leaves_ends_the_connection_in_the_pod(cluster: Cluster) -> None:
    cluster.deploy("web", free_port())
    with cluster.forwarded("service/web", 80) as forwarding:
        with socket.create_connection(("127.0.0.1", forwarding.port)) as client:
            client.sendall(b"flood")
            assert client.recv(1)
        await_end(forwarding)
        deadline = time.monotonic() + SECONDS
        pod = cluster.kube.get("Pod", await_pods(cluster.kube, "web", 1)[0])
        root = cluster.kube.front.backend.root(pod["metadata"]["uid"])
        while not (root is not None and (root / "flood-ended").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert any("client" in line for line in forwarding.errors)


@pytest.mark.parametrize(
    ("cluster", "tier"),
    [pytest.param(each.values[0], each.values[0], id=each.id, marks=each.marks) for each in ON_BOTH_TIERS],
    indirect=["cluster"],
)
def test_pods_are_replaced_and_no_connection_is_refused(cluster: Cluster, tier: Tier) -> None:
    # both speak first: whoever hears nothing has lost nothing
    if tier is Tier.NODE:
        cluster.deploy("web", 7003, command=("sh", "-c", _BANNER))
    else:
        cluster.deploy("web", free_port(), "banner")
    names: list[bytes] = []
    failed: list[str] = []
    over = threading.Event()
    with cluster.forwarded("service/web", 80) as forwarding:

        def ask() -> None:
            while not over.is_set():
                try:
                    with socket.create_connection(("127.0.0.1", forwarding.port), timeout=SECONDS) as connection:
                        names.append(connection.recv(100).strip())
                except OSError as exc:
                    failed.append(str(exc))

        threads = [threading.Thread(target=ask) for _each in range(4)]
        for thread in threads:
            thread.start()
        for _each in range(5):
            (old,) = await_pods(cluster.kube, "web", 1)
            cluster.kube.delete("Pod", old, grace_seconds=10)
            heard, deadline = len(names), time.monotonic() + SECONDS
            while len(names) < heard + 20 or names[-1] == old.encode():
                assert time.monotonic() < deadline, cluster.lines[-5:]
                time.sleep(0.01)
        over.set()
        for thread in threads:
            thread.join()
    assert not failed, (failed[:3], forwarding.errors[:3])
    assert b"" not in names
    assert len(set(names)) >= 5
    # the pods of the embedded tier share this machine's ports, so that an old connection may lead to a new pod
    assert forwarding.transport.restarts >= (4 if tier is Tier.NODE else 1)


@embedded
def test_a_connection_waits_for_a_program_that_starts_to_listen(cluster: Cluster) -> None:
    port = free_port()
    cluster.deploy("web", free_port())
    with cluster.forwarded("deployment/web", port) as forwarding:
        with pytest.raises(Unavailable, match=rf"port {port} of pod web-.*onnection refused"):
            forwarding.transport.check(time.monotonic() + SECONDS)
        with socket.create_connection(("127.0.0.1", forwarding.port), timeout=SECONDS) as client:
            client.sendall(b"what I said before anybody listened")
            client.shutdown(socket.SHUT_WR)
            while not any("onnection refused" in line for line in cluster.lines):
                time.sleep(0.01)
            with socket.create_server(("127.0.0.1", port)) as late:
                heard, _address = late.accept()
                with heard:
                    received = b"".join(iter(lambda: heard.recv(100), b""))
                    heard.sendall(b"and now it does")
            assert client.recv(100) == b"and now it does"
            assert received == b"what I said before anybody listened"


@embedded
def test_a_connection_that_nobody_takes_is_reset_when_its_time_is_up(cluster: Cluster) -> None:
    cluster.deploy("web", free_port())
    with (
        cluster.forwarded("deployment/web", free_port(), connect_timeout=1.5) as forwarding,
        socket.create_connection(("127.0.0.1", forwarding.port), timeout=SECONDS) as client,
    ):
        client.sendall(b"hello")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        await_end(forwarding)  # it is noted after the client was told
    assert forwarding.errors
    # the last try may have had no time left to be refused
    assert any("refused" in line for line in (*forwarding.errors, *cluster.lines)), (forwarding.errors, cluster.lines)


@embedded
@pytest.mark.parametrize("websockets", [True, False], ids=["websocket", "spdy"])
def test_a_connection_that_is_cut_is_reset_and_the_next_one_is_served(cluster: Cluster, websockets: bool) -> None:
    cluster.kube.websockets = websockets
    cluster.deploy("web", free_port())
    relay = Relay(cluster.kube.front.port)
    document = cluster.kubeconfig.read_text().replace(str(cluster.kube.front.port), str(relay.port))
    kubeconfig = cluster.directory / f"relayed-{websockets}"
    kubeconfig.write_text(document)
    try:
        with cluster.forwarded("service/web", 80, kubeconfig=kubeconfig) as forwarding:
            assert asked(forwarding.port, b"echo.", b"hello") == b"hello"
            with socket.create_connection(("127.0.0.1", forwarding.port), timeout=SECONDS) as client:
                client.sendall(b"flood")
                assert client.recv(1000)
                relay.reset_now()
                with pytest.raises(ConnectionResetError):
                    while client.recv(1 << 20):
                        pass
            assert asked(forwarding.port, b"echo.", b"hello") == b"hello"
    finally:
        relay.close()


@embedded
@pytest.mark.parametrize(
    ("target", "port", "error", "said"),
    [
        ("service/wep", 80, ForwardError, "reading service/wep in namespace default: .*does not exist.*mean 'web'"),
        ("service/web", 81, ForwardError, r"service/web: it has no port 81\. It has: 80 \(http\)"),
        ("deployment/web", "mian", ForwardError, "names a port 'mian'. Did you mean 'main'"),
        ("service/bare", 80, ForwardError, "service/bare: it has no selector"),
        ("service/nobody", 80, Unavailable, "service/nobody has no pods"),
        ("pod/none", 80, ForwardError, "pod/none does not exist"),
        ("deployment/slow", 80, Unavailable, r"no pod of deployment/slow is ready: slow-.*"),
    ],
)
def test_what_cannot_be_forwarded_is_said(
    cluster: Cluster, target: str, port: int | str, error: type[Exception], said: str
) -> None:
    cluster.deploy("web", free_port())
    cluster.kube.create(service("bare", None))
    cluster.kube.create(service("nobody", {"app": "nobody"}))
    gates = {"readinessGates": [{"conditionType": "never"}]}
    cluster.kube.create(workload("Deployment", "slow", pod=gates))
    await_pods(cluster.kube, "slow", 1, ready=False)
    transport = cluster.transport(target, port)
    with pytest.raises(error, match=said):
        transport.check(time.monotonic() + SECONDS)
    transport.close()


@embedded
def test_an_api_server_that_is_not_there_is_said_at_once(cluster: Cluster) -> None:
    kubeconfig = cluster.directory / "nowhere"
    kubeconfig.write_text(cluster.kubeconfig.read_text().replace(str(cluster.kube.front.port), str(free_port())))
    transport = cluster.transport("service/web", 80, kubeconfig=kubeconfig)
    with pytest.raises(ForwardError, match=r"context 'prod': asking http://127.0.0.1:.*Connection refused"):
        transport.check(time.monotonic() + SECONDS)


@pytest.fixture
def tls(cluster: Cluster, tmp_path: Path) -> Iterator[TlsFront]:
    """TLS in front of the API, which asks for a token."""
    cluster.kube.authorizations = frozenset({"Bearer right"})
    front = TlsFront(cluster.kube.front.port, tmp_path)
    yield front
    front.close()


def kubeconfig_for(tls: TlsFront, path: Path, user: dict[str, Any], ca: bytes | None = None) -> Path:
    import yaml

    data = base64.b64encode(tls.certificate.read_bytes() if ca is None else ca).decode()
    cluster = {"server": tls.url, "certificate-authority-data": data}
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "prod",
                "clusters": [{"name": "k", "cluster": cluster}],
                "users": [{"name": "u", "user": user}],
                "contexts": [{"name": "prod", "context": {"cluster": "k", "user": "u"}}],
            }
        )
    )
    return path


@embedded
def test_credentials_that_ran_out_are_asked_for_again(cluster: Cluster, tls: TlsFront, tmp_path: Path) -> None:
    cluster.deploy("web", free_port())
    token = tmp_path / "token"
    token.write_text("right")
    plugin = tmp_path / "plugin"
    plugin.write_text(
        '#!/bin/sh\nprintf \'{"kind": "ExecCredential", "status": {"token": "%s"}}\' "$(cat ' + f'{token})"\n'
    )
    plugin.chmod(0o755)
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "./plugin", "interactiveMode": "Never"}
    }
    kubeconfig = kubeconfig_for(tls, tmp_path / "config", user)
    data = random.Random(4).randbytes(2_000_000)
    with cluster.forwarded("service/web", 80, kubeconfig=kubeconfig) as forwarding:
        assert asked(forwarding.port, b"echo.", data) == data
        cluster.kube.authorizations = frozenset({"Bearer renewed"})
        token.write_text("renewed")
        forwarding.transport.check(time.monotonic() + SECONDS)
        token.write_text("wrong")
        cluster.kube.authorizations = frozenset({"Bearer other"})
        with pytest.raises(ForwardError, match=r"context 'prod': logging in to https://.*Unauthorized") as caught:
            forwarding.transport.check(time.monotonic() + SECONDS)
    assert "wrong" not in str(caught.value)


@embedded
def test_a_server_that_nobody_vouches_for_is_refused(cluster: Cluster, tls: TlsFront, tmp_path: Path) -> None:
    from testbed.kube.tls import make_certificate

    folder = tmp_path / "other"
    folder.mkdir()
    other, _key = make_certificate(folder)
    kubeconfig = kubeconfig_for(tls, tmp_path / "config", {"token": "right"}, other.read_bytes())
    with pytest.raises(ForwardError, match=r"its certificate cannot be trusted: .*Check the certificate-authority"):
        cluster.transport("service/web", 80, kubeconfig=kubeconfig).check(time.monotonic() + SECONDS)
    loose = cluster.transport("service/web", 80, kubeconfig=kubeconfig, argv=("--insecure-skip-tls-verify=true",))
    with pytest.raises(ForwardError, match="service/web does not exist"):
        loose.check(time.monotonic() + SECONDS)
