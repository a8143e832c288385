# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of one forward: it listens, connects what comes to the far end, and ends when nobody needs it any more.

Everything it waits for is an event of one loop: a connection, a request of a task, the end of an owner, a signal, the
end of its time. Connections have threads of their own.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from . import _control
from ._connection import Line
from ._door import Door, raise_limits
from ._errors import ForwardError
from ._job import Job
from ._lease import Lease
from ._listeners import open_listeners
from ._log import ForwardLog
from ._reach import make_transport, prove
from ._spec import Direction, Lifetime
from ._state import ForwardFolder
from ._status import BoundPort, ForwardStatus, State
from ._tally import Tally
from ._task_pipe import TaskPipe
from ._transport import Transport

_CLAIM_SECONDS = 5.0
"""How long a predecessor may take to be gone."""
_CLOSE_SECONDS = 5.0
"""How long a transport may take to end what it started."""


class Supervisor:
    """One forward. Made and run once, by :func:`main`."""

    def __init__(self, job: Job, task: TaskPipe) -> None:
        self._job = job
        self._task = task
        self._spec = job.spec
        self._since = datetime.datetime.now(datetime.UTC)
        self._deadline = time.monotonic() + job.spec.wait_timeout
        self._connect_timeout = job.spec.connect_timeout
        self._folder = ForwardFolder(Path(job.directory))
        self._claim = self._folder.claim(job.spec.name, time.monotonic() + _CLAIM_SECONDS)
        self._log = ForwardLog(self._folder.log_of(job.spec.name))
        self._tally = Tally()
        self._lease = Lease(job.spec, job.owners)
        self._selector = selectors.EpollSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._door = Door(self._selector, raise_limits(), self._wake)
        self._control: socket.socket | None = None
        self._transport: Transport | None = None
        self._listeners: list[socket.socket] = []
        self._ports: tuple[BoundPort, ...] = ()
        self._proven: bool | str = False
        """True once the far end was reached, the reason if it will not be."""
        self._ready = False
        self._ending: str | None = None

    def run(self) -> None:
        """Live; returns when everything is closed. Raises ForwardError if it never became ready."""
        try:
            self._set_up()
            while self._ending is None:
                self._step()
            self._log(f"ending: {self._ending}")
            if not self._ready:
                raise ForwardError(f"forward '{self._spec.name}' was ended before it was ready: {self._ending}")
        except ForwardError as exc:
            self._log(str(exc))
            raise
        finally:
            self._tear_down()

    # -- beginning -----------------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        self._watch(self._wake_read, self._drain)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for fd in self._lease.owners:
            self._watch(fd, self._owner_ended_at(fd))
        # a pipe whose reader is gone is an error to its writer: nobody waits for this forward any more
        self._watch(self._task.fd, lambda: self._end("the task that started it was ended"))
        if self._spec.direction is Direction.LOCAL:
            self._listeners = open_listeners(self._spec, self._named)
            ports = zip(self._listeners, self._spec.ports, strict=True)
            self._ports = tuple(BoundPort(each.getsockname()[1], port.target) for each, port in ports)
        self._control = _control.listen(self._folder.socket_of(self._spec.name))
        self._watch(self._control, self._on_caller)
        self._transport = make_transport(self._job.way, self._spec, self._log)
        threading.Thread(target=self._prove, args=(self._transport,), daemon=True).start()

    def _named(self, holder: str) -> str:
        """Add the name of the forward to one of ours that holds a port."""
        for name in self._folder.names():
            with contextlib.suppress(_control.NotThere), _control.Conversation(self._folder.socket_of(name)) as other:
                if f"(process {other.ask({'do': 'status'}).values['status']['pid']})" in holder:
                    return f"the forward '{name}' {holder[holder.index('(') :]}"
        return holder

    def _prove(self, transport: Transport) -> None:
        """Reach every port of the target once; in a thread of its own."""
        line = Line(transport, self._tally, self._log, lambda: self._connect_timeout)
        self._proven = prove(line, self._spec, self._deadline, self._pause) or True
        self._wake()

    def _pause(self, seconds: float) -> bool:
        time.sleep(seconds)
        return self._ending is None

    def _begin(self, transport: Transport) -> None:
        """Serve: the far end has been reached."""
        if self._spec.direction is Direction.REMOTE:
            far = transport.bound()
            self._listeners = [each.arrivals for each in far]
            pairs = zip(far, self._spec.ports, strict=True)
            self._ports = tuple(BoundPort(each.port, port.target) for each, port in pairs)
        self._ready = True
        self._selector.unregister(self._task.fd)
        self._log.take(2)
        self._task.answer({"ready": self.status().to_json()})
        self._log(f"ready: {self._spec.target} by {transport.describe()}")
        line = Line(transport, self._tally, self._log, lambda: self._connect_timeout)
        for listener in self._listeners:
            listener.setblocking(False)
        self._door.begin(dict(zip(self._listeners, self._spec.ports, strict=True)), line)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _watch(self, what: int | socket.socket, react: Callable[[], None]) -> None:
        self._selector.register(what, selectors.EVENT_READ, react)

    def _step(self) -> None:
        waits = [each for each in (self._lease.left, self._door.left) if each is not None]
        for key, _events in self._selector.select(min(waits) if waits else None):
            if self._ending is None:
                key.data()
        if isinstance(self._proven, str):
            raise ForwardError(f"forward '{self._spec.name}' to {self._spec.target}: {self._proven}")
        if self._proven and not self._ready and self._transport is not None:
            self._begin(self._transport)
        self._door.look()
        if reason := self._lease.over:
            self._end(reason)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it will wake
            os.write(self._wake_write, b"\0")

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)

    def _end(self, reason: str) -> None:
        self._ending = self._ending or reason

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._end(f"signal {signal.Signals(number).name}")

    def _owner_ended_at(self, fd: int) -> Callable[[], None]:
        def react() -> None:
            self._selector.unregister(fd)
            self._lease.remove(fd)

        return react

    # -- requests ------------------------------------------------------------------------------------------------------

    def _on_caller(self) -> None:
        if self._control is None:
            return
        with contextlib.suppress(BlockingIOError):
            caller, _address = self._control.accept()
            caller.setblocking(False)
            self._watch(caller, lambda: self._on_request(caller))

    def _on_request(self, caller: socket.socket) -> None:
        if not _control.answer(caller, self._respond):
            self._selector.unregister(caller)
            caller.close()

    def _respond(self, request: Mapping[str, Any], fds: list[int]) -> _control.Answer:
        wanted = request.get("do")
        taken = wanted == "own" and self._ready and request.get("identity") == self._job.identity
        if taken:
            self._own(request, fds)
        else:
            for fd in fds:
                os.close(fd)
        if wanted == "stop":
            self._end(str(request.get("reason", "it was asked to stop")))
        owners = tuple(self._lease.owners) if request.get("hand_over") else ()
        persistent = {"persistent": self._lease.persistent, "ttl": self._lease.left}
        return _control.Answer({"status": self.status().to_json(), "taken": taken, **persistent}, owners)

    def _own(self, request: Mapping[str, Any], fds: list[int]) -> None:
        self._lease.renew(Lifetime(request["lifetime"]), request["ttl"])
        self._connect_timeout = request["connect_timeout"]
        for fd in fds:
            if self._lease.add(fd):
                self._watch(fd, self._owner_ended_at(fd))

    def status(self) -> ForwardStatus:
        """Return how it is now."""
        if self._transport is not None:
            self._transport.catch_up()
        spec, counts, left = self._spec, self._tally.read(), self._lease.left
        state = State.STARTING if not self._ready else self._tally.state
        return ForwardStatus(
            name=spec.name,
            context=spec.context,
            kind=self._job.kind,
            target=spec.target,
            direction=spec.direction.value,
            bind=spec.bind,
            ports=self._ports,
            state=(State.STOPPING if self._ending else state).value,
            pid=os.getpid(),
            identity=self._job.identity,
            lifetime=(Lifetime.PERSISTENT if self._lease.persistent else Lifetime.PLAY).value,
            since=_iso(self._since),
            expires=None if left is None else _iso(_now() + datetime.timedelta(seconds=left)),
            owners=len(self._lease.owners),
            leads_to=self._transport.describe() if self._transport and self._ready else "",
            connections=counts.connections,
            active=counts.active,
            bytes_up=counts.bytes_up,
            bytes_down=counts.bytes_down,
            restarts=self._transport.restarts if self._transport else 0,
            last_error=counts.last_error,
            log=str(self._log.path),
        )

    # -- ending --------------------------------------------------------------------------------------------------------

    def _tear_down(self) -> None:
        """Close the ports first, then all the rest; this process ends right after."""
        self._door.close()
        for listener in self._listeners:
            listener.close()
        self._ending = self._ending or "it failed"
        if self._transport is not None:
            closing = threading.Thread(target=self._transport.close, daemon=True)
            closing.start()
            closing.join(_CLOSE_SECONDS)
        self._claim.release()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _iso(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    """Read a job from standard input, and be its supervisor."""
    job = Job.decode(sys.stdin.buffer.read())
    task = TaskPipe()
    status = 0
    try:
        Supervisor(job, task).run()
    except ForwardError as exc:
        task.answer({"error": str(exc)})
        status = 1
    except Exception as exc:  # a defect: said to the user in a line, and where it is known from to the log
        traceback.print_exc()
        task.answer({"error": f"forward '{job.spec.name}': {type(exc).__name__}: {exc}"})
        status = 1
    # threads that still hang in a connection must not hold up the end
    os._exit(status)
