# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which commands go to the API server directly and which to kubectl, what is said to the server, and what is left."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._direct import DirectExec
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl

from testbed.kube import websocket_frames as theirs
from testbed.kube.tls import make_certificate
from testbed.processes import await_exit, children_of, command_of

SECONDS = 20
TOKEN = "s3cret-t0ken"
CLIENT = "_exec_client"


class Server:
    """An API server that runs every command as ``cat``, or gives the answer that a test wants."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Callable[[Mapping[str, str]], str] = accepted
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            connection.settimeout(SECONDS)
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.callback(connection.close)
                if self._tls is not None:
                    connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
                self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1) or b"\r\n\r\n"
        first, *lines = head.decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        self.requests.append((first.split(" ")[1], headers))
        answer = self.answer(headers)
        connection.sendall(answer.encode())
        if " 101 " in answer:
            self._echo(connection)

    def _echo(self, connection: socket.socket) -> None:
        parser, channel = theirs.FrameParser(), 0
        while received := connection.recv(1 << 16):
            for part in parser.feed(received):
                if not isinstance(part, theirs.Piece):
                    continue
                channel, data = (part.data[0], part.data[1:]) if part.first else (channel, part.data)
                if channel == 0 and data:
                    connection.sendall(theirs.header(theirs.Opcode.BINARY, 1 + len(data)) + b"\x01" + bytes(data))
                elif channel == 255:
                    status = b"\x03" + json.dumps({"status": "Success"}).encode()
                    connection.sendall(theirs.header(theirs.Opcode.BINARY, len(status)) + status)
                    connection.sendall(theirs.header(theirs.Opcode.CLOSE, 0))
                    return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def accepted(headers: Mapping[str, str], protocol: str = "v5.channel.k8s.io", key: str | None = None) -> str:
    text = f"{key or headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    lines = ["Upgrade: websocket", "Connection: Upgrade", f"sec-websocket-accept: {accept}"]
    return "\r\n".join(["HTTP/1.1 101 Switching", *lines, f"Sec-WebSocket-Protocol: {protocol}", "", ""])


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> Iterator[Server]:
    """A server that knows its users by their certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*certificate)
    made = Server(context)
    yield made
    made.close()


class Place:
    """A pod, and a kubectl that only says how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "bin" / "kubectl"
        self.program.parent.mkdir()
        echo = shutil.which("echo")
        assert echo is not None
        shutil.copy(echo, self.program)
        variables = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.environ = {**variables, "PATH": str(self.program.parent)}
        self._opened: list[tuple[Kubectl, DirectExec]] = []

    def kubeconfig(self, server: str, user: Mapping[str, Any] | None = None, **cluster: Any) -> Path:
        document = {
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": server, **cluster}}],
            "users": [{"name": "x", "user": dict(user or {})}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x", "namespace": "shop"}}],
        }
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps(document))
        return path

    def direct(self, kubeconfig: Path, *words: str) -> tuple[Kubectl, DirectExec]:
        access = Access(("kubectl", *words), (str(kubeconfig),), env=self.environ)
        self._opened.append((Kubectl("prod", access), DirectExec("prod", access)))
        return self._opened[-1]

    def run(self, kubeconfig: Path, *words: str, container: str | None = None) -> tuple[int, bytes, bytes]:
        """Run a command with some input, and return how it ended and what it printed."""
        kubectl, direct = self.direct(kubeconfig, *words)
        launch = direct.launch("web", container, ("cat", "a b+&"), kubectl.launch(("exec", "-i", "web")))
        stdin, given = os.pipe()
        os.write(given, b"given")
        os.close(given)
        with (self.folder / "out").open("w+b") as out, (self.folder / "err").open("w+b") as err:
            process = launch.start(stdin, out.fileno(), err.fileno())
            os.close(stdin)
            status = process.wait(SECONDS)
            return status, (self.folder / "out").read_bytes(), (self.folder / "err").read_bytes()

    def close(self) -> None:
        for kubectl, direct in self._opened:
            direct.close()
            kubectl.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


DIRECTLY = (0, b"given", b"")


def by_kubectl(kubeconfig: Path, *words: str) -> tuple[int, bytes, bytes]:
    """Return what the kubectl of the tests prints: it takes over with nothing else said."""
    return 0, " ".join([*words, "--kubeconfig", str(kubeconfig), "exec -i web\n"]).encode(), b""


def test_a_command_is_asked_for_as_the_api_wants_it(server: Server, place: Place) -> None:
    assert place.run(place.kubeconfig(server.url + "/prefix/"), container="main") == DIRECTLY
    path, headers = server.requests[0]
    assert urlsplit(path).path == "/prefix/api/v1/namespaces/shop/pods/web/exec"
    streams = [("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    assert parse_qsl(urlsplit(path).query) == [
        ("command", "cat"),
        ("command", "a b+&"),
        ("container", "main"),
        *streams,
    ]
    assert headers["Host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", id="bad request"),
        pytest.param("HTTP/1.1 401 Unauthorized\r\n\r\n", id="unauthorized"),
        pytest.param("HTTP/1.1 404 Not Found\r\n\r\n", id="not found"),
        pytest.param("SSH-2.0-OpenSSH_9\r\n\r\n", id="no web server"),
        pytest.param("HTTP/1.1 101 Switching\r\n\r\n", id="no websocket"),
        pytest.param("", id="nothing"),
    ],
)
def test_kubectl_takes_over_wherever_no_stream_comes_about(server: Server, place: Place, answer: str) -> None:
    server.answer = lambda _headers: answer
    kubeconfig = place.kubeconfig(server.url)
    assert place.run(kubeconfig) == by_kubectl(kubeconfig)
    assert len(server.requests) == 1


@pytest.mark.parametrize("wrong", [{"protocol": "v4.channel.k8s.io"}, {"key": "other"}])
def test_an_answer_to_another_question_is_none(server: Server, place: Place, wrong: dict[str, str]) -> None:
    server.answer = lambda headers: accepted(headers, **wrong)
    kubeconfig = place.kubeconfig(server.url)
    assert place.run(kubeconfig) == by_kubectl(kubeconfig)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://..", f"http://{'a' * 70}.example", "https://[::1]:1"])
def test_a_server_that_is_not_there_is_kubectls_to_explain(place: Place, url: str) -> None:
    kubeconfig = place.kubeconfig(url)
    assert place.run(kubeconfig) == by_kubectl(kubeconfig)


# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_server_and_user_are_known_by_certificates(tls: Server, place: Place, certificate: tuple[Path, Path]) -> None:
    user = {"client-certificate": str(certificate[0]), "client-key": str(certificate[1]), "token": TOKEN}
    path = place.kubeconfig(tls.url, user, **{"certificate-authority": str(certificate[0])})
    assert place.run(path) == DIRECTLY
    assert tls.requests[0][1]["Authorization"] == f"Bearer {TOKEN}"


def test_a_user_without_the_certificate_is_not_let_in(
    tls: Server, place: Place, certificate: tuple[Path, Path]
) -> None:
    path = place.kubeconfig(tls.url, {}, **{"certificate-authority": str(certificate[0])})
    assert place.run(path) == by_kubectl(path)


@pytest.mark.parametrize(
    ("cluster", "trusted"),
    [
        ({}, False),
        ({"certificate-authority-data": base64.b64encode("no certificate: ü".encode()).decode()}, False),
        ({"tls-server-name": "other.example"}, False),
        ({"tls-server-name": "127.0.0.1"}, True),
        ({"insecure-skip-tls-verify": True}, True),
        ({"insecure-skip-tls-verify": True, "tls-server-name": "other.example"}, True),
    ],
)
def test_nothing_is_said_to_a_server_that_is_not_who_it_should_be(
    tls: Server, place: Place, certificate: tuple[Path, Path], cluster: dict[str, Any], trusted: bool
) -> None:
    user = {"client-certificate": str(certificate[0]), "client-key": str(certificate[1]), "token": TOKEN}
    ca = {"certificate-authority": str(certificate[0])} if "tls-server-name" in cluster and len(cluster) == 1 else {}
    path = place.kubeconfig(tls.url, user, **ca, **cluster)
    assert place.run(path) == (DIRECTLY if trusted else by_kubectl(path))
    assert len(tls.requests) == trusted


def test_a_ca_that_is_given_is_asked_even_if_the_kubeconfig_asks_none(
    tls: Server, place: Place, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    wrong, _key = make_certificate(other)
    user = {"client-certificate": str(certificate[0]), "client-key": str(certificate[1])}
    path = place.kubeconfig(tls.url, user, **{"insecure-skip-tls-verify": True})
    words = ("--certificate-authority", str(wrong))
    assert place.run(path, *words) == by_kubectl(path, *words)
    assert place.run(path, "--certificate-authority", str(certificate[0])) == DIRECTLY


# -- what is kubectl's -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "words", "cluster"),
    [
        pytest.param({"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "False"}, (), {}, id="switched off"),
        pytest.param({"https_proxy": "http://p:1"}, (), {}, id="https_proxy"),
        pytest.param({"HTTP_PROXY": "http://p:1"}, (), {}, id="HTTP_PROXY"),
        pytest.param({}, ("--request-timeout=1s",), {}, id="an option"),
        pytest.param({}, (), {"proxy-url": "http://p:1"}, id="proxy-url"),
        pytest.param({}, ("--context=other",), {}, id="no such context"),
        pytest.param({}, (), {"insecure-skip-tls-verify": True, "certificate-authority-data": "eA=="}, id="both"),
    ],
)
def test_what_only_kubectl_knows_is_left_to_it(
    server: Server, place: Place, variables: dict[str, str], words: tuple[str, ...], cluster: dict[str, Any]
) -> None:
    place.environ |= variables
    kubeconfig = place.kubeconfig(server.url, **cluster)
    assert place.run(kubeconfig, *words) == by_kubectl(kubeconfig, *words)
    assert server.requests == []


def test_kubectl_decides_which_of_two_kubeconfigs_holds(server: Server, place: Place) -> None:
    kubeconfig = place.kubeconfig(server.url)
    other = shutil.copy(kubeconfig, place.folder / "other")
    assert place.run(kubeconfig, f"--kubeconfig={other}") == by_kubectl(kubeconfig, f"--kubeconfig={other}")


@pytest.mark.parametrize("kind", ["script", "link"])
def test_a_program_that_is_called_kubectl_and_is_another_one_is_used(server: Server, place: Place, kind: str) -> None:
    if kind == "script":
        place.program.write_text("#!/bin/sh\nread -r input\necho mine: $input\n")
    else:
        place.program.rename(place.program.with_name("k3s"))
        place.program.symlink_to("k3s")
    kubeconfig = place.kubeconfig(server.url)
    assert place.run(kubeconfig) == ((0, b"mine: given\n", b"") if kind == "script" else by_kubectl(kubeconfig))
    assert server.requests == []


def test_a_kubectl_that_went_away_is_named(server: Server, place: Place) -> None:
    server.answer = lambda _headers: place.program.unlink() or ""  # type: ignore[func-returns-value]
    status, out, err = place.run(place.kubeconfig(server.url))
    assert (status, out, err) == (1, b"", b"error: kubectl cannot be started: No such file or directory\n")


# -- processes and secrets ---------------------------------------------------------------------------------------------


def clients(parent: int | None = None) -> list[int]:
    return [pid for pid in children_of(parent or os.getpid()) if CLIENT in command_of(pid)]


def test_secrets_stand_in_no_argument_and_no_variable(
    tls: Server, place: Place, certificate: tuple[Path, Path]
) -> None:
    user = {"client-certificate": str(certificate[0]), "client-key": str(certificate[1]), "token": TOKEN}
    path = place.kubeconfig(tls.url, user, **{"certificate-authority": str(certificate[0])})
    kubectl, direct = place.direct(path)
    launch = direct.launch("web", None, ("cat",), kubectl.launch(("exec", "-i", "web")))
    pipes = [os.pipe() for _each in range(3)]
    process = launch.start(pipes[0][0], pipes[1][1], pipes[2][1])
    try:
        os.write(pipes[0][1], b"x")
        assert os.read(pipes[1][0], 1) == b"x"  # it runs, and another one waits
        found = clients()
        assert len(found) == 2
        key = certificate[1].read_text().splitlines()[1]
        for pid in found:
            seen = b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
            assert TOKEN.encode() not in seen
            assert key.encode() not in seen
            if pid == process.pid:  # what it does not need any more it does not hold
                links = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
                assert [link for link in links if "memfd" in link] == []
    finally:
        for ends in pipes:
            for fd in ends:
                os.close(fd)
        process.wait(SECONDS)


def test_a_client_that_nobody_needed_ends_when_the_context_is_closed(server: Server, place: Place) -> None:
    kubectl, direct = place.direct(place.kubeconfig(server.url))
    before = len(list(Path("/proc/self/fd").iterdir()))
    direct.prepare(kubectl.launch(()))
    direct.prepare(kubectl.launch(()))
    assert len(clients()) == 1
    direct.close()
    assert clients() == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert server.requests == []


def test_who_says_when_a_client_is_needed_gets_none_earlier(server: Server, place: Place) -> None:
    kubectl, direct = place.direct(place.kubeconfig(server.url))
    direct.prepare(kubectl.launch(()))
    launch = direct.launch("web", None, ("cat",), kubectl.launch(("exec", "-i", "web")))
    stdin, ours = os.pipe()
    nothing = os.open(os.devnull, os.O_WRONLY)
    process = launch.start(stdin, nothing, nothing)
    os.close(stdin)
    os.close(nothing)
    try:
        assert clients() == [process.pid]
        direct.prepare(kubectl.launch(()))
        assert len(clients()) == 2
    finally:
        os.close(ours)
        direct.close()
        assert process.wait(SECONDS) == 0


def test_a_client_that_died_meanwhile_is_no_loss(server: Server, place: Place) -> None:
    kubeconfig = place.kubeconfig(server.url)
    kubectl, direct = place.direct(kubeconfig)
    direct.prepare(kubectl.launch(()))
    (spare,) = clients()
    os.kill(spare, signal.SIGKILL)
    assert await_exit([spare], SECONDS) == []
    launch = direct.launch("web", None, ("cat",), kubectl.launch(("exec", "-i", "web")))
    read_end, write_end = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    with os.fdopen(read_end, "rb") as out:
        process = launch.start(nothing, write_end, write_end)
        os.close(write_end)
        os.close(nothing)
        assert out.read() == by_kubectl(kubeconfig)[1]
        assert process.wait(SECONDS) == 0


STARTER = """
import sys, os
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._direct import DirectExec
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
access = Access(("kubectl",), (sys.argv[1],))
direct = DirectExec("prod", access)
direct.prepare(Kubectl("prod", access).launch(()))
if os.fork() == 0:
    os.execvp(sys.executable, [sys.executable, "-c", "input()"])  # a program that was started since outlives it
print(flush=True)
input()
"""


def test_a_client_ends_with_the_process_that_started_it(server: Server, place: Place) -> None:
    environ = {**place.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-c", STARTER, str(place.kubeconfig(server.url))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == b"\n"
        (spare,) = clients(starter.pid)
        starter.kill()
        assert await_exit([spare], SECONDS) == []


def test_many_threads_may_start_commands_at_once(server: Server, place: Place) -> None:
    server.answer = lambda _headers: ""
    kubeconfig = place.kubeconfig(server.url)
    kubectl, direct = place.direct(kubeconfig)
    results: list[bytes] = []

    def run() -> None:
        launch = direct.launch("web", None, ("cat",), kubectl.launch(("exec", "-i", "web")))
        read_end, write_end = os.pipe()
        with os.fdopen(read_end, "rb") as out, Path(os.devnull).open("rb") as nothing:
            process = launch.start(nothing.fileno(), write_end, write_end)
            os.close(write_end)
            results.append(out.read())
            process.wait(SECONDS)

    threads = [threading.Thread(target=run) for _each in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert results == [by_kubectl(kubeconfig)[1]] * 4
    direct.close()
    assert clients() == []
