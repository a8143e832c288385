# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _splice
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._handed import Handed, is_closed, sent_by
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._splice import Flow, LargePipes, relay
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_words import ChannelWatch, Fate

_SECONDS = 10.0


def connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection; the second is the one that was accepted, and does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), _SECONDS)
        served, _address = listener.accept()
        served.setblocking(False)
        return client, served


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Scene:
    """A client, what was accepted of it, and a far end, relayed in a thread of its own."""

    def __init__(self, half_open: float = _SECONDS) -> None:
        self.client, self.near = connected()
        self.far, self.target = connected()
        self.counted = [0, 0]
        self.error: OSError | None = None
        self._half_open = half_open
        self._thread = threading.Thread(target=self._relay, daemon=True)
        self._thread.start()

    def _relay(self) -> None:
        first, second = os.pipe(), os.pipe()
        large = LargePipes()
        near, far = self.near.fileno(), self.target.fileno()
        ask = Flow(near, far, lambda: self.target.shutdown(socket.SHUT_WR), (first[1], large), first)
        answer = Flow(far, near, lambda: self.near.shutdown(socket.SHUT_WR), (second[1], large), second)
        try:
            relay(ask, answer, self._count, self._half_open)
        except OSError as exc:
            self.error = exc
        finally:
            for flow in (ask, answer):
                flow.close()
            for fd in (*first, *second):
                os.close(fd)

    def _count(self, up: int, down: int) -> None:
        self.counted[0] += up
        self.counted[1] += down

    def ended(self) -> OSError | None:
        """Wait for the end of the relay; return its error."""
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive()
        return self.error

    def close(self) -> None:
        for one in (self.client, self.near, self.far, self.target):
            one.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def sending(to: socket.socket, data: bytes) -> threading.Thread:
    """Send data and end, in a thread."""

    def send() -> None:
        to.sendall(data)
        to.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def whole(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read()


def test_both_directions_are_whole_counted_and_end_on_their_own(scene: Scene) -> None:
    up, down = os.urandom(3_000_001), os.urandom(2_000_003)
    sending(scene.client, up)
    assert whole(scene.far) == up
    assert sending(scene.far, down)
    assert whole(scene.client) == down
    assert scene.ended() is None
    assert scene.counted == [len(up), len(down)]


def test_a_client_that_does_not_read_does_not_stop_what_it_sends(scene: Scene) -> None:
    sender = sending(scene.far, bytes(32 << 20))
    sending(scene.client, b"still heard")
    assert whole(scene.far) == b"still heard"
    assert sender.is_alive()
    assert len(whole(scene.client)) == 32 << 20
    assert scene.ended() is None


@pytest.mark.parametrize("who", ["client", "far"])
def test_a_reset_is_an_error_and_no_end(scene: Scene, who: str) -> None:
    reset(getattr(scene, who))
    error = scene.ended()
    assert error is not None
    assert error.errno == errno.ECONNRESET


def test_a_client_that_leaves_while_nothing_comes_for_it_is_noticed(scene: Scene) -> None:
    sending(scene.client, b"x")
    assert whole(scene.far) == b"x"
    reset(scene.client)
    assert isinstance(scene.ended(), ConnectionResetError)


def test_who_is_silent_after_the_answer_has_ended_is_given_up() -> None:
    with contextlib.closing(Scene(half_open=0.01)) as scene:
        scene.far.shutdown(socket.SHUT_WR)
        assert whole(scene.client) == b""
        assert scene.ended() is None


def test_a_far_end_that_takes_nothing_still_gives_its_answer() -> None:
    client, near = connected()
    up, down = os.pipe(), os.pipe()
    os.close(up[0])
    ask_ended = threading.Event()
    large = LargePipes()
    ask = Flow(near.fileno(), up[1], ask_ended.set, (up[1], large))
    answer = Flow(down[0], near.fileno(), lambda: near.shutdown(socket.SHUT_WR), (down[0], large))
    relaying = threading.Thread(target=relay, args=(ask, answer, lambda _up, _down: None, _SECONDS), daemon=True)
    relaying.start()
    client.sendall(b"a question")
    assert ask_ended.wait(_SECONDS)
    os.write(down[1], b"the answer")
    os.close(down[1])
    assert whole(client) == b"the answer"
    relaying.join(_SECONDS)
    assert not relaying.is_alive()
    for end in (client, near):
        end.close()
    for fd in (up[1], down[0]):
        os.close(fd)


def test_large_pipes_are_limited_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_splice, "PIPE_SIZE", 1 << 17)
    pipes = LargePipes(1)
    first, second = os.pipe(), os.pipe()
    assert pipes.take(first[1])
    assert not pipes.take(second[1])
    pipes.give_back()
    assert pipes.take(second[1])
    for fd in (*first, *second):
        os.close(fd)


# -- what ssh moves by itself


class HandedScene:
    """A client whose socket somebody else has, too."""

    def __init__(self) -> None:
        self.client, self.near = connected()
        self.ssh = self.near.dup()
        self.watch = ChannelWatch()
        self.counted = [0, 0]
        self.handed = Handed(self.near)
        self.handed.begin(self.watch, self._count)

    def _count(self, up: int, down: int) -> None:
        self.counted[0] += up
        self.counted[1] += down

    def close(self) -> None:
        self.handed.close()
        for one in (self.client, self.near, self.ssh):
            one.close()


@pytest.fixture
def handed() -> Iterator[HandedScene]:
    made = HandedScene()
    yield made
    made.close()


def test_the_end_is_passed_on_although_others_have_the_socket(handed: HandedScene) -> None:
    assert handed.ssh.send(b"all of it") == 9
    handed.watch.decide(Fate.ENDED)
    handed.handed.advance()
    assert handed.handed.done
    assert whole(handed.client) == b"all of it"
    assert handed.counted == [0, 9]


def test_what_moved_is_counted_once_read_or_not(handed: HandedScene) -> None:
    handed.ssh.send(bytes(1000))
    handed.handed.catch_up()
    assert handed.counted == [0, 1000]
    assert handed.client.recv(1000)
    handed.ssh.send(bytes(24))
    handed.handed.catch_up()
    handed.handed.catch_up()
    assert handed.counted == [0, 1024] == [0, sent_by(handed.near)]


@pytest.mark.parametrize(
    ("happen", "says"),
    [
        (lambda scene: scene.watch.decide(Fate.LOST), "the SSH connection was lost"),
        (lambda scene: scene.watch.decide(Fate.CUT), "the client ended"),
        (lambda scene: scene.handed.interrupt(), "was cut"),
    ],
)
def test_what_is_no_end_is_not_passed_on_as_one(
    handed: HandedScene, happen: Callable[[HandedScene], None], says: str
) -> None:
    happen(handed)
    with pytest.raises(ConnectionError, match=says):
        handed.handed.advance()
    handed.client.settimeout(0)
    with pytest.raises(BlockingIOError):
        handed.client.recv(1)


def test_a_reset_that_somebody_else_was_told_of_is_seen(handed: HandedScene) -> None:
    assert not is_closed(handed.near)
    reset(handed.client)
    with pytest.raises(ConnectionResetError):
        handed.ssh.recv(1)
    assert handed.near.recv(1) == b""  # which looks like an end
    assert is_closed(handed.near)
    handed.watch.decide(Fate.ENDED)
    with pytest.raises(ConnectionResetError):
        handed.handed.advance()


def test_the_end_of_what_a_client_sends_is_not_taken_for_a_reset(handed: HandedScene) -> None:
    handed.client.shutdown(socket.SHUT_WR)
    handed.near.setblocking(True)
    assert handed.near.recv(1) == b""
    assert not is_closed(handed.near)


def test_one_whose_fate_was_known_before_is_ready_at_once() -> None:
    with contextlib.closing(HandedScene()) as scene:
        scene.watch.decide(Fate.ENDED)
        other = Handed(scene.near)
        other.begin(scene.watch, lambda _up, _down: None)
        fd, _event = other.awaits
        assert os.eventfd_read(fd)
        other.close()
