# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that an SSH host listens on for this machine, and the proof that it does.

What connects to such a port is handed by ssh to a Unix socket of this process, so that it can be accepted, counted and
kept waiting like any other client.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
import time
from pathlib import Path

from ._errors import ForwardError
from ._mux import MuxConnection, Refused
from ._spec import ForwardSpec
from ._splice import close_all
from ._transport import FarListener

_BACKLOG = 128
_PROOF_SECONDS = 10.0
_ELSEWHERE = "127.0.0.2"
"""Reaches what listens on all addresses, and not what listens on loopback alone: Linux has all of 127.0.0.0/8."""
_EVERY = ("*", "0.0.0.0", "::")


class Arrivals:
    """The sockets that connections arrive in, one for each port of a forward of direction remote."""

    def __init__(self, spec: ForwardSpec, folder: Path, host: str) -> None:
        self._spec = spec
        self._host = host
        self._paths = [folder / f"a{index}" for index in range(len(spec.ports))]
        self._ports = [pair.listen for pair in spec.ports]
        self._sockets = [_listening(path) for path in self._paths]

    def bound(self) -> tuple[FarListener, ...]:
        """Return the sockets, and the ports that lead to them."""
        return tuple(FarListener(arrivals, port) for arrivals, port in zip(self._sockets, self._ports, strict=True))

    def ask(self, control: MuxConnection, deadline: float) -> None:
        """Let the far end listen, on the ports that it had before; raise Refused if it will not."""
        for index, path in enumerate(self._paths):
            port = self._ports[index]
            try:
                self._ports[index] = control.listen(self._spec.bind, port, str(path), deadline)
            except Refused as exc:
                wanted = f"port {port}" if port else "any port"
                raise Refused(
                    f"the SSH host does not listen on {wanted} of {self._spec.bind} (ssh says '{exc}'): the port is "
                    "taken there, or it needs rights that this user has not, or the server does not allow it "
                    "(AllowTcpForwarding, PermitListen)"
                ) from exc

    def prove(self, index: int, control: MuxConnection, deadline: float) -> None:
        """Connect to a port from the SSH host itself; raise ForwardError unless that arrives here."""
        address, port = self._address(), self._ports[index]
        here, there = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        token = secrets.token_bytes(16)
        try:
            control.open_channel(address, port, here[0], there[1], deadline)
            os.write(here[1], token)
            if not self._arrives(self._sockets[index], token, min(deadline, time.monotonic() + _PROOF_SECONDS)):
                raise ForwardError(
                    f"on {self._host} something else listens on port {port} of {address}. Choose another port, or 0."
                )
        except Refused as exc:
            raise ForwardError(self._unheard(port)) from exc
        finally:
            close_all([*here, *there])

    def close(self) -> None:
        """Close the sockets."""
        for arrivals in self._sockets:
            arrivals.close()

    def _address(self) -> str:
        """Return where on the SSH host to connect to what listens for us."""
        bind = self._spec.bind
        if bind in _EVERY:
            return _ELSEWHERE
        return "127.0.0.1" if bind in ("", "localhost") else bind

    def _unheard(self, port: int) -> str:
        bind = self._spec.bind
        text = f"the SSH host {self._host} accepted to listen on port {port}, and nothing listens at {bind} there"
        if _is_loopback(bind):
            return f"{text}. Try 127.0.0.1 or ::1 as bind."
        return f"{text}: its server keeps forwarded ports to itself. It needs 'GatewayPorts clientspecified'."

    def _arrives(self, arrivals: socket.socket, token: bytes, deadline: float) -> bool:
        """Return whether a connection that begins with the token arrives; others that come before it are ended."""
        try:
            while True:
                arrivals.settimeout(max(0.001, deadline - time.monotonic()))
                client, _address = arrivals.accept()
                with client:
                    client.settimeout(max(0.001, deadline - time.monotonic()))
                    if client.recv(len(token), socket.MSG_WAITALL) == token:
                        return True
        except TimeoutError:
            return False
        finally:
            arrivals.setblocking(False)


def _listening(path: Path) -> socket.socket:
    arrivals = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    arrivals.bind(str(path))
    arrivals.listen(_BACKLOG)
    return arrivals


def _is_loopback(bind: str) -> bool:
    if bind in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return False
