# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a port that an SSH host can reach; and back, from a port of that host to one of this machine.

Each connection is a channel of one ssh, asked for and answered on its own (see _mux.py): a far end that refuses one
connection says so before the client has sent anything, and nobody else notices. What a client sends goes to ssh, and
what ssh has for it comes back, through pipes, so that neither is copied by this process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ._burrow import Burrow
from ._errors import ForwardError, Unavailable
from ._handed import Handed, sent_by
from ._mux import MuxConnection, MuxError, Refused
from ._spec import Direction, ForwardSpec, PortPair
from ._splice import LargePipes
from ._ssh_arrivals import Arrivals
from ._ssh_channel import HandedChannel, PipedChannel, Shared, SocketChannel, SshChannel, reset_now
from ._ssh_login import SshLogin
from ._ssh_master import LoginError, SshMaster
from ._transport import FarListener

_LATE_SECONDS = 600.0
"""How long an answer is waited for that comes too late for who asked."""


def ssh_transport(spec: ForwardSpec, parameters: Mapping[str, Any], log: Callable[[str], None]) -> SshTransport:
    """Return the transport; ``parameters`` are those of an SshLogin."""
    return SshTransport(spec, SshLogin.of(parameters), log)


class SshTransport:
    """Leads to a host and its ports as an SSH host sees them, or from ports of that host to this machine."""

    def __init__(self, spec: ForwardSpec, login: SshLogin, log: Callable[[str], None]) -> None:
        self._spec = spec
        self._login = login
        self._burrow = Burrow()
        self._arrivals: Arrivals | None = None
        if spec.direction is Direction.REMOTE:
            self._arrivals = Arrivals(spec, self._burrow.path, login.destination)
        self._master = SshMaster(login, self._burrow.path, log, self._arrivals.ask if self._arrivals else None)
        self._shared = Shared(self._master, LargePipes(), self._forget)
        self._lock = threading.Lock()
        self._channels: set[SshChannel] = set()
        self._started = False

    @property
    def restarts(self) -> int:
        return self._master.restarts

    def describe(self) -> str:
        return f"SSH to {self._login.destination}"

    def bound(self) -> tuple[FarListener, ...]:
        return self._arrivals.bound() if self._arrivals is not None else ()

    def check(self, deadline: float) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                self._master.start()
        try:
            self._master.await_login(deadline)
        except LoginError as exc:
            raise ForwardError(f"context '{self._login.context}': connecting by SSH: {exc}") from exc
        if self._arrivals is not None:
            for index, _port in enumerate(self._spec.ports):
                self._prove(self._arrivals, index, deadline)

    def connect(self, port: PortPair, deadline: float, client: socket.socket | None = None) -> SshChannel:
        far = self._arrivals is not None
        channel = self._from_far(port, deadline) if far else self._to_far(port, deadline, client)
        with self._lock:
            self._channels.add(channel)
        return channel

    def catch_up(self) -> None:
        for channel in self._all():
            channel.catch_up()

    def close(self) -> None:
        for channel in self._all():
            channel.close()
        if self._arrivals is not None:
            self._arrivals.close()
        self._master.close()
        self._burrow.close()

    def _all(self) -> list[SshChannel]:
        with self._lock:
            return [*self._channels]

    def _forget(self, channel: SshChannel) -> None:
        with self._lock:
            self._channels.discard(channel)

    # -- this machine listens --------------------------------------------------------------------------------------

    def _to_far(self, port: PortPair, deadline: float, client: socket.socket | None) -> SshChannel:
        if not isinstance(port.target, int):
            raise ForwardError(f"the port '{port.target}' has to be a number where the context is of type ssh")
        while True:
            try:
                if client is not None and self._master.tells_ends(deadline):
                    return self._hand_over(client, port.target, deadline)
                return self._between(port.target, deadline)
            except MuxError:
                pass  # ssh has just ended: wait for the next
            except TimeoutError as exc:
                where = f"{self._spec.target}:{port.target}"
                raise Unavailable(
                    f"{where} did not answer in time (asked by SSH from {self._login.destination})"
                ) from exc

    def _between(self, port: int, deadline: float) -> SshChannel:
        """Return a channel with a pipe in both directions."""
        with contextlib.ExitStack() as given, contextlib.ExitStack() as kept:
            up = os.pipe2(os.O_CLOEXEC)
            given.callback(os.close, up[0])
            kept.callback(os.close, up[1])
            down = os.pipe2(os.O_CLOEXEC)
            given.callback(os.close, down[1])
            kept.callback(os.close, down[0])
            control, _number = self._open(port, (up[0], down[1]), deadline)
            kept.pop_all()
            return PipedChannel(control, up[1], down[0], self._shared)

    def _hand_over(self, client: socket.socket, port: int, deadline: float) -> SshChannel:
        """Return a channel that writes to the client. Nothing is retried after that has begun."""
        client.setblocking(False)
        with contextlib.ExitStack() as given, contextlib.ExitStack() as kept:
            handed = kept.enter_context(contextlib.closing(Handed(client)))
            up = os.pipe2(os.O_CLOEXEC)
            given.callback(os.close, up[0])
            kept.callback(os.close, up[1])
            try:
                control, number = self._open(port, (up[0], client.fileno()), deadline)
            except MuxError as exc:
                if sent_by(client):
                    raise ForwardError("the SSH connection was lost after the far end had sent something") from exc
                raise
            except TimeoutError:
                reset_now(client)  # ssh has its socket, too, and may keep it for long
                raise
            watch = self._master.words.channel(number)
            if watch is None:
                control.close()
                reset_now(client)
                raise ForwardError("ssh did not say that it opened a channel")
            kept.pop_all()
            return HandedChannel(control, up[1], handed, watch, self._shared)

    def _open(self, port: int, fds: tuple[int, int], deadline: float) -> tuple[MuxConnection, int]:
        """Let ssh open a channel; return the connection that it goes with, and its number.

        Raises MuxError, TimeoutError and what a refusal amounts to.
        """
        control = self._master.connection(deadline)
        try:
            return control, control.open_channel(self._spec.target, port, *fds, deadline)
        except Refused as exc:
            control.close()
            raise self._refused(f"{self._spec.target}:{port}") from exc
        except TimeoutError:
            # ssh goes on asking the far end: it ends if it is told of the answer when nobody is there to be told
            _abandon(control, deadline + _LATE_SECONDS)
            raise
        except BaseException:
            control.close()
            raise

    def _refused(self, where: str) -> Exception:
        said = self._master.refusal() or "the far end refused"
        text = f"{where} cannot be reached from {self._login.destination}: ssh says '{said}'"
        if "prohibited" in said:
            return ForwardError(
                f"{text}. The SSH server does not allow it: see AllowTcpForwarding and PermitOpen there."
            )
        if "Name or service not known" in said:
            return ForwardError(f"{text}. Check the target: it is resolved on the SSH host.")
        return Unavailable(text)

    # -- the far end listens ---------------------------------------------------------------------------------------

    def _prove(self, arrivals: Arrivals, index: int, deadline: float) -> None:
        with contextlib.closing(self._master.connection(deadline)) as control:
            try:
                arrivals.prove(index, control, deadline)
            except (MuxError, TimeoutError) as exc:
                raise Unavailable(f"the SSH connection to {self._login.destination} was lost: {exc}") from exc

    def _from_far(self, port: PortPair, deadline: float) -> SshChannel:
        where = (self._spec.target, int(port.target))
        try:
            target = socket.create_connection(where, max(0.001, deadline - time.monotonic()))
        except OSError as exc:
            raise Unavailable(
                f"{where[0]}:{where[1]} on this machine cannot be reached: {exc.strerror or exc}"
            ) from exc
        return SocketChannel(target, self._shared)


def _abandon(control: MuxConnection, deadline: float) -> None:
    """Wait for the answer to a request apart, then end what was asked for."""

    def wait() -> None:
        with contextlib.suppress(OSError, TimeoutError):
            control.await_answer(deadline)
        control.close()

    threading.Thread(target=wait, name="ssh-late", daemon=True).start()
