# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwards over SSH, with the real ssh and the real sshd."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _ssh_master
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable

from testbed.processes import await_exit, children_of, command_of
from testbed.ssh.host import SshHost

from .forwarding import SECONDS, Service, SshForward, forwarded, local, login_to, remote
from .support import Hosts, Inventories, assert_no_traceback, one_line, pipeline, play

pytestmark = pytest.mark.node

handed = pytest.mark.parametrize("direct", ["handed"], indirect=True)
Direct = Callable[..., contextlib.AbstractContextManager[tuple[SshForward, SshHost]]]


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.stop()


def _exchange(client: socket.socket, data: bytes) -> bytes:
    """Send everything, end the sending, and return all that comes."""

    def send() -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    received = b""
    while more := client.recv(1 << 18):
        received += more
    sender.join(SECONDS)
    return received


@pytest.fixture(params=["handed", "piped"])
def direct(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, ssh_host: Hosts) -> Direct:
    """Forwards by an ssh that writes to the client itself, and by one that is too old for that."""
    by_ssh = request.param == "handed"
    monkeypatch.setattr(_ssh_master, "can_tell_ends", lambda _ssh, _environment: by_ssh)

    @contextlib.contextmanager
    def direct(port: int, **options: Any) -> Iterator[tuple[SshForward, SshHost]]:
        host = ssh_host()
        with forwarded(host, local(port, **options)) as forward:
            yield forward, host
            logins = [line for line in forward.words if line.startswith("logged in")]
            assert {"does not say how its channels end" in line for line in logins} == {not by_ssh}

    return direct


def test_bytes_arrive_whole_and_the_end_of_one_direction_is_passed_on(direct: Direct, service: Service) -> None:
    data = os.urandom(5_000_003)
    with direct(service.port) as (forward, _host):
        with forward.client() as client:
            received = _exchange(client, data)
        assert hashlib.sha256(received).digest() == hashlib.sha256(data).digest()
        counts = forward.tally.read()
        assert (counts.bytes_up, counts.bytes_down) == (len(data), len(data))


@pytest.mark.parametrize(
    "config", [[], ["MaxSessions 0"]], ids=["any server", "a server that lets nobody run a command"]
)
def test_the_first_connections_are_handed_to_ssh_and_so_is_one_that_waited_for_its_return(
    ssh_host: Hosts, service: Service, config: list[str]
) -> None:
    host = ssh_host(config=config)
    with forwarded(host, local(service.port)) as forward:
        with forward.client() as first, forward.client() as second:
            for client in (first, second):
                client.sendall(b"x")
                assert client.recv(1) == b"x"
            assert _held_by_ssh_too() == 2
            host.server.close()
            for client in (first, second):
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
        with forward.client() as waiting:
            waiting.sendall(b"early")
            _await(lambda: any("failed" in line for line in forward.words))
            host.server.restart()
            assert waiting.recv(5, socket.MSG_WAITALL) == b"early"
            assert _held_by_ssh_too() == 1


def test_the_end_of_what_the_far_end_sends_is_passed_on_and_ends_the_connection(direct: Direct) -> None:
    def end_first(far: socket.socket) -> None:
        far.sendall(bytes(3_000_003))
        far.shutdown(socket.SHUT_WR)
        far.recv(1)

    service = Service(end_first)
    with direct(service.port) as (forward, _host), forward.client() as client:
        with client.makefile("rb") as stream:
            assert stream.read() == bytes(3_000_003)
        # as with ssh -W; nobody is left to believe that it was heard
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            _send_until_refused(client)
        _await(lambda: forward.tally.read().active == 0)
        assert forward.tally.read().bytes_down == 3_000_003
    service.stop()


@handed
def test_what_moves_is_counted_while_it_does(direct: Direct, service: Service) -> None:
    with direct(service.port) as (forward, _host), forward.client() as client:
        client.sendall(b"12345")
        assert client.recv(5) == b"12345"

        def counted() -> bool:
            forward.transport.catch_up()
            counts = forward.tally.read()
            return (counts.bytes_up, counts.bytes_down) == (5, 5)

        _await(counted)


@handed
def test_a_client_that_resets_ends_its_connection_only(direct: Direct) -> None:
    ended = threading.Event()

    def pour(far: socket.socket) -> None:
        try:
            while True:
                far.sendall(bytes(1 << 16))
        finally:
            ended.set()

    service = Service(pour)
    with direct(service.port) as (forward, _host), forward.client() as other:
        with forward.client() as client:
            assert client.recv(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert ended.wait(SECONDS)
        _await(lambda: forward.tally.read().active == 1)
        with other.makefile("rb") as stream:
            assert stream.read(1 << 23) == bytes(1 << 23)
    service.stop()


@handed
def test_who_is_not_answered_in_time_is_reset(direct: Direct) -> None:
    with contextlib.ExitStack() as full:
        deaf = full.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = deaf.getsockname()[1]
        for _each in range(2):  # the kernel drops what comes then
            filler = full.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with direct(port, connect_timeout=0.3) as (forward, _host), forward.client() as client:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            _await(lambda: "did not answer in time" in str(forward.tally.read().last_error))


@pytest.mark.parametrize("left", [0, 1])
def test_who_runs_short_of_descriptors_leaves_none_behind(
    direct: Direct, service: Service, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    with contextlib.ExitStack() as stack:
        forward, _host = stack.enter_context(direct(service.port))
        client = stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        given, pipe2 = _opened(client.fileno()), os.pipe2
        made: list[str] = []

        def scarce(flags: int) -> tuple[int, int]:
            if len(made) == left:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            ends = pipe2(flags)
            made.append(_opened(ends[0]))
            return ends

        def refused(*_what: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(os, "pipe2", scarce)
        monkeypatch.setattr(forward.transport._master, "connection", refused)
        with pytest.raises(OSError, match="Too many open files"):
            forward.transport.connect(forward.spec.ports[0], time.monotonic() + SECONDS, client)
        monkeypatch.undo()
        open_now = [_opened(number) for number in _numbers()]  # others open and close meanwhile: not how many there are
        assert not set(made).intersection(open_now)
        assert open_now.count(given) == 1


def test_an_ssh_that_is_killed_resets_its_clients(direct: Direct, service: Service) -> None:
    with direct(service.port) as (forward, _host), forward.client() as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        (ssh,) = [pid for pid in children_of(os.getpid()) if " -N " in command_of(pid)]
        os.kill(ssh, signal.SIGKILL)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_bytes_go_both_ways_from_a_port_of_the_far_end(ssh_host: Hosts, service: Service) -> None:
    data = os.urandom(3_000_003)
    with forwarded(ssh_host(), remote(service.port)) as forward:
        assert forward.port() > 0
        with forward.client() as client:
            assert _exchange(client, data) == data
        counts = forward.tally.read()
        assert (counts.bytes_up, counts.bytes_down) == (len(data), len(data))


def test_many_connections_one_after_another_and_at_once_are_all_served(ssh_host: Hosts, service: Service) -> None:
    with forwarded(ssh_host(), local(service.port)) as forward:
        before = _descriptors()
        for number in range(100):
            with forward.client() as client:
                assert _exchange(client, b"%d" % number) == b"%d" % number
        answers: dict[int, bytes] = {}

        def one(number: int) -> None:
            with forward.client() as client:
                answers[number] = _exchange(client, b"%d" % number * 1000)

        threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert answers == {number: b"%d" % number * 1000 for number in range(200)}
        assert forward.transport.restarts == 0
        _await(lambda: forward.tally.read().active == 0)
        assert _descriptors() <= before + 5


@pytest.mark.parametrize("far", [False, True], ids=["local", "remote"])
def test_a_connection_waits_until_what_it_is_for_is_there(ssh_host: Hosts, service: Service, far: bool) -> None:
    spec = remote(service.port) if far else local(service.port)
    with forwarded(ssh_host(), spec) as forward:
        service.stop()
        with forward.client() as waiting:
            waiting.sendall(b"early")
            _await(lambda: forward.tally.read().last_error)
            assert "Connection refused" in str(forward.tally.read().last_error)
            service.start()
            waiting.shutdown(socket.SHUT_WR)
            assert waiting.recv(100) == b"early"
        assert forward.transport.restarts == 0


def test_a_refused_connection_harms_no_other(ssh_host: Hosts, service: Service) -> None:
    with forwarded(ssh_host(), local(service.port, connect_timeout=0.3)) as forward, forward.client() as other:
        other.sendall(b"a")
        assert other.recv(1) == b"a"
        kept = service.forget()
        service.stop()
        with forward.client() as refused, pytest.raises(ConnectionResetError):
            refused.recv(1)
        other.sendall(b"b")
        assert other.recv(1) == b"b"
        assert len(kept) == 1


@pytest.mark.parametrize(
    ("target", "port", "error", "says"),
    [
        ("127.0.0.1", 1, Unavailable, "Connection refused"),
        ("no-such-host.invalid", 80, ForwardError, "Name or service not known"),
    ],
)
def test_what_the_far_end_says_is_said(
    ssh_host: Hosts, target: str, port: int, error: type[Exception], says: str
) -> None:
    with forwarded(ssh_host(), local(port, target)) as forward:
        with pytest.raises(error, match=says) as caught:
            forward.transport.connect(forward.spec.ports[0], time.monotonic() + 5)
        assert f"{target}:{port}" in str(caught.value)


def test_a_server_that_forbids_forwarding_is_named(ssh_host: Hosts, service: Service) -> None:
    with (
        forwarded(ssh_host(config=["AllowTcpForwarding no"]), local(service.port)) as forward,
        pytest.raises(ForwardError, match="AllowTcpForwarding"),
    ):
        forward.transport.connect(forward.spec.ports[0], time.monotonic() + 5)


def test_the_server_cutting_the_connection_resets_clients_and_the_next_one_is_served(
    direct: Direct, service: Service
) -> None:
    with direct(service.port) as (forward, host):
        with forward.client() as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            host.server.kill_sessions()
            # never the end of data where there may be more
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with forward.client() as client:
            assert _exchange(client, b"again") == b"again"
        assert forward.transport.restarts == 1


def test_a_server_that_is_away_for_a_while_is_waited_for(ssh_host: Hosts, service: Service) -> None:
    host = ssh_host()
    with forwarded(host, local(service.port)) as forward:
        host.server.close()
        with forward.client() as client:
            _await(lambda: any("failed" in line for line in forward.words))
            host.server.restart()
            assert _exchange(client, b"still here") == b"still here"


def test_a_far_port_is_the_same_after_the_connection_was_lost(ssh_host: Hosts, service: Service) -> None:
    host = ssh_host()
    with forwarded(host, remote(service.port)) as forward:
        port = forward.port()
        host.server.kill_sessions()
        _await(lambda: forward.transport.restarts == 1)
        assert forward.port() == port
        with forward.client() as client:
            assert _exchange(client, b"again") == b"again"


def test_a_far_port_beyond_loopback_has_to_be_allowed_by_the_server(ssh_host: Hosts, service: Service) -> None:
    with (
        pytest.raises(ForwardError, match="GatewayPorts clientspecified"),
        forwarded(ssh_host(), remote(service.port, bind="0.0.0.0")),
    ):
        pass
    host = ssh_host(config=["GatewayPorts clientspecified"])
    with forwarded(host, remote(service.port, bind="0.0.0.0")) as forward, forward.client() as client:
        assert _exchange(client, b"x") == b"x"


def test_a_far_port_that_is_taken_is_told(ssh_host: Hosts, service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        # where only 127.0.0.1 is taken sshd listens on ::1, and says it is fine
        with pytest.raises(ForwardError, match=f"port {port}"), forwarded(ssh_host(), remote(service.port, port)):
            pass


def test_a_login_that_fails_is_told_at_once(ssh_host: Hosts, service: Service) -> None:
    host = ssh_host()
    forward = SshForward(host, local(service.port), login_to(host, destination="nobody@127.0.0.1"))
    try:
        with pytest.raises(ForwardError, match="refused the login"):
            forward.open()
    finally:
        forward.close()


def test_a_password_reaches_ssh_and_nothing_that_others_see(ssh_host: Hosts, service: Service) -> None:
    host = ssh_host(password="pass word 'x'")
    with forwarded(host, local(service.port)) as forward:
        with forward.client() as client:
            assert _exchange(client, b"x") == b"x"
        for pid in children_of(os.getpid()):
            for what in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    assert b"pass word" not in Path(f"/proc/{pid}/{what}").read_bytes()
        assert not any("pass word" in line for line in forward.words)


def test_ssh_ends_with_a_supervisor_that_is_killed(ssh_host: Hosts, service: Service) -> None:
    host = ssh_host()
    program = (
        "import json, sys, time\n"
        "from integration.forwarding import SshForward, SshLogin, local\n"
        "given = json.load(sys.stdin)\n"
        "forward = SshForward(None, local(given['port']), SshLogin.of(given['login'])).open()\n"
        "print(forward.port(), flush=True)\n"
        "time.sleep(600)\n"
    )
    given = json.dumps({"port": service.port, "login": login_to(host).parameters()})
    places = (os.environ.get("MANIFOLD_COLLECTIONS_PATH"), os.environ.get("PYTHONPATH"))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(given)
        process.stdin.close()
        port = int(process.stdout.readline())
        children = [pid for pid in children_of(process.pid) if "ssh" in command_of(pid)]
        assert children
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            process.send_signal(signal.SIGKILL)
            assert await_exit(children, SECONDS) == []
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    # what it left on disk goes with the next
    with forwarded(host, local(service.port)):
        pass


def test_a_play_forwards_both_ways_by_a_context(ssh_host: Hosts, inventory: Inventories, service: Service) -> None:
    host = ssh_host()
    made = inventory(host)
    far = {"name": "far", "context": host.name, "direction": "remote", "ports": [f"0:{service.port}"]}
    near = {"name": "near", "context": host.name, "target": "127.0.0.1", "ports": [f":{service.port}"]}
    again = {"name": "again", **_forward("near", near)}
    tasks: list[dict[str, Any]] = [
        {"name": "near", **_forward("near", near)},
        {"name": "far", **_forward("far", far)},
        again,
        {
            "name": "reach both",
            "ansible.builtin.wait_for": {"host": "127.0.0.1", "port": "{{ item }}", "timeout": 5},
            "loop": ["{{ near.ports[0].listen }}", "{{ far.ports[0].listen }}"],
        },
        {"name": "stop", "manifold.core.port_forward": {"name": "near", "state": "absent"}},
        {"name": "info", "manifold.core.port_forward_info": {}},
    ]
    state = made.directory / "state"
    result = made.run_playbook([play(*tasks)], env={"XDG_STATE_HOME": str(state)}).check()
    assert result.task("near").result["changed"]
    assert not result.task("again").result["changed"]
    assert [each["name"] for each in result.task("info").result["forwards"]] == ["far"]
    assert_no_traceback(result)
    # the other one ended with the play
    port = result.task("far").result["ports"][0]["listen"]
    _await(lambda: _is_closed(port))


def test_a_context_is_reached_by_a_forward_under_its_own_host_key(ssh_host: Hosts, inventory: Inventories) -> None:
    gate, inner = ssh_host("gate"), ssh_host("inner")
    variables = inner.inventory_vars()
    content = {
        "type": "ssh",
        "host": inner.host,
        "port": inner.port,
        "user": inner.user,
        "forward": "to-inner",
        "key": str(inner.key_path),
        "vars": {"ansible_ssh_common_args": variables["ansible_ssh_common_args"]},
    }
    outer = {**content, "port": gate.port, "user": gate.user, "key": str(gate.key_path)}
    outer["vars"] = {"ansible_ssh_common_args": gate.inventory_vars()["ansible_ssh_common_args"]}
    del outer["forward"]
    text = yaml.safe_dump({"plugin": "manifold.core.contexts", "contexts": {"gate": outer, "inner": content}})
    made = inventory(text=text, filename="contexts.yml")
    (made.directory / "sent").write_text("by transfer")
    options = {"name": "to-inner", "context": "gate", "target": inner.host, "ports": [f":{inner.port}"]}
    before = pipeline("before", {"name": "a", "context": "inner", "command": "true"})
    tasks: list[dict[str, Any]] = [
        before,
        {"name": "forward", "manifold.core.port_forward": options},
        pipeline("by pipeline", {"name": "a", "context": "inner", "command": "echo $HOME"}),
        {
            "name": "by transfer",
            "manifold.core.transfer": {"src": f"local:{made.directory}/sent", "dest": f"inner:{inner.data}/"},
        },
        {"name": "info", "manifold.core.port_forward_info": {}},
    ]
    state = made.directory / "state"
    result = made.run_playbook([play(*tasks)], env={"XDG_STATE_HOME": str(state)}).check()
    assert "forward 'to-inner': it does not run" in one_line(result.task("before").result["msg"])
    assert result.task("by pipeline").result["stdout"].strip() == str(inner.data)
    assert (inner.data / "sent").read_text() == "by transfer"
    (told,) = result.task("info").result["forwards"]
    assert told["connections"] >= 1
    assert_no_traceback(result)


def _send_until_refused(client: socket.socket) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        client.sendall(b"more")
        time.sleep(0.01)


def _forward(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    return {"manifold.core.port_forward": options, "register": name}


def _is_closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _await(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for what another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _held_by_ssh_too() -> int:
    """Return how many of the sockets of this process its ssh has, too."""
    (ssh,) = [pid for pid in children_of(os.getpid()) if " -N " in command_of(pid)]
    held = set()
    for each in Path(f"/proc/{ssh}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.add(str(each.readlink()))
    return sum(_opened(number) in held for number in _numbers() if "socket:" in _opened(number))


def _descriptors() -> int:
    return len(_numbers())


def _numbers() -> list[int]:
    return [int(each.name) for each in Path("/proc/self/fd").iterdir()]


def _opened(number: int) -> str:
    """Return what a descriptor is open for, as a pipe or a socket of a number; nothing if it is not open."""
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/self/fd/{number}").readlink())
    return ""
