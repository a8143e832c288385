# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The streaming subresources of pods: ``exec``, ``log`` and ``portforward``."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from testbed.kube import exec_spdy, exec_ws, port_forward, websocket
from testbed.kube.api import Target
from testbed.kube.backend import BackendError, ExecRequest, PodBackend
from testbed.kube.errors import ApiError, bad_request
from testbed.kube.exec_relay import ClientStreams, ExecRelay, failed_to_start
from testbed.kube.faults import RAW_ACTIONS, ClaimedFaults, ExecCall, FaultNotPossible, Faults
from testbed.kube.http_server import Exchange
from testbed.kube.objects import Objects
from testbed.kube.spdy_proxy import Passage, Upstream
from testbed.kube.spdy_session import SocketTransport, WebSocketTransport, accept_spdy, is_spdy, offered_protocols
from testbed.kube.store import Obj

_FOLLOW_SECONDS = 0.05

T = TypeVar("T")


class PodStreams:
    """Serves the streaming subresources; ``websockets`` tells whether WebSocket upgrades are accepted now."""

    def __init__(self, objects: Objects, backend: PodBackend, faults: Faults, websockets: Callable[[], bool]) -> None:
        self._objects = objects
        self._backend = backend
        self._faults = faults
        self._websockets = websockets
        self._lock = threading.Lock()
        self._abandoned: list[subprocess.Popen[bytes]] = []

    # -- exec

    def exec(self, exchange: Exchange, target: Target) -> None:
        """Run a command in a container."""
        pod, container = self._running_container(exchange, target)
        request = ExecRequest(
            container=container,
            argv=tuple(exchange.query.get("command", ())),
            stdin=exchange.flag("stdin"),
            stdout=exchange.flag("stdout"),
            stderr=exchange.flag("stderr"),
            tty=exchange.flag("tty"),
        )
        if not request.argv:
            raise bad_request("you must specify at least one command for the container")
        if websocket.is_websocket(exchange):
            self._require_websockets()
            accepted = websocket.accept(exchange, exec_ws.PROTOCOLS)
            self._relay(pod, request, exec_ws.WebSocketStreams(accepted))
        elif is_spdy(exchange):
            self._exec_spdy(exchange, pod, request)
        else:
            raise bad_request("Upgrade request required")

    def _exec_spdy(self, exchange: Exchange, pod: Obj, request: ExecRequest) -> None:
        url = self._ask(lambda: self._backend.exec_url(pod["metadata"]["uid"], request))
        if url is not None:
            faults = self._faults.claim(_call(pod, request))
            self._pass_through(exchange, url, faults)
            return
        client = exec_spdy.SpdyStreams(SocketTransport(accept_spdy(exchange, exec_spdy.PROTOCOL)))
        try:
            if client.await_streams(request):
                self._relay(pod, request, client)
        finally:
            client.close()

    def _pass_through(self, exchange: Exchange, url: str, faults: ClaimedFaults) -> None:
        try:
            faults.require(RAW_ACTIONS)
        except FaultNotPossible as exc:
            raise ApiError(501, "NotImplemented", str(exc)) from exc
        upstream = Upstream(url, offered_protocols(exchange))
        client = exchange.take_connection()
        client.sendall(upstream.answer)
        Passage(SocketTransport(client), upstream, faults).run()

    def _require_websockets(self) -> None:
        if not self._websockets():
            raise bad_request("the test bed is set to refuse WebSockets")

    @staticmethod
    def _ask(question: Callable[[], T]) -> T:
        """Ask the backend; what it cannot do is an internal error of the API, as with a real kubelet."""
        try:
            return question()
        except (BackendError, KeyError) as exc:
            raise ApiError(500, "InternalError", f"Internal error occurred: {exc}") from exc

    def _relay(self, pod: Obj, request: ExecRequest, client: ClientStreams) -> None:
        metadata = pod["metadata"]
        faults = self._faults.claim(ExecCall(metadata["name"], metadata["namespace"], request.container, request.argv))
        try:
            process = self._backend.exec(metadata["uid"], request)
        except (BackendError, KeyError) as exc:
            client.finish(failed_to_start(str(exc)))
            for _chunk in client.stdin():
                pass  # until the client has answered the close
            return
        relay = ExecRelay(process, client, faults)
        try:
            relay.run()
        finally:
            if relay.abandoned:
                self._keep(process)

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        """Hold on to a process whose client has left: closing its pipes would kill it with SIGPIPE."""
        with self._lock:
            self._abandoned.append(process)
            ended = [known for known in self._abandoned if known.poll() is not None]
            self._abandoned = [known for known in self._abandoned if known not in ended]
        for known in ended:
            _close_pipes(known)

    def close(self) -> None:
        """Let go of the abandoned processes; call it after the backend has ended them."""
        with self._lock:
            abandoned, self._abandoned = self._abandoned, []
        for process in abandoned:
            process.wait()
            _close_pipes(process)

    # -- portforward

    def port_forward(self, exchange: Exchange, target: Target) -> None:
        """Forward connections to ports of a pod."""
        pod = self._objects.get(target.resource, target.namespace, target.name)
        uid = pod["metadata"]["uid"]
        ports = [int(port) for value in exchange.query.get("ports", ()) for port in value.split(",")]
        if websocket.is_websocket(exchange):
            self._require_websockets()
            self._tunnel(exchange, uid, ports)
        elif is_spdy(exchange):
            url = self._ask(lambda: self._backend.port_forward_url(uid, ports))
            if url is not None:
                self._pass_through(exchange, url, ClaimedFaults({}))
            else:
                transport = SocketTransport(accept_spdy(exchange, port_forward.PROTOCOL))
                port_forward.PortForward(self._backend, uid, transport).run()
        else:
            raise bad_request("Upgrade request required")

    def _tunnel(self, exchange: Exchange, uid: str, ports: list[int]) -> None:
        """Forward ports over SPDY inside a WebSocket."""
        url = self._ask(lambda: self._backend.port_forward_url(uid, ports))
        if url is None:
            tunnel = WebSocketTransport(websocket.accept(exchange, (port_forward.TUNNEL_PROTOCOL,)))
            port_forward.PortForward(self._backend, uid, tunnel).run()
            return
        upstream = Upstream(url, [port_forward.PROTOCOL])
        with contextlib.closing(upstream.socket):
            tunnel = WebSocketTransport(websocket.accept(exchange, (port_forward.TUNNEL_PROTOCOL,)))
            Passage(tunnel, upstream, ClaimedFaults({})).run()

    # -- log

    def log(self, exchange: Exchange, target: Target) -> None:
        """Send what a container has written, and go on with ``follow``."""
        pod, container = self._container(exchange, target)
        tail = exchange.parameter("tailLines")
        written = self._written(pod, container)
        shown = b"".join(written.splitlines(keepends=True)[-int(tail) :]) if tail and int(tail) else written
        if tail == "0":
            shown = b""
        if not exchange.flag("follow"):
            exchange.send(200, shown, "text/plain")
            return
        send = exchange.start_chunks("text/plain")
        if shown:
            send(shown)
        self._follow(exchange, pod, container, len(written), send)
        send(b"")

    def _follow(self, exchange: Exchange, pod: Obj, container: str, sent: int, send: Callable[[bytes], None]) -> None:
        while True:
            exchange.flush()
            running = self._is_running(pod["metadata"]["uid"], container)
            news = self._written(pod, container)[sent:]
            if news:
                send(news)
                sent += len(news)
            elif not running or exchange.client_left():
                return
            else:
                time.sleep(_FOLLOW_SECONDS)

    def _written(self, pod: Obj, container: str) -> bytes:
        try:
            return self._backend.logs(pod["metadata"]["uid"], container)
        except (BackendError, KeyError, OSError) as exc:
            name = pod["metadata"]["name"]
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {exc}') from exc

    def _is_running(self, uid: str, container: str) -> bool:
        try:
            state = self._backend.state(uid)
        except KeyError:
            return False
        return any(known.running for known in state.containers if known.name == container)

    # -- all

    def _container(self, exchange: Exchange, target: Target) -> tuple[Obj, str]:
        """Return the pod of the request and the container it names, or the pod's only one."""
        pod = self._objects.get(target.resource, target.namespace, target.name)
        names = [container["name"] for container in pod["spec"]["containers"]]
        wanted = exchange.parameter("container")
        if not wanted and len(names) > 1:
            raise bad_request(
                f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(names)}]"
            )
        if wanted and wanted not in names:
            raise bad_request(f"container {wanted} is not valid for pod {target.name}")
        return pod, wanted or names[0]

    def _running_container(self, exchange: Exchange, target: Target) -> tuple[Obj, str]:
        pod, container = self._container(exchange, target)
        if not self._is_running(pod["metadata"]["uid"], container):
            phase = pod.get("status", {}).get("phase")
            raise ApiError(
                500,
                "InternalError",
                f'container "{container}" of pod "{target.name}" is not running (the pod is {phase})',
            )
        return pod, container


def _call(pod: Obj, request: ExecRequest) -> ExecCall:
    metadata = pod["metadata"]
    return ExecCall(metadata["name"], metadata["namespace"], request.container, request.argv)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
