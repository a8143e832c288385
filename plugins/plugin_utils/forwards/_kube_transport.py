# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwards ports of a Kubernetes cluster: its own client of the API's port-forward, one connection for each client.

A ``kubectl port-forward`` ends when one of its connections fails in the pod, knows one pod only, and lets one client
that does not read stop all others: its connections share one, and SPDY in Kubernetes has no flow control.

Rights that the user of the context needs in the namespace: ``get`` on services, deployments.apps or statefulsets.apps
(whatever is named), ``list`` on pods (``get`` for a pod that is named), ``create`` and ``get`` on pods/portforward.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..contexts._workload import PodKind
from ._errors import ForwardError, Unavailable
from ._kube_api import Unreachable
from ._kube_channel import KubeChannel
from ._kube_chooser import Chooser
from ._kube_cluster import Cluster
from ._kube_pair import Pair
from ._kube_parameters import KubeParameters
from ._kube_pool import Pool
from ._kube_target import Pod
from ._kube_tunnel import Tunnel
from ._spec import ForwardSpec, PortPair
from ._transport import FarListener

_ACCEPT = 10.0
"""Seconds that a pod's node may take to accept a connection."""
_REFUSAL = 0.2
"""Seconds in which a pod's node says that nobody listens at a port; it says nothing when somebody does."""


def make_transport(
    _spec: ForwardSpec, parameters: Mapping[str, Any], log: Callable[[str], None]
) -> KubernetesTransport:
    """Return the transport in a supervisor; see MakeTransport."""
    return KubernetesTransport(KubeParameters.from_json(parameters), log)


class KubernetesTransport:
    """The way to the pods of one target; see Transport."""

    def __init__(self, parameters: KubeParameters, log: Callable[[str], None] = lambda _line: None) -> None:
        """Raise ForwardError for a target or credentials that cannot be used."""
        self._ports = parameters.ports
        self._log = log
        self._cluster = Cluster(parameters, log)
        self._pods = Chooser(self._cluster.picture, log, self._cluster.target.kind is PodKind.POD)
        self._pool = Pool(self._make)
        self._lock = threading.Lock()
        self._channels: set[KubeChannel] = set()
        self._closed = False

    # -- what a supervisor asks

    def check(self, deadline: float) -> None:
        """Find the target and a pod, and see that nobody refuses its ports; see Transport."""
        try:
            picture, pod = self._pods.choose(deadline, fresh=True)
            numbers = {picture.number(port, pod) for port in self._ports}
            if numbers:
                self._prove(pod, numbers, deadline)
        except Unreachable as exc:
            raise ForwardError(str(exc)) from exc

    def connect(self, port: PortPair, deadline: float, client: socket.socket | None = None) -> KubeChannel:
        """Connect to a port; see Transport. A pod that refuses says so later, and then another try is made."""
        del client  # relay is told of it soon enough
        channel = KubeChannel(self.attempt(port.target, deadline), _Tries(self, port.target), deadline)
        with self._lock:
            self._channels.add(channel)
            closed = self._closed
        if closed:
            channel.close()
            raise Unavailable("the forward has ended")
        return channel

    def catch_up(self) -> None:
        """Do nothing: what moves is counted as it does."""

    def bound(self) -> tuple[FarListener, ...]:
        """Return nothing: no port of a pod listens for this machine."""
        return ()

    @property
    def restarts(self) -> int:
        """How often another pod was chosen."""
        return self._pods.changes

    def describe(self) -> str:
        """Return the pod, and of what it is one."""
        pod, target = self._pods.current, self._cluster.target
        if pod is None:
            return str(target)
        where = f"pod/{pod.name} in namespace {self._cluster.namespace}"
        return where if str(target) == f"pod/{pod.name}" else f"{where} ({target})"

    def close(self) -> None:
        """End all channels and let go of all connections."""
        with self._lock:
            self._closed = True
            channels = list(self._channels)
        for channel in channels:
            channel.close()
        self._pool.close()

    # -- what its channels ask

    def attempt(self, port: int | str, deadline: float) -> Pair:
        """Return an accepted pair of streams to a port of a pod. Raises Unavailable or ForwardError."""
        if self._closed:
            raise Unavailable("the forward has ended")
        picture, pod = self._pods.choose(deadline)
        number = picture.number(port, pod)
        until = min(deadline, time.monotonic() + _ACCEPT)
        while (tunnel := self._pool.take(pod)) is not None:
            try:
                return _accepted(pod, tunnel, number, until)
            except Unavailable:
                continue  # it was kept for too long; nothing of the client was in it
        try:
            return _accepted(pod, self._make(pod, until), number, until)
        except Unavailable:
            self.distrust(pod)
            raise

    def distrust(self, pod: Pod) -> None:
        """Note that a pod failed."""
        self._pods.distrust(pod)
        self._pool.drop(pod.uid)

    def take_back(self, pair: Pair, clean: bool) -> None:
        """Take the connection of a pair that has ended."""
        if clean and not self._closed:
            self._pool.put(pair.pod.uid, pair.tunnel)
        else:
            pair.tunnel.close()

    def lost(self, pair: Pair, why: str) -> None:
        """Note that a connection is going to be tried again."""
        self._log(f"port {pair.port} of pod {pair.pod.name}: {why}: trying again")

    def is_gone(self, pair: Pair) -> bool:
        """Return whether the pod of a connection has ended."""
        return self._pods.is_gone(pair.pod, time.monotonic() + _ACCEPT)

    def is_leaving(self, pair: Pair) -> bool:
        """Return whether the pod of a connection is not one to connect to any more."""
        return self._pods.is_leaving(pair.pod, time.monotonic() + _ACCEPT)

    def ended(self, channel: KubeChannel) -> None:
        """Forget a channel."""
        with self._lock:
            self._channels.discard(channel)

    # --

    def _make(self, pod: Pod, deadline: float) -> Tunnel:
        return self._cluster.tunnel(pod.name, deadline)

    def _prove(self, pod: Pod, numbers: Iterable[int], deadline: float) -> None:
        """See that no port of a pod refuses a connection; raise Unavailable if one does."""
        until = min(deadline, time.monotonic() + _ACCEPT)
        tunnel = self._make(pod, until)
        try:
            pairs = [Pair(tunnel, pod, number) for number in numbers]
            quiet = None
            while quiet is None or time.monotonic() < quiet:
                tunnel.flush()
                for event in tunnel.receive():
                    for pair in pairs:
                        pair.take(event)
                for pair in pairs:
                    if (failure := pair.failure) is not None:
                        raise Unavailable(f"port {pair.port} of pod {pod.name}: {failure}")
                if all(pair.answered or pair.over for pair in pairs):
                    return
                if quiet is None and all(pair.accepted for pair in pairs):
                    quiet = time.monotonic() + _REFUSAL
                if quiet is None and time.monotonic() > until:
                    raise Unavailable(f"pod {pod.name}: its node did not answer in time")
                tunnel.wait((until if quiet is None else quiet) - time.monotonic())
        except ConnectionError as exc:
            raise Unavailable(f"pod {pod.name}: {exc}") from exc
        finally:
            tunnel.close()


def _accepted(pod: Pod, tunnel: Tunnel, number: int, deadline: float) -> Pair:
    try:
        pair = Pair(tunnel, pod, number)
        pair.accept(deadline)
    except BaseException:
        tunnel.close()
        raise
    return pair


class _Tries:
    """Makes further tries for the channels of one port; see Origin."""

    def __init__(self, transport: KubernetesTransport, port: int | str) -> None:
        self._transport = transport
        self._port = port
        self.take_back = transport.take_back
        self.ended = transport.ended
        self.lost = transport.lost
        self.is_gone = transport.is_gone
        self.is_leaving = transport.is_leaving

    def again(self, failed: Pair, deadline: float) -> Pair:
        """Return another try, in another pod if there is one."""
        self._transport.distrust(failed.pod)
        return self._transport.attempt(self._port, deadline)
