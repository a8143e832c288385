# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An SSH server in this Python process: no root, no sshd, only paramiko.

Its sessions are plain processes of the user who runs it, started in a data folder that is their HOME.
Run as ``python -m testbed.ssh.embedded --data DIR --authorized-key FILE`` it serves until interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import hmac
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_FAILED_UNKNOWN_CHANNEL_TYPE,
    OPEN_SUCCEEDED,
)

from testbed.processes import HOST_VARIABLE, RUN_VARIABLE, kill_marked
from testbed.ssh.keys import make_key
from testbed.ssh.session import ExecSession, TerminalSize
from testbed.ssh.sftp import RealFiles

WINDOW = 16 << 20
"""Bytes that a client may send before it must wait; OpenSSH's own servers grant 2 MiB."""
PACKET = 128 << 10
"""Largest packet a client may send; OpenSSH refuses packets of more than 256 KiB."""

CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
KEX = ("curve25519-sha256@libssh.org",)
SUBSYSTEM_SFTP = "sftp"


class _Transport(paramiko.Transport):
    """A transport whose sessions begin only after the client has been told that they were accepted.

    paramiko replies to a request after its callback returned; a fast command would be over by then.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, default_window_size=WINDOW, default_max_packet_size=PACKET)
        self.accepted: dict[int, ExecSession] = {}

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]  # not in the stubs
        if self.accepted and threading.current_thread() is self:
            for key in list(self.accepted):
                self.accepted.pop(key).start()


class _Connection(paramiko.ServerInterface):
    """One client: decides what it may do and holds what it runs."""

    def __init__(self, server: EmbeddedSshServer, sock: socket.socket) -> None:
        self._server = server
        self._environment: dict[int, dict[str, str]] = {}
        self._terminals: dict[int, TerminalSize] = {}
        self._sessions: dict[int, ExecSession] = {}
        self._targets: dict[int, socket.socket] = {}
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = _Transport(sock)
        self.transport.add_server_key(server.host_key)
        options = self.transport.get_security_options()
        options.ciphers = CIPHERS
        options.kex = KEX
        self.transport.set_subsystem_handler(SUBSYSTEM_SFTP, paramiko.SFTPServer, RealFiles, server.data)

    def serve(self) -> None:
        """Handle the connection until it ends."""
        idle = []  # paramiko closes a channel that nobody refers to
        try:
            self.transport.start_server(server=self)
            while self.transport.is_active():
                channel = self.transport.accept(1)
                if channel is None:
                    continue
                target = self._targets.pop(channel.chanid, None)
                if target is None:
                    idle.append(channel)
                else:
                    forward(channel, target)
                idle = [known for known in idle if not known.closed]
        except (OSError, EOFError, paramiko.SSHException):
            pass
        finally:
            self.transport.close()
            for target in self._targets.values():
                target.close()

    def cut(self) -> None:
        """Drop the TCP connection without a word."""
        with contextlib.suppress(OSError):
            self.transport.sock.shutdown(socket.SHUT_RDWR)
        self.transport.close()

    # what paramiko asks

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return self._server.allowed_authentications

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        accepted = username == self._server.user and self._server.authorizes(key)
        return AUTH_SUCCESSFUL if accepted else AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        expected = self._server.password
        accepted = (
            expected is not None
            and username == self._server.user
            and hmac.compare_digest(password.encode(), expected.encode())
        )
        return AUTH_SUCCESSFUL if accepted else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
        if kind != "session":
            return OPEN_FAILED_UNKNOWN_CHANNEL_TYPE
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(
        self,
        chanid: int,
        origin: tuple[str, int],  # noqa: ARG002
        destination: tuple[str, int],
    ) -> int:
        try:
            self._targets[chanid] = socket.create_connection(destination, timeout=10)
        except OSError:
            return OPEN_FAILED_CONNECT_FAILED
        self._targets[chanid].settimeout(None)
        return OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: paramiko.Channel, name: bytes, value: bytes) -> bool:
        accepted = name == b"LANG" or name.startswith(b"LC_")  # Debian's AcceptEnv
        if accepted:
            self._environment.setdefault(channel.chanid, {})[name.decode()] = os.fsdecode(value)
        return accepted

    def check_channel_pty_request(
        self,
        channel: paramiko.Channel,
        term: bytes,
        width: int,
        height: int,
        pixelwidth: int,  # noqa: ARG002
        pixelheight: int,  # noqa: ARG002
        modes: bytes,  # noqa: ARG002
    ) -> bool:
        self._terminals[channel.chanid] = TerminalSize(width, height)
        self._environment.setdefault(channel.chanid, {})["TERM"] = os.fsdecode(term)
        return True

    def check_channel_window_change_request(
        self,
        channel: paramiko.Channel,
        width: int,
        height: int,
        pixelwidth: int,  # noqa: ARG002
        pixelheight: int,  # noqa: ARG002
    ) -> bool:
        session = self._sessions.get(channel.chanid)
        if session is None:
            return False
        session.resize(TerminalSize(width, height))
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self._accept(channel, None)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._accept(channel, os.fsdecode(command))

    def _accept(self, channel: paramiko.Channel, command: str | None) -> bool:
        if channel.chanid in self._sessions:
            return False  # one command per channel (RFC 4254, section 6.5)
        session = ExecSession(
            channel,
            command,
            directory=self._server.data,
            environment=self._server.environment() | self._environment.pop(channel.chanid, {}),
            terminal=self._terminals.pop(channel.chanid, None),
            on_end=self._forget,
        )
        self._sessions[channel.chanid] = session
        self.transport.accepted[channel.chanid] = session
        return True

    def _forget(self, session: ExecSession) -> None:
        self._sessions.pop(session.channel.chanid, None)


def forward(channel: paramiko.Channel, target: socket.socket) -> None:
    """Join a ``direct-tcpip`` channel to its TCP connection; each direction ends on its own."""

    def to_target() -> None:
        with contextlib.suppress(OSError):
            while data := channel.recv(1 << 20):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def to_client() -> None:
        inward = threading.Thread(target=to_target, name="ssh-forward-in", daemon=True)
        inward.start()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            while data := target.recv(1 << 20):
                channel.sendall(data)
            channel.shutdown_write()
        inward.join()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            channel.close()
        target.close()

    threading.Thread(target=to_client, name="ssh-forward-out", daemon=True).start()


class EmbeddedSshServer:
    """Listens on a free port of 127.0.0.1 and serves one user.

    :param data: the folder sessions start in, their HOME; it must exist.
    :param authorized: public key lines that may log in.
    :param password: if given, this password may log in as well.
    :param host_key: a private key file in OpenSSH's format.
    """

    def __init__(
        self,
        data: Path,
        *,
        host_key: Path,
        authorized: list[str],
        user: str | None = None,
        password: str | None = None,
        port: int = 0,
    ) -> None:
        self.data = data
        self.user = user or getpass.getuser()
        self.password = password
        self.host_key = paramiko.Ed25519Key.from_private_key_file(str(host_key))
        self.host_key_line = f"{self.host_key.get_name()} {self.host_key.get_base64()}"
        self._authorized = {line.split()[1] for line in authorized}
        self.allowed_authentications = "publickey" if password is None else "publickey,password"
        self._mark = f"embedded-{secrets.token_hex(8)}"
        self._connections: dict[_Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._port = port
        self._listen()

    @property
    def port(self) -> int:
        """The port on loopback; it stays the same over a restart."""
        return self._port

    def authorizes(self, key: paramiko.PKey) -> bool:
        """Return whether a public key may log in."""
        return key.get_base64() in self._authorized

    def environment(self) -> dict[str, str]:
        """Return the environment of a session, as a login would make it."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.data),
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": "/bin/sh",
            "SSH_CONNECTION": f"127.0.0.1 0 127.0.0.1 {self._port}",
            HOST_VARIABLE: self._mark,
        } | {name: value for name, value in os.environ.items() if name == RUN_VARIABLE}

    def restart(self) -> None:
        """End every session and connection, then listen on the same port again."""
        self.close()
        self._listen()

    def kill_sessions(self) -> None:
        """Cut every connection and kill what runs in its sessions; go on listening."""
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            connection.cut()
        kill_marked(HOST_VARIABLE, self._mark)
        for thread in connections.values():
            thread.join(10)

    def close(self) -> None:
        """End the listener, every connection, session, process and thread. May be called twice."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor; close alone would not
            self._listener.close()
            self._listener = None
        if self._acceptor is not None:
            self._acceptor.join(10)
            self._acceptor = None
        self.kill_sessions()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = listener.getsockname()[1]
        self._listener = listener
        self._acceptor = threading.Thread(target=self._accept_all, args=(listener,), name="ssh-accept", daemon=True)
        self._acceptor.start()

    def _accept_all(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _address = listener.accept()
            except OSError:
                return
            connection = _Connection(self, sock)
            thread = threading.Thread(target=self._serve, args=(connection,), name="ssh-connection", daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: _Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                del self._connections[connection]


def _prepare_for(*numbers: signal.Signals) -> Callable[[], object]:
    """Catch signals from now on; return a function that waits for the first.

    The mask is left alone, since the sessions' processes would inherit it. The wait is for a byte in a
    pipe: a signal that the kernel hands to another thread does not wake the main one from a lock.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    return lambda: os.read(reader, 1)


def main() -> None:
    """Serve one data folder from the command line until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that sessions start in")
    parser.add_argument("--authorized-key", type=Path, required=True, help="file of public keys that may log in")
    parser.add_argument("--host-key", type=Path, help="private host key; default: a new one")
    parser.add_argument("--port", type=int, default=0, help="default: a free one, which is printed")
    options = parser.parse_args()
    await_signal = _prepare_for(signal.SIGINT, signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="mf-ssh-") as scratch:
        host_key = options.host_key or make_key(Path(scratch, "host_key")).private_path
        lines = [line for line in options.authorized_key.read_text().splitlines() if line.strip()]
        server = EmbeddedSshServer(options.data.resolve(), host_key=host_key, authorized=lines, port=options.port)
        print(f"{server.user}@127.0.0.1:{server.port} {server.host_key_line}", flush=True)
        await_signal()
        server.close()


if __name__ == "__main__":
    main()
