# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transport asks of a cluster: the pods of its target, and connections into one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from .._required import required
from ..contexts._base import ContextError, sentence
from ..contexts._credentials import Login
from ..contexts._handshake import expected_answer, new_key
from ..contexts._login import log_in
from ..contexts._workload import NoPod, PodKind, Target, pod_selector, unknown
from ._errors import ForwardError, Unavailable
from ._kube_api import ApiClient, Refused, Upgraded
from ._kube_parameters import KubeParameters
from ._kube_target import Obj, Picture, alive_of, path_of, picture_of, resource_of, selector_of, target_of
from ._kube_tunnel import Tunnel

_PROTOCOL = "portforward.k8s.io"
_TUNNEL_PROTOCOL = f"SPDY/3.1+{_PROTOCOL}"
_LOGIN_AGAIN = 5.0
"""Seconds before credentials that were refused are asked for anew a second time."""

_Found = TypeVar("_Found")


class NoneReady(Unavailable):
    """No pod of the target is ready; ``alive`` are the uids of those that have not ended."""

    def __init__(self, text: str, alive: frozenset[str]) -> None:
        super().__init__(text)
        self.alive = alive


class Missing(ForwardError):
    """The target does not exist."""


class Cluster:
    """One cluster, with credentials that are renewed when they run out. Thread-safe."""

    def __init__(self, parameters: KubeParameters, log: Callable[[str], None]) -> None:
        """Raise ForwardError for a target that cannot be one."""
        self.target: Target = target_of(parameters.target)
        self._parameters = parameters
        self._log = log
        self._lock = threading.Lock()
        self._client: ApiClient | None = None
        self._namespace = "default"
        self._logged_in = 0.0
        self._websockets = True
        if parameters.login is not None:
            self._use(parameters.login)

    @property
    def namespace(self) -> str:
        """The namespace of the target. Raises ForwardError if the credentials that say it cannot be read."""
        self._logged_on()
        return self._namespace

    def picture(self, deadline: float) -> Picture:
        """Return what the target leads to. Raises Unavailable if no pod of it is ready, ForwardError for the rest."""
        target, namespace = self.target, self.namespace
        found = self._read(target.kind, target.name, "", deadline)
        pods = [found]
        if target.kind is not PodKind.POD:
            query = urlencode({"labelSelector": selector_of(target, found, pod_selector)})
            pods = self._read(PodKind.POD, "", query, deadline).get("items") or []
        try:
            return picture_of(target, found, pods)
        except NoPod as exc:
            text = (
                f"context '{self._parameters.context}': finding a pod of {target} in namespace {namespace}: {exc.cause}"
            )
            raise NoneReady(sentence(text, exc.remedy), alive_of(pods)) from exc

    def tunnel(self, pod: str, deadline: float) -> Tunnel:
        """Return a new connection into a pod. Raises Unavailable or ForwardError."""
        path = f"{path_of(PodKind.POD, self.namespace)}/{quote(pod, safe='')}/portforward"
        if self._websockets:
            try:
                return self._ask(lambda client: self._over_websocket(client, path, deadline))
            except Refused as exc:
                # as kubectl does: whatever the refusal was, what is said to SPDY holds
                self._log(f"the API server takes no WebSocket for port-forwards ({exc}): trying SPDY")
        try:
            tunnel = self._ask(lambda client: self._over_spdy(client, path, deadline))
        except Refused as exc:
            raise self._not_forwarded(exc, pod) from exc
        self._websockets = False
        return tunnel

    @staticmethod
    def _over_websocket(client: ApiClient, path: str, deadline: float) -> Tunnel:
        key = new_key()
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": _TUNNEL_PROTOCOL,
        }
        upgraded = client.upgrade("GET", path, headers, deadline)
        if upgraded.headers.get("Sec-WebSocket-Accept", "").strip() != expected_answer(key):
            upgraded.socket.close()
            raise Refused(502, "BadGateway", "what answers there does not speak WebSocket")
        return Tunnel(upgraded.socket, websocket=True)

    @staticmethod
    def _over_spdy(client: ApiClient, path: str, deadline: float) -> Tunnel:
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "SPDY/3.1",
            "X-Stream-Protocol-Version": _PROTOCOL,
            "Content-Length": "0",
        }
        upgraded: Upgraded = client.upgrade("POST", path, headers, deadline)
        return Tunnel(upgraded.socket, websocket=False)

    def _not_forwarded(self, exc: Refused, pod: str) -> Exception:
        text = f"context '{self._parameters.context}': forwarding to pod {pod} in namespace {self.namespace}: {exc}"
        if exc.code == 403:
            remedy = "The user of this context needs 'create' and 'get' on 'pods/portforward' in that namespace."
            return ForwardError(sentence(text, remedy))
        return Unavailable(text)

    # -- objects

    def _read(self, kind: PodKind, name: str, query: str, deadline: float) -> Obj:
        path = path_of(kind, self.namespace, name) + (f"?{query}" if query else "")
        try:
            return self._ask(lambda client: client.get(path, deadline))
        except Refused as exc:
            raise self._not_read(exc, kind, name, deadline) from exc

    def _not_read(self, exc: Refused, kind: PodKind, name: str, deadline: float) -> Exception:
        what = f"{kind.value}/{name}" if name else resource_of(kind)
        text = f"context '{self._parameters.context}': reading {what} in namespace {self.namespace}: "
        if exc.code == 404 and name:
            missing = unknown(Target(kind, name), self._names(kind, deadline))
            return Missing(sentence(text + missing.cause, missing.remedy))
        if exc.code == 403:
            right = f"'{'get' if name else 'list'}' on '{resource_of(kind)}'"
            return ForwardError(sentence(f"{text}{exc}", f"The user of this context needs {right} in that namespace."))
        return Unavailable(f"{text}{exc}")

    def _names(self, kind: PodKind, deadline: float) -> list[str]:
        try:
            found: dict[str, Any] = self._ask(lambda client: client.get(path_of(kind, self.namespace), deadline))
            return [obj["metadata"]["name"] for obj in found.get("items") or ()]
        except (Refused, Unavailable):  # who may read one object need not be allowed to list them
            return []

    # -- credentials

    def _ask(self, question: Callable[[ApiClient], _Found]) -> _Found:
        """Ask the API server, with new credentials if it refuses those that there are."""
        client = self._logged_on()
        try:
            return question(client)
        except Refused as exc:
            if exc.code != 401:
                raise
        try:
            return question(self._renewed(client))
        except Refused as exc:
            if exc.code != 401:
                raise
            text = f"context '{self._parameters.context}': logging in to {client.server}: {exc}"
            remedy = "Check the credentials in the kubeconfig of this context."
            raise ForwardError(sentence(text, remedy)) from exc

    def _logged_on(self) -> ApiClient:
        with self._lock:
            if self._client is None:
                self._log_in()
            return required(self._client, "client of the API")

    def _renewed(self, refused: ApiClient) -> ApiClient:
        """Return a client with credentials that were asked for after ``refused`` was made."""
        with self._lock:
            if self._client is refused and time.monotonic() - self._logged_in > _LOGIN_AGAIN:
                self._log("the API server refused the credentials: reading them again")
                self._log_in()
                self._logged_in = time.monotonic()
            return required(self._client, "client of the API")

    def _log_in(self) -> None:
        try:
            self._use(log_in(self._parameters.source, self._parameters.context))
        except ContextError as exc:
            raise ForwardError(str(exc)) from exc

    def _use(self, login: Login) -> None:
        self._client = ApiClient(self._parameters.context, login, self._parameters.seconds)
        self._namespace = login.namespace
