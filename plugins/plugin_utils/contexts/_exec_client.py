# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in a container over a WebSocket, as ``kubectl exec -i`` does, without the time that takes to start.

A program of its own (_direct.py starts it), with nothing of the collection in it. It makes ready, and then waits to be
given the descriptors of one command and what to ask for; where nobody asks it just ends. It has also got the kubectl
command line for the same. That takes over wherever no stream of the protocol ``v5.channel.k8s.io`` comes about: an
older server, a proxy, credentials that ran out. Not a byte of standard input is read before, and the messages of what
cannot be reached are kubectl's.

A message is a byte that names the channel, and data; ``[255, 0]`` ends standard input; the exit status is a ``Status``
on channel 3 (k8s.io/apimachinery, pkg/util/remotecommand). Frames are those of RFC 6455, and ours have a mask of
zeros: it is there to keep scripts of web pages from talking to caches (section 10.3).
"""

from __future__ import annotations

import marshal
import os
import select
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes a tenth of the time in which this starts
    import ssl
    from typing import Any, NoReturn

_STDIN, _STDOUT, _STDERR, _ERROR = range(4)
_CLOSE_STDIN = bytes((255, _STDIN))
_CONTINUED, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x2, 0x8, 0x9, 0xA
_FIN = _MASKED = 0x80
_CONTROL = 0x08
_NORMAL_CLOSURE = (1000).to_bytes(2, "big")

_READ_SIZE = 256 * 1024
_SENT_AT_ONCE = 128 * 1024
"""Bytes of standard input in a message."""
_ROOM = 15
"""Bytes before them: the head of the frame and the channel."""
_HEAD_LIMIT = 1 << 16
_STATUS_LIMIT = 1 << 20
_PING_SECONDS = 5.0
"""How long nothing may come before the server is asked for a sign: what is between us cuts what is silent for long.
That it answers is not waited for. It cannot read the question while the command does not take its input."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A server that is gone without a word is noticed after a minute, if nothing is on the way to it."""
_GONE_SECONDS = 60.0
"""And otherwise after this time: a kernel would try for a quarter of an hour (tcp(7), tcp_retries2). TCP_USER_TIMEOUT
would also end a connection whose server answers and just takes nothing, as long as the command reads nothing."""
_LOST = "error: the connection to the API server was lost before the command ended"


class NoStream(Exception):
    """The server does not let a command run this way; kubectl may know another one, or says why not."""


class Lost(Exception):
    """The connection ended, or makes no sense, before the status of the command came."""


def encryption(ca: str | None, verify: bool, certificate: int | None) -> ssl.SSLContext:
    """Return how to encrypt; ``certificate`` is the descriptor of the client's own, with its key."""
    import ssl

    made = ssl.create_default_context(cadata=ca) if ca else ssl.create_default_context()
    made.set_alpn_protocols(["http/1.1"])
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        made.load_cert_chain(f"/dev/fd/{certificate}", password=lambda: "")
        os.close(certificate)
    return made


def connect(
    place: dict[str, Any], tls: ssl.SSLContext | None, question: dict[str, bytes]
) -> tuple[socket.socket, bytes]:
    """Return a connection that speaks the protocol, and what was received of it; raise NoStream or OSError."""
    connection = socket.create_connection((place["host"], place["port"]), timeout=place["seconds"])
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    if tls is not None:
        connection = tls.wrap_socket(connection, server_hostname=place["name"])
    connection.sendall(question["request"])
    received = b""
    while b"\r\n\r\n" not in received:
        more = connection.recv(_READ_SIZE)
        received += more
        if not more or len(received) > _HEAD_LIMIT:
            raise NoStream
    head, _end, rest = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(b":") for line in lines)}
    if status.split(b" ")[1:2] != [b"101"] or headers.get(b"sec-websocket-accept") != question["accept"]:
        raise NoStream
    if headers.get(b"sec-websocket-protocol") != question["protocol"]:
        raise NoStream
    return connection, rest


def frame_head(opcode: int, size: int) -> bytes:
    """Return what stands before the content of a frame of ours."""
    if size < 126:
        return bytes((_FIN | opcode, _MASKED | size, 0, 0, 0, 0))
    if size < 1 << 16:
        return bytes((_FIN | opcode, _MASKED | 126)) + size.to_bytes(2, "big") + bytes(4)
    return bytes((_FIN | opcode, _MASKED | 127)) + size.to_bytes(8, "big") + bytes(4)


class Frames:
    """Takes the frames of a server apart, in whatever pieces they arrive."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        """Bytes of the content that are still to come."""
        self._opcode = 0
        self._channel: int | None = None
        """That of the message, once its first byte is known."""
        self._control = b""

    def feed(self, received: memoryview) -> list[tuple[int, memoryview]]:
        """Return what was received: the number of a channel and a piece of its data, or -1 - opcode and a control.

        Raises Lost for what is no such frame.
        """
        found: list[tuple[int, memoryview]] = []
        at, size = 0, len(received)
        while at < size:
            if not self._left:
                at = self._begin(received, at)
                if self._opcode & _CONTROL and not self._head and not self._left:
                    found.append((-1 - self._opcode, memoryview(b"")))
                continue
            taken = min(self._left, size - at)
            piece = received[at : at + taken]
            at += taken
            self._left -= taken
            if self._opcode & _CONTROL:
                self._control += piece
                if not self._left:
                    found.append((-1 - self._opcode, memoryview(self._control)))
                continue
            if self._channel is None:
                self._channel, piece = piece[0], piece[1:]
            if piece:
                found.append((self._channel, piece))
        return found

    def _begin(self, received: memoryview, at: int) -> int:
        """Read the head of a frame as far as it is here, and return where what follows begins."""
        need = 2 if len(self._head) < 2 else 2 + {126: 2, 127: 8}.get(self._head[1] & 0x7F, 0)
        taken = received[at : at + need - len(self._head)]
        self._head += taken
        at += len(taken)
        if len(self._head) < 2 or len(self._head) < 2 + {126: 2, 127: 8}.get(self._head[1] & 0x7F, 0):
            return at
        first, second = self._head[0], self._head[1] & 0x7F
        self._left = int.from_bytes(self._head[2:], "big") if second > 125 else second
        self._opcode = first & 0x0F
        if self._head[1] & _MASKED or first & 0x70 or self._opcode not in (_CONTINUED, _BINARY, _CLOSE, _PING, _PONG):
            raise Lost
        if self._opcode & _CONTROL:
            if second > 125 or not first & _FIN:
                raise Lost
            self._control = b""
        elif self._opcode == _BINARY:
            self._channel = None
        self._head = b""
        return at


class _Outlet:
    """What has to go to one of our own outputs, in its order."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.waiting: list[memoryview] = []
        os.set_blocking(fd, False)

    def flush(self) -> None:
        """Write what can be written now; raise BrokenPipeError if nobody reads it."""
        while self.waiting:
            try:
                written = os.writev(self.fd, self.waiting[:512])
            except BlockingIOError:
                return
            while self.waiting and written >= len(self.waiting[0]):
                written -= len(self.waiting.pop(0))
            if written:
                self.waiting[0] = self.waiting[0][written:]


class Exec:
    """One command, from the first byte of its input to its exit status."""

    def __init__(self, connection: socket.socket, received: bytes) -> None:
        self._connection = connection
        self._blocked = blocked_by(connection)
        self._frames = Frames()
        self._buffer = memoryview(bytearray(_READ_SIZE))
        self._outlets = {_STDOUT: _Outlet(1), _STDERR: _Outlet(2)}
        self._status = b""
        self._closed = False
        self._more = False
        """Whether there may be more to move without waiting."""
        self._input = memoryview(bytearray(_ROOM + _SENT_AT_ONCE))
        self._input_ended = False
        self._sending = memoryview(b"")
        """What is left of the frame that is being sent."""
        self._controls: list[bytes] = []
        """Frames that go before the next one of data."""
        self._heard = time.monotonic()
        connection.setblocking(False)
        os.set_blocking(0, False)
        self._take(memoryview(received))

    def run(self) -> int:
        """Return the exit status of the command; raise Lost if none came, BrokenPipeError if nobody reads us."""
        try:
            while not self._closed:
                self._more = False
                self._flush()
                if not self._waits_for_reader:
                    self._receive()
                self._send()
                if not self._closed:
                    self._wait()
        finally:
            for outlet in self._outlets.values():
                os.set_blocking(outlet.fd, True)
            self._flush()
        self._controls = [frame_head(_CLOSE, len(_NORMAL_CLOSURE)) + _NORMAL_CLOSURE]
        self._send()
        return self._exit_status()

    @property
    def _waits_for_reader(self) -> bool:
        return any(outlet.waiting for outlet in self._outlets.values())

    def _flush(self) -> None:
        for outlet in self._outlets.values():
            outlet.flush()

    def _wait(self) -> None:
        """Wait until something can be moved; raise BrokenPipeError if nobody is left who started us."""
        poll = select.poll()
        wanted = (0 if self._waits_for_reader else select.POLLIN) | (select.POLLOUT if self._sending else 0)
        if wanted:  # or a connection that has ended would wake us for ever
            poll.register(self._connection, wanted)
        if not self._sending and not self._input_ended:
            poll.register(0, select.POLLIN)
        for outlet in self._outlets.values():
            # whoever started us keeps the other end of this one for as long as we are of use
            if outlet.waiting or outlet.fd == _STDERR:
                poll.register(outlet.fd, select.POLLOUT if outlet.waiting else 0)
        found = poll.poll(0 if self._more else _PING_SECONDS * 1000)
        if any(fd == _STDERR and event & select.POLLERR for fd, event in found):
            raise BrokenPipeError
        silent = time.monotonic() - self._heard
        if silent > _GONE_SECONDS and unanswered(self._connection) > _GONE_SECONDS:
            raise Lost
        if not found and not self._more and not self._controls and not self._waits_for_reader:
            self._controls.append(frame_head(_PING, 0))

    # -- from the server

    def _receive(self) -> None:
        """Pass on what has arrived; raise Lost if nothing can come any more."""
        filled, ended = 0, False
        try:
            while filled < len(self._buffer) and not ended:
                count = self._connection.recv_into(self._buffer[filled:])
                filled += count
                ended = not count
        except self._blocked:
            pass
        except OSError:
            ended = True
        if filled:
            self._heard = time.monotonic()
        elif ended:
            raise Lost
        self._more = filled == len(self._buffer)
        # what is not written at once lies in the buffer, which is not used until it is
        self._take(self._buffer[:filled])
        self._flush()

    def _take(self, received: memoryview) -> None:
        for channel, data in self._frames.feed(received):
            if channel in self._outlets:
                self._outlets[channel].waiting.append(data)
            elif channel == _ERROR and len(self._status) < _STATUS_LIMIT:
                self._status += data
            elif channel == -1 - _PING:
                self._controls.append(frame_head(_PONG, len(data)) + data)
            elif channel == -1 - _CLOSE:
                self._closed = True

    def _exit_status(self) -> int:
        if not self._status:
            raise Lost
        import json

        try:
            status = json.loads(self._status)
            if status["status"] == "Success":
                return 0
            if status.get("reason") == "NonZeroExitCode":
                causes = status["details"]["causes"]
                return next(int(cause["message"]) for cause in causes if cause["reason"] == "ExitCode")
            said = status.get("message") or status.get("reason") or "the server does not say why"
        except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
            said = f"the server ended the command with what is no status: {self._status[:200]!r}"
        os.write(2, f"error: {said}\n".encode(errors="replace"))
        return 1

    # -- to the server

    def _send(self) -> None:
        """Send what waits, and what there is of standard input, until the server takes no more for now."""
        for _turn in range(16):
            if not self._sending and not self._next_frame():
                return
            try:
                sent = self._connection.send(self._sending)
            except self._blocked:
                return
            except OSError:  # it may have ended in order: what has arrived tells
                self._sending, self._input_ended = memoryview(b""), True
                self._controls.clear()
                return
            self._sending = self._sending[sent:]
        self._more = True

    def _next_frame(self) -> bool:
        """Make ready what is to be sent now; return whether there is something."""
        if self._controls:
            self._sending = memoryview(self._controls.pop(0))
            return True
        if self._input_ended or self._closed:
            return False
        try:
            count = os.readv(0, [self._input[_ROOM:]])
        except BlockingIOError:
            return False
        if not count:
            self._input_ended = True
            self._sending = memoryview(frame_head(_BINARY, len(_CLOSE_STDIN)) + _CLOSE_STDIN)
            return True
        head = frame_head(_BINARY, 1 + count) + bytes((_STDIN,))
        start = _ROOM - len(head)
        self._input[start:_ROOM] = head
        self._sending = self._input[start : _ROOM + count]
        return True


def blocked_by(connection: socket.socket) -> tuple[type[OSError], ...]:
    """Return what a connection raises where it would have to wait."""
    if not hasattr(connection, "pending"):  # of TLS; ssl is not imported to ask for its type
        return (BlockingIOError,)
    import ssl

    return (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def unanswered(connection: socket.socket) -> float:
    """Return for how many seconds what is on the way to the other side was not confirmed, 0 if nothing is.

    From tcpi_unacked and tcpi_last_ack_recv (milliseconds) of struct tcp_info, see tcp(7) and linux/tcp.h.
    """
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 60)
    packets, milliseconds = (int.from_bytes(info[at : at + 4], sys.byteorder) for at in (24, 56))
    return milliseconds / 1000 if packets else 0.0


def main() -> NoReturn:
    """Serve one command. The arguments are two descriptors: of what is known before, and of a socket for the rest."""
    place = marshal.loads(_content(int(sys.argv[1])))
    try:
        tls = None if place["tls"] is None else encryption(**place["tls"])
    except (OSError, ValueError, TypeError):
        tls = None
        place["host"] = None  # kubectl may know better, or says what is wrong
    waiting = socket.socket(fileno=int(sys.argv[2]))
    _message, fds, _flags, _address = socket.recv_fds(waiting, 1, 4)
    if len(fds) != 4:
        os._exit(0)
    waiting.close()
    for number, fd in enumerate(fds[:3]):
        os.dup2(fd, number)
        os.close(fd)
    question = marshal.loads(_content(fds[3]))
    os._exit(_serve(place, tls, question))


def _content(fd: int) -> bytes:
    """Return what is in a file, and close it."""
    content = os.pread(fd, os.fstat(fd).st_size, 0)
    os.close(fd)
    return content


def _serve(place: dict[str, Any], tls: ssl.SSLContext | None, question: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    try:
        if place["host"] is None:
            raise NoStream
        connection, received = connect(place, tls, question)
    except (NoStream, OSError, ValueError):  # the last is of names that cannot be one of a host
        _leave_it_to(question["kubectl"])
    return converse(connection, received)


def converse(connection: socket.socket, received: bytes) -> int:
    """Carry the streams of a command, and return its exit status; 1 if that is not known, which is said."""
    try:
        return Exec(connection, received).run()
    except BrokenPipeError:
        return 1
    except Lost:
        os.write(2, f"{_LOST}\n".encode())
        return 1


def _leave_it_to(kubectl: list[bytes]) -> NoReturn:
    import signal

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and who is started would too
    try:
        os.execvp(kubectl[0], kubectl)
    except OSError as exc:
        os.write(2, b"error: %b cannot be started: %b\n" % (kubectl[0], os.strerror(exc.errno or 0).encode()))
        os._exit(1)
