# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real supervisors with a transport that connects straight to an echo server of the test."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _start
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._job import Job
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import ForwardSpec, PortPair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._state import ForwardFolder
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._status import ForwardStatus
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._transport import Way

from unit.direct import FACTORY
from unit.support import PATIENCE, leftovers

TESTS = Path(__file__).resolve().parents[1]


class Echo:
    """Sends back what it is sent; says a last word when the sender has ended."""

    LAST = b"<end>"

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                client.sendall(data)
            client.sendall(self.LAST)

    def close(self) -> None:
        # a thread in accept() keeps a socket that is only closed alive
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def ask(port: int, data: bytes = b"hello") -> bytes:
    """Send data, end, and return all that comes back until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        threading.Thread(target=_send, args=(client, data), daemon=True).start()
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
        return answer


def _send(client: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)


def is_open(port: int) -> bool:
    """Return whether anything listens at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Owner:
    """A process that stands for a play."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "1000"])
        self.fd = os.pidfd_open(self.process.pid)

    def kill(self) -> None:
        """End it as nobody can be prepared for."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        os.close(self.fd)


@dataclass
class Forwards:
    """Starts forwards in a folder of their own."""

    folder: ForwardFolder
    echo: Echo
    owners: list[Owner] = field(default_factory=list)

    def owner(self) -> Owner:
        """Return a new owner."""
        self.owners.append(Owner())
        return self.owners[-1]

    def job(self, *owners: Owner, way: dict[str, Any] | None = None, place: str = "here", **changes: Any) -> Job:
        """Return a job to the echo server; ``changes`` are of the specification."""
        ports = (PortPair(0, self.echo.port),)
        spec = ForwardSpec("fw", "ctx", "127.0.0.1", ports, wait_timeout=PATIENCE, connect_timeout=PATIENCE)
        fds = tuple(owner.fd for owner in owners)
        return Job(replace(spec, **changes), "ssh", Way(FACTORY, way or {}, place), str(self.folder.path), fds)

    def start(self, *owners: Owner, **changes: Any) -> ForwardStatus:
        """Start a forward, for an owner of its own if none is given."""
        return _start.ensure(self.folder, self.job(*(owners or (self.owner(),)), **changes)).status

    def find(self) -> ForwardStatus:
        """Return the forward ``fw``."""
        status = _start.find(self.folder, "fw")
        assert status is not None
        return status

    def files(self) -> list[str]:
        """Return what there is in the folder besides logs."""
        return sorted(path.name for path in self.folder.path.iterdir() if ".log" not in path.name)


def imports() -> str:
    """Return where a process of its own finds what is tested, and the tests."""
    places = (str(TESTS), os.environ.get("MANIFOLD_COLLECTIONS_PATH", ""), os.environ.get("PYTHONPATH", ""))
    return os.pathsep.join(filter(None, places))


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def forwards(tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forwards]:
    """Nothing of them is left when the test ends."""
    token = secrets.token_hex(8)
    monkeypatch.setenv("MANIFOLD_TEST_FORWARDS", token)
    monkeypatch.setenv("PYTHONPATH", imports())
    folder = ForwardFolder(tmp_path / "state")
    folder.make()
    made = Forwards(folder, echo)
    yield made
    for name in folder.names():
        with contextlib.suppress(ForwardError):
            _start.stop(folder, name)
    for owner in made.owners:
        owner.close()
    assert leftovers(token) == []


Start = Callable[..., ForwardStatus]
