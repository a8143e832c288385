# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How tasks talk to a supervisor: a packet of JSON each way over a private socket; descriptors may go with it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST = 128 << 10
"""Bytes of a packet."""
_MOST_FDS = 250
"""Descriptors in a packet (SCM_MAX_FD is 253)."""
_PATIENCE = 10.0
"""Seconds in which a supervisor has to answer."""


class NotThere(Exception):
    """Nobody answers: the supervisor has just ended, is not so far yet, or hangs."""


@dataclass(frozen=True)
class Answer:
    """What a supervisor says."""

    values: Mapping[str, Any]
    fds: tuple[int, ...] = ()


Respond = Callable[[Mapping[str, Any], list[int]], Answer]
"""Answers a request; the descriptors that came with it are its own then."""


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a name of at most 107 bytes, which is what an address of a UNIX socket can hold, to a path of any length."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """Return the socket at which a supervisor is asked."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    try:
        with _short(path) as name:
            listener.bind(name)
        path.chmod(0o600)
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


def answer(connection: socket.socket, respond: Respond) -> bool:
    """Read one request and answer it; return whether the connection is still good for more."""
    try:
        data, fds, _flags, _address = socket.recv_fds(connection, _LARGEST, _MOST_FDS)
    except BlockingIOError:
        return True
    except OSError:
        return False
    if not data or not _is_ours(connection):
        _close(fds)
        return False
    try:
        request = json.loads(data)
    except ValueError:
        request = None
    if not isinstance(request, dict):
        _close(fds)
        return False
    try:
        _send(connection, respond(request, fds))
    except (OSError, ValueError, LookupError, TypeError):  # of what was asked; a forward must not end for that
        return False
    return True


def _is_ours(connection: socket.socket) -> bool:
    # unix(7), SO_PEERCRED: pid, uid, gid
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1] in (os.getuid(), 0)


def _send(connection: socket.socket, message: Answer) -> None:
    socket.send_fds(connection, [json.dumps(message.values).encode()], message.fds[:_MOST_FDS])


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


class Conversation:
    """A connection to a supervisor; methods raise NotThere."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.settimeout(_PATIENCE)
            with _short(path) as name:
                self._socket.connect(name)
        except OSError as exc:
            self._socket.close()
            raise NotThere(exc.strerror or str(exc)) from exc

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.close()

    def ask(self, request: Mapping[str, Any], fds: Sequence[int] = ()) -> Answer:
        """Send a request and return the answer; the descriptors in it are the caller's."""
        try:
            _send(self._socket, Answer(request, tuple(fds)))
            data, received, _flags, _address = socket.recv_fds(self._socket, _LARGEST, _MOST_FDS)
        except OSError as exc:
            raise NotThere(exc.strerror or str(exc)) from exc
        if not data:
            raise NotThere("it has ended")
        return Answer(json.loads(data), tuple(received))

    def await_end(self, seconds: float) -> None:
        """Wait until the supervisor has ended, which closes the connection."""
        self._socket.settimeout(max(0.01, seconds))
        try:
            while self._socket.recv(_LARGEST):
                pass
        except TimeoutError as exc:
            raise NotThere("it does not end") from exc
        except OSError:
            pass  # it was cut, which is an end too
