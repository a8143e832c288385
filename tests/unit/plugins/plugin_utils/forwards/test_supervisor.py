# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A supervisor is a real process here; only its way to the far end is the test's own."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _control, _start
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import Lifetime, PortPair

from unit.forwards import Echo, Forwards, ask, is_open
from unit.support import PATIENCE, ends, processes_with

pytest_plugins = ("unit.forwards",)

SECRET = "s3cret-of-the-transport"


def await_(condition: object, what: str) -> None:
    """Wait for what no event tells."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


# -- bytes -------------------------------------------------------------------------------------------------------------


def test_bytes_go_both_ways_and_each_end_is_passed_on(forwards: Forwards) -> None:
    """The echo server says its last word only once it was told the end, which leaves the other direction open."""
    status = forwards.start()
    data = os.urandom(3 << 20)
    assert ask(status.ports[0].listen, data) == data + Echo.LAST
    await_(lambda: forwards.find().active == 0, "the connection to be over")
    found = forwards.find()
    assert (found.connections, found.bytes_up, found.bytes_down) == (1, len(data), len(data) + len(Echo.LAST))
    assert found.state == "ready" and found.pid == status.pid and found.last_error is None


def test_many_connections_leave_memory_and_descriptors_as_they_were(forwards: Forwards) -> None:
    status = forwards.start()
    port = status.ports[0].listen

    def footprint() -> tuple[int, int]:
        fds = sum(1 for _fd in Path(f"/proc/{status.pid}/fd").iterdir())
        resident = int(Path(f"/proc/{status.pid}/statm").read_text().split()[1]) * resource.getpagesize()
        return fds, resident

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(lambda _: ask(port), range(200))) == {b"hello" + Echo.LAST}
        await_(lambda: forwards.find().active == 0, "all to be over")
        fds, resident = footprint()
        assert set(pool.map(lambda _: ask(port), range(400))) == {b"hello" + Echo.LAST}
    await_(lambda: forwards.find().active == 0, "all to be over")
    await_(lambda: footprint()[0] <= fds, "the descriptors to be closed")
    assert footprint()[1] < resident + (8 << 20)
    assert forwards.find().connections == 600


def test_several_ports_lead_to_their_own_targets(forwards: Forwards) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = (PortPair(0, forwards.echo.port), PortPair(0, other.getsockname()[1]))
        status = forwards.start(ports=ports)
        other.accept()[0].close()  # that which proves it
        with socket.create_connection(("127.0.0.1", status.ports[1].listen), timeout=PATIENCE) as client:
            arrived, _address = other.accept()
            arrived.sendall(b"other")
            assert client.recv(5) == b"other"
            arrived.close()
        assert ask(status.ports[0].listen) == b"hello" + Echo.LAST


def test_a_broken_client_harms_no_other(forwards: Forwards) -> None:
    port = forwards.start().ports[0].listen
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as patient:
        patient.sendall(b"before")
        assert patient.recv(6) == b"before"
        for _each in range(20):
            broken = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            broken.sendall(b"x" * 100_000)
            broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            broken.close()
        patient.sendall(b"after")
        assert patient.recv(5) == b"after"
    await_(lambda: forwards.find().active == 0, "the broken ones to be over")


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_connections_wait_for_a_far_end_that_is_away(forwards: Forwards, tmp_path: Path) -> None:
    away = tmp_path / "away"
    port = forwards.start(way={"refuse": str(away)}).ports[0].listen
    away.write_text("the pod is being replaced")
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(ask, port) for _each in range(5)]
        await_(lambda: forwards.find().state == "waiting", "them to wait")
        assert forwards.find().last_error == "the pod is being replaced"
        assert not any(answer.done() for answer in answers)
        away.unlink()
        assert {answer.result(PATIENCE) for answer in answers} == {b"hello" + Echo.LAST}
    assert forwards.find().state == "ready"


def test_who_waited_in_vain_is_reset_and_not_closed(forwards: Forwards, tmp_path: Path) -> None:
    away = tmp_path / "away"
    status = forwards.start(way={"refuse": str(away)}, connect_timeout=0.2)
    away.write_text("nobody is there")
    # it has sent nothing: the kernel would reset one whose data nobody read, whatever we do
    with (
        socket.create_connection(("127.0.0.1", status.ports[0].listen), timeout=PATIENCE) as client,
        pytest.raises(ConnectionResetError),
    ):
        client.recv(1)
    assert "nobody is there" in Path(status.log).read_text()
    away.unlink()
    assert ask(status.ports[0].listen) == b"hello" + Echo.LAST


@pytest.mark.parametrize("waits", [False, True], ids=["served", "waiting"])
@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_the_end_of_a_forward_resets_its_clients(forwards: Forwards, tmp_path: Path, waits: bool, killed: bool) -> None:
    refuse = tmp_path / "refuse"
    status = forwards.start(way={"refuse": str(refuse)})
    if waits:
        refuse.write_text("nobody is there")
    with socket.create_connection(("127.0.0.1", status.ports[0].listen), timeout=PATIENCE) as client:
        client.sendall(b"x")
        if not waits:
            assert client.recv(1) == b"x"
        await_(lambda: forwards.find().active == 1, "nobody took it")
        if killed:
            os.kill(status.pid, signal.SIGKILL)
        else:
            _start.stop(forwards.folder, "fw")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_connections_wait_while_there_are_no_descriptors_and_nothing_spins(forwards: Forwards) -> None:
    """It was left 110 of them: 15 connections of three each may be at a time, and the others wait in the queue."""
    owner = forwards.owner()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (110, 110));"
        "import unit.plugins.plugin_utils.forwards.starter as s; s.main()"
    )
    job = forwards.job(owner).encode()
    done = subprocess.run(
        [sys.executable, "-c", script], input=job, capture_output=True, pass_fds=[owner.fd], check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    port = int(json.loads(done.stdout)["ports"][0]["listen"])
    idle = [socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) for _each in range(40)]
    await_(lambda: forwards.find().active == 15, "as many as can be to be taken")
    # one that spins is always running, or would be if it were its turn
    assert _share_running(forwards.find().pid) < 0.5
    for client in idle:
        client.close()
    assert ask(port) == b"hello" + Echo.LAST
    await_(lambda: forwards.find().active == 0, "all to be over")
    assert forwards.find().connections == 41
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def _share_running(pid: int) -> float:
    """Look at a process many times; return the share in which it ran or wanted to."""
    states = []
    for _each in range(60):
        time.sleep(0.005)
        states.append(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
    return states.count("R") / len(states)


def test_a_transport_that_is_short_of_descriptors_is_tried_again(forwards: Forwards, tmp_path: Path) -> None:
    short = tmp_path / "short"
    port = forwards.start(way={"short": str(short)}).ports[0].listen
    short.touch()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, port)
        await_(lambda: forwards.find().state == "waiting", "it to wait")
        short.unlink()
        assert answer.result(PATIENCE) == b"hello" + Echo.LAST


# -- the end -----------------------------------------------------------------------------------------------------------


def test_it_ends_with_its_last_owner(forwards: Forwards) -> None:
    first, second = forwards.owner(), forwards.owner()
    status = forwards.start(first)
    again = _start.ensure(forwards.folder, forwards.job(second))
    assert not again.changed and again.status.pid == status.pid and again.status.owners == 2
    first.kill()
    await_(lambda: forwards.find().owners == 1, "one owner to be gone")
    assert ask(status.ports[0].listen) == b"hello" + Echo.LAST
    second.kill()
    assert ends(status.pid)
    assert not is_open(status.ports[0].listen)
    assert forwards.files() == []


def test_an_owner_that_asks_again_is_the_same_one(forwards: Forwards) -> None:
    owner = forwards.owner()
    forwards.start(owner)
    for _each in range(5):
        assert forwards.start(owner).owners == 1


def test_the_time_of_a_persistent_one_is_up(forwards: Forwards) -> None:
    job = forwards.job(lifetime=Lifetime.PERSISTENT, ttl=0.5)
    status = _start.ensure(forwards.folder, job).status
    assert status.expires is not None and status.owners == 0
    assert ends(status.pid)
    assert not is_open(status.ports[0].listen)
    assert forwards.files() == []


def test_a_persistent_one_outlives_the_plays_that_ask_for_it(forwards: Forwards) -> None:
    owner = forwards.owner()
    status = forwards.start(owner)
    longer = _start.ensure(forwards.folder, forwards.job(lifetime=Lifetime.PERSISTENT))
    assert longer.changed and longer.status.pid == status.pid and longer.status.lifetime == "persistent"
    assert not _start.ensure(forwards.folder, forwards.job(lifetime=Lifetime.PERSISTENT)).changed
    owner.kill()
    await_(lambda: forwards.find().owners == 0, "the owner to be gone")
    assert ask(status.ports[0].listen) == b"hello" + Echo.LAST


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_all_that_it_started(forwards: Forwards, tmp_path: Path, number: signal.Signals) -> None:
    status = forwards.start(way={"child": str(tmp_path / "child")})
    child = int((tmp_path / "child").read_text())
    with socket.create_connection(("127.0.0.1", status.ports[0].listen), timeout=PATIENCE) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        os.kill(status.pid, number)
        assert ends(status.pid)
        assert ends(child)
    assert forwards.files() == []
    assert f"signal {number.name}" in Path(status.log).read_text()


def test_when_stopping_returns_nothing_of_it_is_left(forwards: Forwards, tmp_path: Path) -> None:
    status = forwards.start(way={"child": str(tmp_path / "child")})
    stopped = _start.stop(forwards.folder, "fw")
    assert stopped is not None and stopped.pid == status.pid
    assert not is_open(status.ports[0].listen)
    assert not Path(f"/proc/{(tmp_path / 'child').read_text()}").exists()
    assert forwards.files() == []
    assert _start.stop(forwards.folder, "fw") is None


def test_one_that_was_killed_is_cleaned_up_by_the_next(forwards: Forwards) -> None:
    status = forwards.start()
    os.kill(status.pid, signal.SIGKILL)
    assert ends(status.pid)
    assert not is_open(status.ports[0].listen)
    assert _start.find(forwards.folder, "fw") is None
    again = forwards.start()
    assert again.pid != status.pid
    assert ask(again.ports[0].listen) == b"hello" + Echo.LAST
    os.kill(again.pid, signal.SIGKILL)
    assert ends(again.pid)
    assert _start.stop(forwards.folder, "other") is None
    assert forwards.files() == []


def test_who_wants_another_one_does_not_become_an_owner(forwards: Forwards) -> None:
    forwards.start()
    other = {"do": "own", "identity": "another", "lifetime": "persistent", "ttl": None, "connect_timeout": 1}
    with _control.Conversation(forwards.folder.socket_of("fw")) as supervisor:
        assert not supervisor.ask(other, [forwards.owner().fd]).values["taken"]
    assert (forwards.find().owners, forwards.find().lifetime) == (1, "play")


# -- beginning ---------------------------------------------------------------------------------------------------------


def test_two_who_start_it_at_once_share_one(forwards: Forwards) -> None:
    jobs = [forwards.job(forwards.owner()) for _each in range(4)]
    with ThreadPoolExecutor(4) as pool:
        outcomes = [*pool.map(lambda job: _start.ensure(forwards.folder, job), jobs)]
    assert len({outcome.status.pid for outcome in outcomes}) == 1
    assert sorted(outcome.changed for outcome in outcomes) == [False, False, False, True]
    assert forwards.find().owners == 4


@pytest.mark.parametrize("change", ["place", "ports", "restart"])
def test_another_one_of_that_name_is_replaced_and_lives_for_all_that_asked(forwards: Forwards, change: str) -> None:
    first, second = forwards.owner(), forwards.owner()
    before = forwards.start(first)
    job = forwards.job(second)
    if change == "place":
        job = forwards.job(second, place="elsewhere")
    elif change == "ports":
        job = forwards.job(second, ports=(PortPair(0, forwards.echo.port), PortPair(0, forwards.echo.port)))
    outcome = _start.ensure(forwards.folder, job, restart=change == "restart")
    assert outcome.changed and outcome.before is not None and outcome.before.pid == before.pid
    assert outcome.status.pid != before.pid and outcome.status.owners == 2
    assert ends(before.pid)
    second.kill()
    await_(lambda: forwards.find().owners == 1, "the second owner to be gone")
    assert ask(outcome.status.ports[0].listen) == b"hello" + Echo.LAST
    first.kill()
    assert ends(outcome.status.pid)


def test_a_port_that_is_taken_is_said_by_whom(forwards: Forwards) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ForwardError, match=rf"127\.0\.0\.1:{port} is taken by .+ \(process {os.getpid()}\)"):
            forwards.start(ports=(PortPair(0, forwards.echo.port), PortPair(port, forwards.echo.port)))
    assert forwards.files() == []
    listen = forwards.start().ports[0].listen
    with pytest.raises(ForwardError, match=r"is taken by the forward 'fw' \(process \d+\)"):
        forwards.start(name="other", ports=(PortPair(listen, 1),))


@pytest.mark.parametrize(
    ("way", "changes", "says"),
    [
        ({"hopeless": "service/x does not exist"}, {}, "forward 'fw' to 127.0.0.1: service/x does not exist"),
        ({"refuse": "{reason}"}, {"wait_timeout": 0.3}, "not ready within 0.3 seconds (wait_timeout): no pod is ready"),
        ({}, {"wait_timeout": 0.3, "ports": (PortPair(0, 1),)}, "port 1 of 127.0.0.1 refuses connections"),
        ({}, {"bind": "192.0.2.1"}, "bind: 192.0.2.1 is no address of this machine"),
        ({"child": "/nowhere/at/all"}, {}, "FileNotFoundError"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(
    forwards: Forwards, tmp_path: Path, way: dict[str, str], changes: dict[str, object], says: str
) -> None:
    reason = tmp_path / "reason"
    reason.write_text("no pod is ready")
    with pytest.raises(ForwardError) as caught:
        forwards.start(way={key: value.format(reason=reason) for key, value in way.items()}, **changes)
    assert says in str(caught.value)
    assert forwards.files() == []


def test_one_that_nobody_waits_for_any_more_does_not_start(forwards: Forwards, tmp_path: Path) -> None:
    """The task is killed while the far end is waited for; the play itself lives on."""
    reason = tmp_path / "reason"
    reason.write_text("no pod is ready")
    owner = forwards.owner()
    script = "import unit.plugins.plugin_utils.forwards.starter as s; s.main()"
    task = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, pass_fds=[owner.fd])
    assert task.stdin is not None
    task.stdin.write(forwards.job(owner, way={"refuse": str(reason)}, wait_timeout=10 * PATIENCE).encode())
    task.stdin.close()
    await_(lambda: forwards.folder.names() == ["fw"] and _start.find(forwards.folder, "fw"), "it to start")
    starting = forwards.find()
    assert starting.state == "starting"
    task.kill()
    task.wait()
    assert ends(starting.pid)
    forwards.folder.sweep()
    assert forwards.files() == []


def test_its_secrets_stand_nowhere(forwards: Forwards) -> None:
    status = forwards.start(way={"secret": SECRET})
    assert status.pid not in processes_with(SECRET)
    for path in forwards.folder.path.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        if path.is_file():
            assert SECRET not in path.read_text()
    assert forwards.folder.path.stat().st_mode & 0o777 == 0o700


def test_it_is_nobodys_child_and_holds_no_pipe_of_the_task(forwards: Forwards) -> None:
    status = forwards.start()
    fields = Path(f"/proc/{status.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    assert os.getsid(status.pid) != os.getsid(0)
    assert {str(Path(f"/proc/{status.pid}/fd/{fd}").readlink()) for fd in (0, 1)} == {"/dev/null"}
    assert str(Path(f"/proc/{status.pid}/fd/2").readlink()) == status.log


def test_a_caller_that_says_nothing_or_nonsense_does_not_hold_it_up(forwards: Forwards) -> None:
    forwards.start()
    path = str(forwards.folder.socket_of("fw"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        here = Path.cwd()
        os.chdir(forwards.folder.path)  # its whole path may be too long for an address
        try:
            silent.connect(Path(path).name)
            for nonsense in (b"no JSON", b"[1]", b"null"):
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wrong:
                    wrong.connect(Path(path).name)
                    wrong.send(nonsense)
                    assert wrong.recv(10) == b""
        finally:
            os.chdir(here)
        assert forwards.find().state == "ready"
