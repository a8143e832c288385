# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exec client as a process of its own, with a server that is a few lines of the test here."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts import _exec_client
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._exec_client import Frames, Lost
from hypothesis import given
from hypothesis import strategies as st

from testbed.kube import websocket_frames as theirs

SECONDS = 20
"""How long something may take that is only awaited; nothing is measured by it."""
MANY = bytes(range(256)) * 4096 * 8
"""More than pipes and sockets hold."""
_FIN = 0x80
_PROGRAM = """
import sys, socket, os
sys.path.append({folder!r})
import _exec_client
{patch}
os._exit(_exec_client.converse(socket.socket(fileno={fd}), {received!r}))
"""


# -- frames ------------------------------------------------------------------------------------------------------------


def frame(opcode: int, content: bytes, fin: bool = True) -> bytes:
    size = len(content)
    small = size if size < 126 else 126 if size < 1 << 16 else 127
    length = b"" if size < 126 else struct.pack("!H", size) if size < 1 << 16 else struct.pack("!Q", size)
    return bytes(((_FIN if fin else 0) | opcode, small)) + length + content


def message(channel: int, content: bytes) -> bytes:
    return frame(0x2, bytes((channel,)) + content)


CONTENT = st.one_of(st.binary(max_size=20), st.integers(120, 130).map(bytes), st.integers(65530, 65540).map(bytes))
CONTROL = st.tuples(st.sampled_from([0x8, 0x9, 0xA]), st.binary(max_size=125))
PIECES = st.lists(st.tuples(CONTENT, st.lists(CONTROL, max_size=2)), min_size=1, max_size=4)


@given(st.lists(st.tuples(st.integers(0, 255), PIECES), max_size=5), st.lists(st.integers(1, 70_000), min_size=1))
def test_messages_come_out_as_they_went_in_however_they_are_split(
    messages: list[tuple[int, list[tuple[bytes, list[tuple[int, bytes]]]]]], sizes: list[int]
) -> None:
    """Messages in several frames, some of them empty, with controls between these, in pieces of any size."""
    sent, controls = b"", []
    data: dict[int, bytes] = {}
    for channel, pieces in messages:
        for number, (content, between) in enumerate(pieces):
            first, last = number == 0, number == len(pieces) - 1
            data[channel] = data.get(channel, b"") + content
            sent += frame(0x2 if first else 0x0, (bytes((channel,)) if first else b"") + content, last)
            controls += between
            sent += b"".join(frame(opcode, text) for opcode, text in between)
    frames, found, turn = Frames(), [], 0
    got: dict[int, bytes] = {}
    while sent:
        size = sizes[turn % len(sizes)]
        for what, piece in frames.feed(memoryview(sent[:size])):
            if what < 0:
                found.append((-1 - what, bytes(piece)))
            else:
                got[what] = got.get(what, b"") + piece
        sent, turn = sent[size:], turn + 1
    assert got == {channel: content for channel, content in data.items() if content}
    assert found == controls


def test_the_channel_may_come_after_an_empty_frame() -> None:
    sent = frame(0x2, b"", fin=False) + frame(0x0, b"\x01abc")
    assert [(channel, bytes(piece)) for channel, piece in Frames().feed(memoryview(sent))] == [(1, b"abc")]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x82\x81\x00\x00\x00\x00a", id="masked"),
        pytest.param(b"\xc2\x01a", id="extension"),
        pytest.param(b"\x81\x01a", id="text"),
        pytest.param(b"\x89\x7e\x01\x00", id="long-control"),
        pytest.param(b"\x09\x01a", id="control-in-parts"),
    ],
)
def test_a_server_that_breaks_the_protocol_is_refused(sent: bytes) -> None:
    with pytest.raises(Lost):
        Frames().feed(memoryview(sent))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_a_server_reads_our_frames(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    parts = list(theirs.FrameParser().feed(_exec_client.frame_head(0x2, size) + content))
    assert b"".join(part.data for part in parts if isinstance(part, theirs.Piece)) == content


# -- a command ---------------------------------------------------------------------------------------------------------


class Server:
    """The other end of the connection, in the words of a test."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._parser = theirs.FrameParser()
        self._found: list[Any] = []

    def send(self, *frames: bytes) -> None:
        self.connection.sendall(b"".join(frames))

    def end(self, status: dict[str, Any] | bytes) -> None:
        """Tell the status and close, as a server does."""
        said = status if isinstance(status, bytes) else json.dumps(status).encode()
        self.send(message(3, said), frame(0x8, struct.pack("!H", 1000)))

    def next(self) -> Any:
        """Return the next part of a message, or control, that the client sent; None if it hung up."""
        while not self._found:
            received = self.connection.recv(1 << 18)
            if not received:
                return None
            # of what is received next: the parts may point into it
            self._found += [
                theirs.Piece(memoryview(bytes(part.data)), part.first, part.last)
                if isinstance(part, theirs.Piece)
                else part
                for part in self._parser.feed(received)
            ]
        return self._found.pop(0)

    def stdin(self) -> bytes:
        """Return standard input up to its end."""
        whole, channel = bytearray(), 0
        while (part := self.next()) is not None:
            if isinstance(part, theirs.Control):
                continue
            data = part.data
            if part.first and data:
                channel, data = data[0], data[1:]
            if channel == 255:
                assert bytes(data) == b"\0"
                return bytes(whole)
            whole += data
        raise AssertionError("the client hung up before its input ended")

    def reset(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class Client:
    """A client that runs; what it is given and prints is the test's."""

    def __init__(self, received: bytes = b"", patch: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            accepted, _address = listener.accept()
        accepted.settimeout(SECONDS)
        self.server = Server(accepted)
        folder = str(Path(_exec_client.__file__).parent)
        program = _PROGRAM.format(folder=folder, patch=patch, fd=ours.fileno(), received=received)
        with ours:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[ours.fileno()],
            )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def result(self, given: bytes = b"") -> tuple[int, bytes, bytes]:
        """Give it its input, and return how it ended and what it printed."""
        out, err = self.process.communicate(given, SECONDS)
        return self.process.returncode, out, err

    def close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr, self.server.connection):
            with contextlib.suppress(OSError):
                stream.close()
        self.process.kill()
        self.process.wait()


Start = Callable[..., Client]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Client] = []

    def make(received: bytes = b"", patch: str = "") -> Client:
        started.append(Client(received, patch))
        return started[-1]

    yield make
    for each in started:
        each.close()


@contextlib.contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread; what it raises fails the test."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as exc:
            failed.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join(SECONDS)
    assert not thread.is_alive(), "it never came to its end"
    assert not failed, failed


SUCCESS = {"status": "Success"}


def exited(code: int) -> dict[str, Any]:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}


def test_output_and_errors_go_their_own_ways_whatever_they_arrive_with(start: Start) -> None:
    """Some of it comes with the answer to the request, and the status with the last of it."""
    client = start(message(1, b"one ") + message(2, b"warning")[:5])
    client.server.send(message(2, b"warning")[5:], frame(0x2, b"", fin=False), frame(0x0, b"\x01two"))
    client.server.end(SUCCESS)
    assert client.result() == (0, b"one two", b"warning")


def test_a_whole_command_may_come_with_the_answer(start: Start) -> None:
    said = message(1, b"all") + message(3, json.dumps(exited(4)).encode()) + frame(0x8, b"")
    assert start(said).result() == (4, b"all", b"")


@pytest.mark.parametrize(
    ("status", "rc", "said"),
    [
        (SUCCESS, 0, b""),
        (exited(3), 3, b""),
        (exited(255), 255, b""),
        ({"status": "Failure", "message": "no such pod"}, 1, b"error: no such pod\n"),
        ({"status": "Failure", "reason": "NonZeroExitCode"}, 1, b"what is no status"),
        ({"status": "Failure"}, 1, b"the server does not say why"),
        (b"[]", 1, b"what is no status"),
        (b"\xff{", 1, b"what is no status"),
    ],
)
def test_the_exit_status_is_that_of_the_command(
    start: Start, status: dict[str, Any] | bytes, rc: int, said: bytes
) -> None:
    client = start()
    client.server.send(message(1, b"out"))
    client.server.end(status)
    found = client.result()
    assert found[:2] == (rc, b"out")
    assert said in found[2]
    assert b"Traceback" not in found[2]


@pytest.mark.parametrize("end", ["closed", "hung up", "reset", "in mid frame", "nonsense"])
def test_a_command_whose_status_never_came_is_no_success(start: Start, end: str) -> None:
    client = start()
    server = client.server
    server.send(message(1, b"out"))
    assert client.stdout.read(3) == b"out"  # a reset would take it back
    if end == "closed":
        server.send(frame(0x8, struct.pack("!H", 1011)))
    elif end == "in mid frame":
        server.send(message(1, b"more")[:-2])
        server.connection.shutdown(socket.SHUT_WR)
    elif end == "nonsense":
        server.send(b"HTTP/1.1 500 Oops\r\n\r\n")
    elif end == "hung up":
        server.connection.close()
    else:
        server.reset()
    rc, _out, err = client.result()
    assert (rc, err) == (1, b"error: the connection to the API server was lost before the command ended\n")


def test_the_end_of_the_input_is_told_and_the_command_goes_on(start: Start) -> None:
    client = start()
    seen = []

    def serve() -> None:
        seen.append(client.server.stdin())
        client.server.send(message(1, b"later"))
        client.server.end(SUCCESS)

    with beside(serve):
        assert client.result(b"given") == (0, b"later", b"")
    assert seen == [b"given"]


def test_a_server_that_sends_before_it_reads_gets_everything(start: Start) -> None:
    client = start()
    seen = []

    def serve() -> None:
        for at in range(0, len(MANY), 30_000):
            client.server.send(message(1, MANY[at : at + 30_000]))
        seen.append(client.server.stdin())
        client.server.end(SUCCESS)

    with beside(serve):
        rc, out, _err = client.result(MANY)
    assert rc == 0
    assert out == MANY, "the output is not what was sent"
    assert seen == [MANY], "the input is not what was given"


def test_input_flows_while_nobody_reads_the_output(start: Start) -> None:
    client = start()
    taken = threading.Event()
    seen = []

    def send() -> None:
        client.server.send(*(message(1, MANY[at : at + 30_000]) for at in range(0, len(MANY), 30_000)))

    def give() -> None:
        client.stdin.write(MANY)
        client.stdin.close()

    def read() -> None:
        assert taken.wait(SECONDS)
        seen.append(client.stdout.read())

    with beside(read):
        with beside(send), beside(give):
            assert client.server.stdin() == MANY, "the input is not what was given"
            taken.set()
        client.server.end(SUCCESS)
    assert client.process.wait(SECONDS) == 0
    assert seen == [MANY], "the output is not what was sent"


def test_a_command_may_end_without_reading_its_input(start: Start) -> None:
    """A server that closes with input of ours unread resets the connection behind its last words."""
    client = start()
    client.stdin.write(bytes(1 << 16))
    client.stdin.flush()
    assert client.server.next() is not None
    client.process.send_signal(signal.SIGSTOP)
    client.server.send(message(1, b"enough"))
    client.server.end(SUCCESS)
    client.server.reset()
    client.process.send_signal(signal.SIGCONT)
    assert client.result() == (0, b"enough", b"")


def test_pings_are_answered_between_the_parts_of_a_message(start: Start) -> None:
    client = start()
    client.server.send(frame(0x2, b"\x01one", fin=False), frame(0x9, b"there?"), frame(0x0, b" two"))
    assert client.server.next() == theirs.Control(theirs.Opcode.PONG, b"there?")
    client.server.end(SUCCESS)
    assert client.result() == (0, b"one two", b"")


def test_a_server_that_is_silent_is_asked_for_a_sign(start: Start) -> None:
    client = start(patch="_exec_client._PING_SECONDS = 0.01")
    assert client.server.next() == theirs.Control(theirs.Opcode.PING, b"")
    client.server.end(SUCCESS)
    assert client.result()[0] == 0


def test_it_ends_where_nobody_reads_its_output(start: Start) -> None:
    client = start()
    client.stdout.close()
    with contextlib.suppress(OSError):
        client.server.send(*(message(1, bytes(30_000)) for _ in range(100)))
    assert client.process.wait(SECONDS) == 1
    assert client.stderr.read() == b""


def test_it_ends_with_whoever_started_it_though_the_command_says_nothing(start: Start) -> None:
    client = start()
    client.stdin.close()
    assert client.server.stdin() == b""
    client.stdout.close()
    client.stderr.close()
    assert client.process.wait(SECONDS) == 1


def test_it_ends_by_a_signal_like_any_program(start: Start) -> None:
    client = start(message(1, b"."))
    assert client.stdout.read(1) == b"."
    client.process.terminate()
    assert client.process.wait(SECONDS) == -signal.SIGTERM


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_it_sleeps_while_nobody_reads_it_even_if_the_connection_is_gone(start: Start) -> None:
    client = start()
    sender = threading.Thread(target=lambda: client.server.send(message(1, MANY[: 1 << 20]), b"\x8a\x00"))
    sender.start()
    sender.join(SECONDS)  # what pipes and sockets do not hold is in the client
    client.server.reset()
    deadline = time.monotonic() + SECONDS
    before = -1
    while before != (now := cpu_ticks(client.process.pid)):
        assert time.monotonic() < deadline, "it is busy although there is nothing to do"
        before = now
        time.sleep(0.2)
    rc, out, _err = client.result()
    assert rc == 1
    assert MANY.startswith(out), "what had arrived is lost or wrong"


GONE = """
import sys, socket, subprocess, os, threading
sys.path.append(sys.argv[1])
import _exec_client
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
server, _ = listener.accept()
_exec_client._PING_SECONDS, _exec_client._GONE_SECONDS = 0.05, 0.5
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
os._exit(_exec_client.converse(client, b""))
"""


@pytest.mark.skipif(
    not (shutil.which("unshare") and shutil.which("ip"))
    or subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode != 0,
    reason="it needs a network of its own",
)
def test_a_server_that_is_gone_without_a_word_is_noticed() -> None:
    program = textwrap.dedent(GONE)
    folder = str(Path(_exec_client.__file__).parent)
    read_end, write_end = os.pipe()  # input that does not end
    try:
        done = subprocess.run(
            ["unshare", "-rn", sys.executable, "-c", program, folder],
            stdin=read_end,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        os.close(read_end)
        os.close(write_end)
    assert done.stderr == b"error: the connection to the API server was lost before the command ended\n"
    assert done.returncode == 1
