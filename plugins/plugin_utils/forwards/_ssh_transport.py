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
import struct
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ._burrow import Burrow
from ._errors import ForwardError, Unavailable
from ._mux import MuxConnection, MuxError, Refused
from ._spec import Direction, ForwardSpec, PortPair
from ._splice import Flow, LargePipes, close_all, relay
from ._ssh_arrivals import Arrivals
from ._ssh_login import SshLogin
from ._ssh_master import LoginError, SshMaster
from ._transport import Channel, FarListener

HALF_OPEN_SECONDS = 120.0
"""How long a client may stay silent after the far end has ended its direction."""
_ALIVE_SECONDS = 5.0
_LATE_SECONDS = 600.0
"""How long an answer is waited for that comes too late for who asked."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""``struct linger`` of socket(7): on, no time to linger."""


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
        self._large = LargePipes()
        self._lock = threading.Lock()
        self._channels: set[Channel] = set()
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

    def connect(self, port: PortPair, deadline: float) -> Channel:
        channel = self._from_far(port, deadline) if self._arrivals is not None else self._to_far(port, deadline)
        with self._lock:
            self._channels.add(channel)
        return channel

    def close(self) -> None:
        with self._lock:
            channels = [*self._channels]
        for channel in channels:
            channel.close()
        if self._arrivals is not None:
            self._arrivals.close()
        self._master.close()
        self._burrow.close()

    def _forget(self, channel: Channel) -> None:
        with self._lock:
            self._channels.discard(channel)

    # -- this machine listens --------------------------------------------------------------------------------------

    def _to_far(self, port: PortPair, deadline: float) -> Channel:
        where = f"{self._spec.target}:{port.target}"
        if not isinstance(port.target, int):
            raise ForwardError(f"the port '{port.target}' has to be a number where the context is of type ssh")
        while True:
            control = self._master.connection(deadline)
            up, down = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
            try:
                control.open_channel(self._spec.target, port.target, up[0], down[1], deadline)
            except Refused as exc:
                _close(control, *up, *down)
                raise self._refused(where) from exc
            except TimeoutError as exc:
                # ssh goes on asking the far end: it ends if it is told of the answer when nobody is there to be told
                _abandon(control, deadline + _LATE_SECONDS)
                close_all([*up, *down])
                raise Unavailable(
                    f"{where} did not answer in time (asked by SSH from {self._login.destination})"
                ) from exc
            except MuxError:
                _close(control, *up, *down)
                continue  # ssh has just ended: wait for the next
            except BaseException:
                _close(control, *up, *down)
                raise
            close_all([up[0], down[1]])
            return _SshChannel(control, up[1], down[0], self._master, self._forget, self._large)

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

    def _from_far(self, port: PortPair, deadline: float) -> Channel:
        where = (self._spec.target, int(port.target))
        try:
            target = socket.create_connection(where, max(0.001, deadline - time.monotonic()))
        except OSError as exc:
            raise Unavailable(
                f"{where[0]}:{where[1]} on this machine cannot be reached: {exc.strerror or exc}"
            ) from exc
        return _SocketChannel(target, self._forget, self._large)


class _Ended:
    """What both kinds of channel share: they are closed once, by whoever relays, and cut by anybody."""

    def __init__(self, forget: Callable[[Any], None], large: LargePipes) -> None:
        self._forget = forget
        self._large = large
        self._lock = threading.Lock()
        self._client: socket.socket | None = None
        self._cut = False
        self._closed = False

    def relay(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        with self._lock:
            self._client = client
            cut = self._cut
        try:
            client.setblocking(False)
            if cut:
                raise ConnectionAbortedError("the connection was cut")
            self._move(client, count)
            if self._cut:
                raise ConnectionAbortedError("the connection was cut")
        except OSError:
            # the end of a stream that is not whole must not look like the end of one that is
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            raise
        finally:
            with self._lock:
                self._client = None
                self._closed = True
                client.close()
                self._release()
            self._forget(self)

    def close(self) -> None:
        with self._lock:
            self._cut = True
            if self._closed:
                return
            if self._client is None:
                self._closed = True
                self._release()
            else:
                with contextlib.suppress(OSError):
                    self._client.shutdown(socket.SHUT_RDWR)
                self._interrupt()
        self._forget(self)

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        raise NotImplementedError

    def _interrupt(self) -> None:
        raise NotImplementedError

    def _release(self) -> None:
        raise NotImplementedError


class _SshChannel(_Ended):
    """A channel of ssh: a pipe to it, a pipe from it, and the connection that it was asked for by."""

    def __init__(
        self,
        control: MuxConnection,
        up: int,
        down: int,
        master: SshMaster,
        forget: Callable[[Any], None],
        large: LargePipes,
    ) -> None:
        super().__init__(forget, large)
        self._control = control
        self._up = [up]
        self._down = [down]
        self._master = master

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        up, down = (self._up[0], self._large), (self._down[0], self._large)
        ask = Flow(client.fileno(), up[0], partial(close_all, self._up), up)
        answer = Flow(down[0], client.fileno(), partial(self._ended_by_far, client), down)
        with contextlib.closing(ask), contextlib.closing(answer):
            relay(ask, answer, count, HALF_OPEN_SECONDS)

    def _ended_by_far(self, client: socket.socket) -> None:
        # ssh that is gone closes its pipes as well; one that is there has told the truth
        if self._cut or not self._master.is_up(time.monotonic() + _ALIVE_SECONDS):
            raise ConnectionResetError("the SSH connection was lost")
        _end(client)

    def _interrupt(self) -> None:
        self._control.shutdown()

    def _release(self) -> None:
        close_all(self._up)
        close_all(self._down)
        self._control.close()


class _SocketChannel(_Ended):
    """A connection to a port of this machine."""

    def __init__(self, target: socket.socket, forget: Callable[[Any], None], large: LargePipes) -> None:
        super().__init__(forget, large)
        target.setblocking(False)
        self._target = target

    def _move(self, client: socket.socket, count: Callable[[int, int], None]) -> None:
        first, second = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        try:
            asked, target = client.fileno(), self._target.fileno()
            ask = Flow(asked, target, partial(_end, self._target), (first[1], self._large), first)
            answer = Flow(target, asked, partial(_end, client), (second[1], self._large), second)
            with contextlib.closing(ask), contextlib.closing(answer):
                # here the far end is who asks
                relay(ask, answer, lambda came, went: count(went, came), HALF_OPEN_SECONDS)
        finally:
            close_all([*first, *second])

    def _interrupt(self) -> None:
        with contextlib.suppress(OSError):
            self._target.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        self._target.close()


def _abandon(control: MuxConnection, deadline: float) -> None:
    """Wait for the answer to a request apart, then end what was asked for."""

    def wait() -> None:
        with contextlib.suppress(OSError, TimeoutError):
            control.await_answer(deadline)
        control.close()

    threading.Thread(target=wait, name="ssh-late", daemon=True).start()


def _end(to: socket.socket) -> None:
    """Tell one side that nothing more comes."""
    to.shutdown(socket.SHUT_WR)


def _close(control: MuxConnection, *fds: int) -> None:
    control.close()
    close_all([*fds])
