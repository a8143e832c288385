# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts import _ciphers, _ssh
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError, ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._ssh import SshCommand, SshContext, control_path

from unit.become import FakeBecome

OPTIONS = (b"-C", b"-o", b"ControlMaster=auto", b"-o", b"UserKnownHostsFile=/k1", b"-p", b"22", b"-o", b"User=me")

# An ssh that notes its arguments; ``-O check`` tells whether a master was started, ``-f`` starts one.
_SSH = """#!/bin/sh
for a; do printf '%s\\n' "$a"; done >>"$0.log"; echo -- >>"$0.log"
case "$*" in
*"-O check"*) [ -e "$0.up" ] ;;
*)
  cat "$0.says" >&2
  status=$(cat "$0.status")
  [ "$status" = 0 ] && touch "$0.up" $(cat "$0.socket")
  exit "$status" ;;
esac
"""


@pytest.fixture(autouse=True)
def _no_aes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask ssh for nothing but what these tests are about."""
    monkeypatch.setattr(_ciphers, "has_aes_instructions", lambda: False)


def _command(folder: Path, **changes: Any) -> SshCommand:
    made = SshCommand("ssh", (b"ssh", *OPTIONS), "db.example", str(folder / "cp"))
    return replace(made, **changes)


# -- the identity of a master ------------------------------------------------------------------------------------------


def test_one_command_line_has_one_master(tmp_path: Path) -> None:
    assert control_path(_command(tmp_path)) == control_path(_command(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": (b"ssh", *OPTIONS[:4], b"UserKnownHostsFile=/k2", *OPTIONS[5:])},
        {"argv": (b"ssh", *OPTIONS, b"-o", b"IdentityFile=/k")},
        {"argv": (b"ssh", *OPTIONS, b"-o", b"ProxyCommand=x")},
        {"argv": (b"ssh", *OPTIONS[:-1], b"User=you")},
        {"destination": "db2.example"},
        {"secret_digest": "abc"},
    ],
    ids=["known hosts", "key", "proxy", "user", "host", "password"],
)
def test_contexts_that_differ_do_not_share_a_master(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert control_path(_command(tmp_path, **changes)) != control_path(_command(tmp_path))


def test_another_agent_is_another_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/a")
    first = control_path(_command(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/b")
    assert control_path(_command(tmp_path)) != first


def test_the_words_of_a_command_line_are_told_apart(tmp_path: Path) -> None:
    joined = _command(tmp_path, argv=(b"ssh", b"-o ab"))
    parted = _command(tmp_path, argv=(b"ssh", b"-o", b" ab"))
    assert control_path(joined) != control_path(parted)


def test_how_sshpass_is_given_the_password_makes_no_other_master(tmp_path: Path) -> None:
    first = _command(tmp_path, argv=(b"sshpass", b"-d8", b"ssh", *OPTIONS), secret_digest="abc")
    second = replace(first, argv=(b"sshpass", b"-d11", b"ssh", *OPTIONS))
    assert control_path(first) == control_path(second)


def test_a_socket_fits_where_sockets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp/short")
    path = control_path(_command(tmp_path, control_directory=str(tmp_path / ("x" * 100))))
    try:
        assert path.parent == Path(f"/tmp/short/manifold-{os.getuid()}")
        assert len(str(path)) + 18 <= 104
    finally:
        path.parent.rmdir()
        path.parent.parent.rmdir()


def test_only_the_user_can_reach_the_sockets(tmp_path: Path) -> None:
    assert stat.S_IMODE(control_path(_command(tmp_path)).parent.stat().st_mode) == 0o700


# -- the command line --------------------------------------------------------------------------------------------------


def _context(*commands: SshCommand, become: FakeBecome | None = None) -> SshContext:
    waiting = list(commands)
    return SshContext("db", lambda: waiting.pop(0), become=become)


def test_our_options_come_before_those_that_they_override(tmp_path: Path) -> None:
    command = _command(tmp_path, env={"A": "b"})
    launch = _context(command).launch("echo " + os.fsdecode(b"\xff"))
    path = f"ControlPath={control_path(command)}".encode()
    ours = (b"-T", b"-e", b"none", b"-o", b"ControlMaster=no", b"-o", b"ControlPersist=no", b"-o", path)
    theirs = OPTIONS[1:]
    assert launch.argv == (b"ssh", *ours, b"-o", b"Compression=no", *theirs, b"db.example", b"echo \xff")
    assert launch.env == {"A": "b"}


def test_sshpass_stays_in_front(tmp_path: Path) -> None:
    closed: list[int] = []
    argv = (b"sshpass", b"-d7", b"ssh", *OPTIONS)
    command = _command(tmp_path, argv=argv, pass_fds=(7,), started=lambda: closed.append(7))
    launch = _context(command).launch("true")
    assert launch.argv[:4] == (b"sshpass", b"-d7", b"ssh", b"-T")
    assert launch.pass_fds == (7,)
    launch.started()
    assert closed == [7]


def test_a_stream_never_becomes_the_master_of_others(tmp_path: Path) -> None:
    words = _context(_command(tmp_path)).launch("true").argv
    assert words.index(b"ControlMaster=no") < words.index(b"ControlMaster=auto"), "ssh takes the first"
    assert b"-C" not in words


def test_a_command_may_run_as_another_user(tmp_path: Path) -> None:
    launch = _context(_command(tmp_path), become=FakeBecome("secret")).launch("cat")
    assert launch.dialog is not None and launch.dialog.user == "somebody"


def test_a_server_is_its_destination_and_port(tmp_path: Path) -> None:
    started = []

    def server(*options: bytes, destination: str = "db.example") -> str:
        command = _command(
            tmp_path, destination=destination, argv=(b"ssh", *options), started=lambda: started.append(1)
        )
        return SshContext("db", lambda: command).server

    assert server(b"-o", b"Port=22", b"-o", b"User=me") == server(b"-o", b"Port=22", b"-o", b"User=you")
    assert server(b"-o", b"Port=22") != server(b"-o", b"Port=2222")
    assert server() != server(destination="other.example")
    assert len(started) == 6, "what was made to start ssh with is closed again"


@pytest.mark.parametrize(
    ("secret", "become", "expected"),
    [("", None, 1), ("a password's digest", None, 0), ("", FakeBecome("pw"), 0)],
    ids=["nothing-secret", "password-of-the-login", "password-of-become"],
)
def test_a_single_launch_needs_no_master_and_spares_the_login_only_without_secrets(
    secret: str, become: FakeBecome | None, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ssh, "light_exchange_options", lambda *_words: ["-o", "KexAlgorithms=light"])
    context = SshContext("db", lambda: _command(tmp_path, secret_digest=secret), become=become)
    context.open_once()
    assert context.launch("true").argv.count(b"KexAlgorithms=light") == expected
    assert SshContext("db", lambda: _command(tmp_path)).launch("true").argv.count(b"KexAlgorithms=light") == 0


def test_what_launches_hold_is_freed_once(tmp_path: Path) -> None:
    freed: list[int] = []
    context = _context(*(_command(tmp_path, close=lambda n=n: freed.append(n)) for n in (1, 2)))
    context.launch("a")
    context.launch("b")
    assert not freed
    context.close()
    context.close()
    assert sorted(freed) == [1, 2]
    assert context.kind is ContextKind.SSH and context.counts_input


# -- the master --------------------------------------------------------------------------------------------------------


class _FakeSsh:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "ssh"
        self.path.write_text(_SSH)
        self.path.chmod(0o755)
        self.command = SshCommand(str(self.path), (os.fsencode(self.path), *OPTIONS), "db.example", str(folder / "cp"))
        self._write("socket", str(control_path(self.command)))
        self.answers(0, "")

    def _write(self, name: str, text: str) -> None:
        self.path.with_name(f"ssh.{name}").write_text(text)

    def answers(self, status: int, says: str) -> None:
        self._write("status", str(status))
        self._write("says", says)

    @property
    def runs(self) -> Sequence[list[str]]:
        text = self.path.with_name("ssh.log").read_text()
        return [run.split("\n")[:-1] for run in text.split("--\n")[:-1]]


@pytest.fixture
def ssh(tmp_path: Path) -> _FakeSsh:
    return _FakeSsh(tmp_path)


def test_a_master_is_started_and_found_again(ssh: _FakeSsh) -> None:
    started: list[str] = []
    command = replace(ssh.command, started=lambda: started.append("closed"))
    _context(command).open()
    _context(command).open()
    start, check = ssh.runs
    path = f"ControlPath={control_path(command)}"
    assert start[:5] == ["-T", "-f", "-N", "-o", "ControlMaster=yes"] and path in start
    assert start[-1] == "db.example"
    assert check[:2] == ["-O", "check"] and path in check and check[-1] == "db.example"
    assert started == ["closed", "closed"], "what was passed to ssh is closed each time"


def test_a_socket_without_a_master_is_replaced(ssh: _FakeSsh) -> None:
    control_path(ssh.command).touch()
    _context(ssh.command).open()
    check, start = ssh.runs
    assert "check" in check and "ControlMaster=yes" in start


def test_a_host_that_cannot_be_reached_is_told_with_what_to_do(ssh: _FakeSsh) -> None:
    ssh.answers(255, "Warning: something\r\nssh: connect to host db.example port 22: Connection refused\r\n")
    with pytest.raises(ContextError) as refused:
        _context(ssh.command).open()
    assert str(refused.value) == (
        "context 'db': connecting by SSH: ssh: connect to host db.example port 22: Connection refused. "
        "Check that an SSH server listens there (ansible_host, ansible_port)."
    )


def test_a_failed_master_is_tried_again_the_next_time(ssh: _FakeSsh) -> None:
    ssh.answers(255, "")
    with pytest.raises(ContextError, match="the connection ended with status 255 and no message"):
        _context(ssh.command).open()
    ssh.answers(0, "")
    _context(ssh.command).open()


@pytest.mark.parametrize(
    ("line", "cause", "remedy"),
    [
        ("Host key verification failed.", "the host key is unknown or has changed", "Compare the key"),
        (
            "me@db: Permission denied (publickey,password).",
            "the SSH server refused the login (me@db: Permission denied (publickey,password).)",
            "Check user, key",
        ),
        ("ssh: Could not resolve hostname db: Name or service not known", None, "Check ansible_host"),
        ("ssh: connect to host db port 22: Connection refused", None, "Check that an SSH server listens"),
        ("ssh: connect to host db port 22: Connection timed out", None, "Check the network"),
        ("ssh: connect to host db port 22: No route to host", None, "Check the network"),
        (
            "Warning: Identity file /k not accessible: No such file or directory.",
            None,
            "Check ansible_ssh_private_key_file",
        ),
        ("kex_exchange_identification: Connection closed by remote host", None, None),
    ],
)
def test_a_failure_is_explained_with_what_to_do(
    tmp_path: Path, line: str, cause: str | None, remedy: str | None
) -> None:
    diagnosis = _context(_command(tmp_path)).diagnose(f"motd\r\n{line}\r\n", 255)
    assert diagnosis.cause == (cause or line)
    assert (diagnosis.remedy or "").startswith(remedy or "")
    assert (diagnosis.remedy is None) == (remedy is None)


def test_a_changed_host_key_is_told_before_what_follows_from_it(tmp_path: Path) -> None:
    output = "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nPermission denied (publickey).\n"
    assert _context(_command(tmp_path)).diagnose(output, 255).cause == "the host key is unknown or has changed"
