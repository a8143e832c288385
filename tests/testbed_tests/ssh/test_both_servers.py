# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real ssh client sees of both SSH servers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from testbed.fixtures import ON_BOTH_TIERS
from testbed.processes import await_exit
from testbed.ssh.host import SshHost
from testbed.ssh.masters import close_masters

pytestmark = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
Hosts = Callable[..., SshHost]
SIZE = 100_000_000


@pytest.fixture
def host(tier: object, ssh_host: Hosts) -> SshHost:  # noqa: ARG001  # its marks choose the server
    """A host of the tier."""
    return ssh_host("alpha")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file that does not compress, and neither is a multiple of any block."""
    path = tmp_path_factory.mktemp("noise") / "noise"
    block = os.urandom(1 << 20)
    with path.open("wb") as stream:
        for number in range(SIZE // len(block)):
            stream.write(number.to_bytes(8, "big") + block[8:])
        stream.write(block[: SIZE % len(block)])
    yield path
    path.unlink()


@contextlib.contextmanager
def killed_at_last(client: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a client also where a failed test leaves it running."""
    with client:
        try:
            yield client
        finally:
            client.kill()


def begun(host: SshHost, command: str, *options: str, first: str = ":") -> subprocess.Popen[bytes]:
    """Start a command on the host and return when it says, through a FIFO, that it has begun."""
    os.mkfifo(host.data / "begun")
    script = f"{first}; echo $$ > {host.data}/begun; {command}"
    client = subprocess.Popen(
        [*host.ssh_argv(*options), script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert (host.data / "begun").read_text().strip().isdigit()
    return client


def test_stdout_stderr_and_exit_status_are_apart(host: SshHost) -> None:
    done = host.run("echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")


def test_home_is_the_data_folder(host: SshHost) -> None:
    assert host.run("cd && pwd").stdout.decode().strip() == str(host.data)


def test_end_of_input_reaches_the_command_and_its_last_bytes_come_back(host: SshHost) -> None:
    assert host.run("cat; echo end", stdin=b"in\0put").stdout == b"in\0putend\n"


def test_a_command_that_reads_nothing_ends_although_much_is_sent(host: SshHost) -> None:
    assert host.run("exit 3", stdin=bytes(20_000_000)).returncode == 3


def test_a_lost_client_hangs_up_its_terminal(host: SshHost) -> None:
    os.mkfifo(host.data / "hung-up")
    # a second signal, from the terminal itself, would interrupt the opening of the FIFO
    trap = f"trap 'trap \"\" HUP; echo hung-up > {host.data}/hung-up; exit' HUP"
    client = begun(host, "while :; do sleep 0.1; done", "-tt", first=trap)
    client.kill()
    assert (host.data / "hung-up").read_text() == "hung-up\n"
    client.communicate()


def test_a_command_killed_by_a_signal_is_not_a_success(host: SshHost) -> None:
    assert host.run("kill -9 $$").returncode == 255


def test_a_missing_command_is_said_as_by_a_shell(host: SshHost) -> None:
    done = host.run("no-such-command-here")
    assert done.returncode == 127
    assert b"not found" in done.stderr


def test_a_terminal_is_given_where_one_is_asked_for(host: SshHost) -> None:
    argv = [*host.ssh_argv("-tt"), "tty && exit 4"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 4
    assert done.stdout.startswith(b"/dev/")


def test_100_mb_arrive_unharmed_on_the_host(host: SshHost, noise: Path) -> None:
    with noise.open("rb") as stream:
        done = subprocess.run(
            [*host.ssh_argv(), "sha256sum"], stdin=stream, capture_output=True, timeout=120, check=True
        )
    assert done.stdout.split()[0].decode() == sha256(noise)


def test_100_mb_arrive_unharmed_from_the_host(host: SshHost, noise: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with target.open("wb") as stream:
        subprocess.run(
            [*host.ssh_argv(), f"cat {noise}" if host.user == "root" else "cat noise"],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            timeout=120,
            check=True,
        )
    assert sha256(target) == sha256(noise)


def test_100_mb_go_both_ways_at_once(host: SshHost, noise: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with noise.open("rb") as source, target.open("wb") as sink:
        subprocess.run([*host.ssh_argv(), "cat"], stdin=source, stdout=sink, timeout=120, check=True)
    assert sha256(target) == sha256(noise)


def test_a_master_carries_several_channels_at_once(host: SshHost, tmp_path: Path) -> None:
    control = ["-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]
    first = subprocess.run([*host.ssh_argv(*control), "true"], stderr=subprocess.DEVNULL, timeout=60, check=True)
    assert first.returncode == 0

    def channel(number: int) -> tuple[int, int]:
        argv = [*host.ssh_argv(*control), f"cat; exit {number}"]
        data = bytes([number]) * 3_000_000
        done = subprocess.run(argv, input=data, capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout.count(number)

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(channel, range(1, 7)))
    assert outcomes == [(number, 3_000_000) for number in range(1, 7)]
    close_masters(tmp_path)
    assert not (tmp_path / "c").exists()


def test_the_end_of_a_command_whose_client_is_lost_is_not_that_of_the_next_one(host: SshHost, tmp_path: Path) -> None:
    control = ["-o", f"ControlPath={tmp_path}/c", "-o", "ControlMaster=auto", "-o", "ControlPersist=60"]

    def ask() -> None:
        subprocess.run([*host.ssh_argv(*control), "true"], stderr=subprocess.DEVNULL, timeout=60, check=True)

    ask()
    os.mkfifo(host.data / "go")
    with killed_at_last(begun(host, f"cat {host.data}/go; exit 7", *control, first=f"echo $$ > {host.data}/number")):
        pass
    (host.data / "begun").unlink()
    ask()  # that it is lost is known by now
    with killed_at_last(begun(host, "cat; exit 8", *control)) as client:
        (host.data / "go").write_text("")
        await_exit([int((host.data / "number").read_text())], 30)
        ask()
        out, _err = client.communicate(b"all of it", timeout=30)
    assert (client.returncode, out) == (8, b"all of it")
    close_masters(tmp_path)


def test_a_jump_through_the_host_reaches_another(host: SshHost, ssh_host: Hosts) -> None:
    beyond = ssh_host("beyond")
    jump = " ".join(host.ssh_argv("-W", "%h:%p"))
    argv = [*beyond.ssh_argv("-o", f"ProxyCommand={jump}"), "echo beyond; exit 5"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (5, b"beyond\n")


def test_sftp_moves_a_file_both_ways(host: SshHost, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(os.urandom(3_000_001))
    batch = f"put {tmp_path}/source sent\nrename sent there\nget there {tmp_path}/back\nmkdir d\nrmdir d\n"
    argv = ["sftp", "-b", "-", *host.isolation(), "-i", str(host.key_path), "-P", str(host.port)]
    subprocess.run(
        [*argv, f"{host.user}@{host.host}"],
        input=batch.encode(),
        stdout=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    assert (tmp_path / "back").read_bytes() == (tmp_path / "source").read_bytes()
    assert (host.data / "there").stat().st_size == 3_000_001


def test_a_key_that_is_not_authorized_is_refused(host: SshHost, ssh_host: Hosts) -> None:
    host.key_path = ssh_host("other").key_path
    done = host.run("true")
    assert done.returncode == 255
    assert b"Permission denied" in done.stderr


def test_a_lost_client_ends_the_input_of_its_command(host: SshHost) -> None:
    os.mkfifo(host.data / "ended")
    client = begun(host, f"cat; echo ended > {host.data}/ended")
    client.kill()
    assert (host.data / "ended").read_text() == "ended\n"
    client.communicate()


def test_a_lost_client_does_not_end_a_command_that_neither_reads_nor_writes(host: SshHost) -> None:
    os.mkfifo(host.data / "go")
    os.mkfifo(host.data / "survived")
    client = begun(host, f"cat {host.data}/go > /dev/null; echo yes > {host.data}/survived")
    client.kill()
    client.communicate()
    (host.data / "go").write_text("go")
    assert (host.data / "survived").read_text() == "yes\n"


def test_a_lost_client_breaks_the_pipe_of_a_command_that_writes(host: SshHost) -> None:
    os.mkfifo(host.data / "broken")
    client = begun(host, f"(trap '' PIPE; yes; echo broken > {host.data}/broken) 2> /dev/null")
    assert client.stdout is not None
    assert client.stdout.read(2) == b"y\n"
    client.kill()
    assert (host.data / "broken").read_text() == "broken\n"
    client.communicate()


def test_a_restart_cuts_sessions_and_serves_on_the_same_port(host: SshHost) -> None:
    client = begun(host, "exec sleep 1000")
    host.server.restart()
    client.communicate(timeout=30)
    assert client.returncode == 255
    assert host.run("echo again").stdout == b"again\n"


def test_kill_sessions_cuts_what_runs_and_goes_on_listening(host: SshHost) -> None:
    client = begun(host, "exec sleep 1000")
    host.server.kill_sessions()
    client.communicate(timeout=30)
    assert client.returncode == 255
    assert host.run("echo again").stdout == b"again\n"


def test_kill_sessions_ends_a_master_without_sessions(host: SshHost, tmp_path: Path) -> None:
    control = ["-o", f"ControlPath={tmp_path}/c", "-N", "-o", "ControlMaster=yes"]
    argv = host.ssh_argv(*control, "-v")
    with killed_at_last(subprocess.Popen(argv, stderr=subprocess.PIPE)) as master:
        assert master.stderr is not None
        assert any(b"Entering interactive session" in line for line in master.stderr)
        host.server.kill_sessions()
        master.communicate(timeout=30)
    assert master.returncode == 255


def test_close_leaves_no_process_behind(host: SshHost) -> None:
    for name in ("apart", "main"):
        os.mkfifo(host.data / name)
    apart = f"setsid sh -c 'echo $$ > {host.data}/apart; exec sleep 1000'"
    script = f"{apart} & echo $$ > {host.data}/main; exec sleep 1000"
    with killed_at_last(subprocess.Popen([*host.ssh_argv(), script], stderr=subprocess.PIPE)) as client:
        pids = [int((host.data / name).read_text()) for name in ("apart", "main")]
        assert await_exit(pids, 0.01) == pids
        host.server.close()
        assert await_exit(pids, 5) == []
        client.communicate(timeout=30)


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
