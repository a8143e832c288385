# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.forwards import _kube_relay, _spdy
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_pair import Pair
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_relay import ClientLeft, Relay
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_target import Pod
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_tunnel import Tunnel

_SECONDS = 10.0
_POD = Pod("web-1", "uid-1", ())


class Node:
    """The node's end of a tunnel: says what the test says, and collects what it hears."""

    def __init__(self) -> None:
        near, self._socket = socket.socketpair()
        self._socket.settimeout(_SECONDS)
        self.tunnel = Tunnel(near, websocket=False)
        self.pair = Pair(self.tunnel, _POD, 80)
        self.heard = b""
        self.told_end = False
        self._reader = _spdy.Reader()

    def say(self, data: bytes) -> None:
        self._socket.sendall(_spdy.data_header(self.pair.data, len(data)) + data)

    def end(self, error: bytes = b"") -> None:
        """End both streams, as a node does that has no more to do with it."""
        text = _spdy.data_header(self.pair.error, len(error)) + error if error else b""
        self._socket.sendall(text + _spdy.fin(self.pair.data) + _spdy.fin(self.pair.error))

    def end_data(self) -> None:
        self._socket.sendall(_spdy.fin(self.pair.data))

    def hear(self, until: Callable[[], bool]) -> None:
        """Take what comes until something is the case."""
        while not until():
            for event in self._reader.feed(memoryview(self._socket.recv(1 << 16))):
                if isinstance(event, _spdy.Data) and event.stream == self.pair.data:
                    self.heard += event.content
                    self.told_end |= event.fin

    def leave(self) -> None:
        self._socket.close()

    def close(self) -> None:
        self._socket.close()
        self.tunnel.close()


class Pods:
    def __init__(self) -> None:
        self.gone = self.leaving = False

    def is_gone(self, pair: Pair) -> bool:
        return pair.pod is _POD and self.gone

    def is_leaving(self, pair: Pair) -> bool:
        return pair.pod is _POD and self.leaving


class Scene:
    """A client and a node, with a relay between them that runs in a thread of its own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.client = socket.create_connection(listener.getsockname(), _SECONDS)
            self.near, _address = listener.accept()
        self.near.setblocking(False)
        self.node = Node()
        self.pods = Pods()
        self.counted = [0, 0]
        self.stopped = False
        self.relay = Relay(self.node.pair, self.near, self._count, self.pods, lambda: self.stopped)
        self.error: ConnectionError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _count(self, up: int, down: int) -> None:
        self.counted[0] += up
        self.counted[1] += down

    def _run(self) -> None:
        try:
            self.relay.run()
        except ConnectionError as exc:
            self.error = exc

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ended(self) -> ConnectionError | None:
        """Wait for the end of the relay; return its error."""
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive()
        return self.error

    def rest(self) -> bytes:
        """Return all that comes to the client until its end."""
        with self.client.makefile("rb") as stream:
            return stream.read()

    def close(self) -> None:
        self.node.close()
        self.client.close()
        self.near.close()


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.close()


def test_both_directions_are_whole_counted_and_end_on_their_own(scene: Scene) -> None:
    scene.start()
    up = bytes(range(256)) * 2000
    sender = threading.Thread(target=scene.client.sendall, args=(up,))
    sender.start()
    scene.node.hear(lambda: len(scene.node.heard) == len(up))
    sender.join()
    assert scene.node.heard == up
    assert not scene.node.told_end
    scene.client.shutdown(socket.SHUT_WR)
    scene.node.hear(lambda: scene.node.told_end)
    scene.node.say(b"after that, too")
    scene.node.end()
    assert scene.rest() == b"after that, too"
    assert scene.ended() is None
    assert scene.counted == [len(up), 15]
    assert scene.relay.is_clean


def test_a_client_may_go_on_after_the_end_of_what_comes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kube_relay, "_LAST_WORD", 0.05)
    scene.start()
    scene.node.say(b"x")
    scene.node.end_data()
    assert scene.rest() == b"x"
    scene.client.sendall(b"still")
    scene.node.hear(lambda: scene.node.heard == b"still")
    scene.client.shutdown(socket.SHUT_WR)
    scene.node.hear(lambda: scene.node.told_end)
    scene.node.end()
    assert scene.ended() is None


def test_a_client_that_does_not_read_stops_what_comes_and_not_what_it_sends(scene: Scene) -> None:
    scene.start()
    big = bytes(1 << 20)

    def pour() -> None:
        for _each in range(16):
            scene.node.say(big)

    sender = threading.Thread(target=pour, daemon=True)
    sender.start()
    scene.client.sendall(b"heard nevertheless")
    scene.node.hear(lambda: scene.node.heard == b"heard nevertheless")
    assert sender.is_alive()
    got = 0
    while got < 16 << 20:
        got += len(scene.client.recv(1 << 20))
    sender.join(_SECONDS)
    scene.node.end()
    assert scene.rest() == b""
    assert scene.ended() is None


def test_an_error_of_the_node_is_told_and_no_end(scene: Scene) -> None:
    scene.start()
    scene.node.say(b"some")
    assert scene.client.recv(4) == b"some"
    scene.node.end(b"read tcp: connection reset by peer")
    assert "reset by peer" in str(scene.ended())
    assert not scene.relay.may_start_over
    scene.client.settimeout(0)
    with pytest.raises(BlockingIOError):
        scene.client.recv(1)


@pytest.mark.parametrize("sent", [b"", b"a request"])
def test_what_reached_nobody_starts_over_with_all_of_it(scene: Scene, sent: bytes) -> None:
    scene.client.sendall(sent)
    scene.client.shutdown(socket.SHUT_WR)
    scene.start()
    scene.node.hear(lambda: scene.node.told_end)
    scene.node.end(b"failed to connect to localhost:80: connection refused")
    assert "connection refused" in str(scene.ended())
    assert scene.relay.may_start_over
    with contextlib.closing(Node()) as other:
        scene.relay.start_over(other.pair)
        scene.start()
        other.hear(lambda: other.told_end)
        assert other.heard == sent
        other.say(b"welcome")
        other.end()
        assert scene.rest() == b"welcome"


def test_what_may_have_reached_somebody_does_not_start_over(scene: Scene) -> None:
    scene.start()
    scene.client.sendall(b"a request")
    scene.node.hear(lambda: scene.node.heard == b"a request")
    scene.node.leave()
    assert "was lost" in str(scene.ended())
    assert not scene.relay.may_start_over


def test_a_node_that_leaves_before_anything_was_sent_can_be_replaced(scene: Scene) -> None:
    scene.start()
    scene.node.leave()
    assert scene.ended() is not None
    assert scene.relay.may_start_over


def test_too_much_to_be_kept_is_not_sent_twice(scene: Scene) -> None:
    scene.start()
    sender = threading.Thread(target=scene.client.sendall, args=(bytes(_kube_relay.KEPT * 2),), daemon=True)
    sender.start()
    scene.node.hear(lambda: len(scene.node.heard) == _kube_relay.KEPT * 2)
    scene.node.end(b"connection refused")
    assert scene.ended() is not None
    assert not scene.relay.may_start_over


def test_a_client_that_resets_is_no_reason_for_another_try(scene: Scene) -> None:
    scene.start()
    scene.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    scene.client.close()
    assert isinstance(scene.ended(), ClientLeft)


def test_a_pod_that_is_leaving_and_said_nothing_is_not_believed_its_end(scene: Scene) -> None:
    scene.pods.leaving = True
    scene.start()
    scene.node.end()
    assert "is going away" in str(scene.ended())
    assert scene.relay.may_start_over


def test_in_silence_a_pod_that_has_ended_is_noticed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kube_relay, "_FIRST_SILENCE", 0.01)
    scene.relay._silence = 0.01
    scene.pods.gone = True
    scene.start()
    assert "pod web-1 has ended" in str(scene.ended())


def test_one_that_is_cut_on_purpose_says_so(scene: Scene) -> None:
    scene.start()
    scene.node.say(b"x")
    assert scene.client.recv(1) == b"x"
    scene.stopped = True
    scene.node.tunnel.cut()
    assert "the forward was stopped" in str(scene.ended())
