# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import array
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._mux import MuxConnection, MuxError, Refused

_HELLO = struct.pack(">II", 1, 4)
_SECONDS = 10.0

Master = Callable[..., str]


def answer(kind: int, request: int, *words: int, text: str | None = None) -> bytes:
    """Return a message of a master."""
    content = struct.pack(f">II{len(words)}I", kind, request, *words)
    encoded = b"" if text is None else text.encode()
    return content if text is None else content + struct.pack(">I", len(encoded)) + encoded


def soon() -> float:
    return time.monotonic() + _SECONDS


class Heard:
    """What a master was asked, and what it was handed."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.fds: list[int] = []
        self.ended = threading.Event()
        self.answers = threading.Event()
        """Until it is set nothing is answered."""
        self.answers.set()


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    yield made
    for fd in made.fds:
        os.close(fd)


@pytest.fixture
def master(tmp_path: Path, heard: Heard) -> Iterator[Master]:
    """Start a master that gives the answers in turn to what it is asked; return its path."""
    path = tmp_path / "m"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve(greeting: bytes, answers: list[bytes], takes_fds: int, stays: bool) -> None:
            client, _address = listener.accept()
            with client, contextlib.suppress(OSError):
                heard.requests.append(_read(client))
                _write(client, greeting)
                for message in answers:
                    heard.requests.append(_read(client))
                    for _each in range(takes_fds):
                        _data, ancillary, _flags, _from = client.recvmsg(1, socket.CMSG_SPACE(4))
                        heard.fds.extend(array.array("i", ancillary[0][2]))
                    assert heard.answers.wait(_SECONDS)
                    _write(client, message)
                if stays:
                    while client.recv(1 << 10):
                        pass
                    heard.ended.set()

        def start(*answers: bytes, greeting: bytes = _HELLO, takes_fds: int = 0, stays: bool = True) -> str:
            threading.Thread(target=serve, args=(greeting, [*answers], takes_fds, stays), daemon=True).start()
            return str(path)

        yield start


def _read(client: socket.socket) -> bytes:
    size = struct.unpack(">I", client.recv(4, socket.MSG_WAITALL))[0]
    return client.recv(size, socket.MSG_WAITALL)


def _write(client: socket.socket, message: bytes) -> None:
    client.sendall(struct.pack(">I", len(message)) + message)


def test_a_channel_is_asked_for_with_the_descriptors_it_goes_by(master: Master, heard: Heard) -> None:
    source, target = os.pipe()
    with contextlib.closing(MuxConnection(master(answer(0x80000006, 1, 42), takes_fds=2), soon())) as connection:
        assert connection.open_channel("db.internal", 5432, source, target, soon()) == 42
    for fd in (source, target):
        os.close(fd)
    hello, request = heard.requests
    assert hello == _HELLO
    assert request == answer(0x10000008, 1, 0, text="db.internal") + struct.pack(">I", 5432)
    # they are the ones that were given: the second leads to the first
    os.write(heard.fds[1], b"x")
    assert os.read(heard.fds[0], 1) == b"x"
    assert heard.ended.wait(_SECONDS)


@pytest.mark.parametrize(
    ("asked", "reply", "listens"), [(0, answer(0x80000007, 1, 40123), 40123), (8, answer(0x80000001, 1), 8)]
)
def test_a_port_of_the_far_end_is_the_one_that_was_given(
    master: Master, heard: Heard, asked: int, reply: bytes, listens: int
) -> None:
    with contextlib.closing(MuxConnection(master(reply), soon())) as connection:
        assert connection.listen("127.0.0.1", asked, "/p", soon()) == listens
    request = answer(0x10000006, 1, 2, text="127.0.0.1") + struct.pack(">I", asked)
    assert heard.requests[1] == request + struct.pack(">I", 2) + b"/p" + struct.pack(">I", 0xFFFFFFFE)


@pytest.mark.parametrize("kind", [0x80000002, 0x80000003])
def test_a_refusal_is_told_in_the_words_of_ssh(master: Master, kind: int) -> None:
    path = master(answer(kind, 1, text="Permission \xe4"))
    with contextlib.closing(MuxConnection(path, soon())) as connection, pytest.raises(Refused, match="Permission \xe4"):
        connection.listen("", 1, "/p", soon())


@pytest.mark.parametrize(
    ("greeting", "answers", "says"),
    [
        (struct.pack(">II", 1, 3), [], "another version"),
        (struct.pack(">II", 2, 4), [], "another version"),
        (_HELLO, [answer(0x80000001, 1)], "0x80000001"),
        (_HELLO, [b"abc"], "3 bytes"),
        (_HELLO, [bytes((1 << 18) + 1)], "262145 bytes"),
    ],
)
def test_another_language_is_no_master(master: Master, greeting: bytes, answers: list[bytes], says: str) -> None:
    path = master(*answers, greeting=greeting)
    with pytest.raises(MuxError, match=says), contextlib.closing(MuxConnection(path, soon())) as connection:
        connection.check(soon())


def test_a_master_that_ends_is_told_from_one_that_is_slow(master: Master, tmp_path: Path) -> None:
    with contextlib.closing(MuxConnection(master(stays=True), soon())) as connection, pytest.raises(TimeoutError):
        connection.check(time.monotonic() + 0.01)
    with contextlib.closing(MuxConnection(master(stays=False), soon())) as connection, pytest.raises(MuxError):
        connection.check(soon())
    with pytest.raises(MuxError):
        MuxConnection(str(tmp_path / "nobody"), soon())


def test_the_answer_to_what_was_given_up_can_be_awaited(master: Master, heard: Heard) -> None:
    heard.answers.clear()
    with contextlib.closing(MuxConnection(master(answer(0x80000005, 1, 7)), soon())) as connection:
        with pytest.raises(TimeoutError):
            connection.check(time.monotonic() + 0.01)
        heard.answers.set()
        connection.await_answer(soon())
        assert not heard.ended.is_set()
    assert heard.ended.wait(_SECONDS)
