# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is made of the answers of an API server, which is a few lines of the test here."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._credentials import Login, Source
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError, Unavailable
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_cluster import Cluster
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_parameters import KubeParameters

from testbed.kube.tls import make_certificate

_SERVICES, _PODS = "/api/v1/namespaces/shop/services", "/api/v1/namespaces/shop/pods"
_SERVICE = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}
_POD = {
    "metadata": {"name": "web-1", "uid": "u1", "creationTimestamp": "1"},
    "spec": {"containers": []},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


class Api:
    """Answers GETs from a table; who may do so is asked for a certificate, if it has TLS."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, tuple[int, Any]] = {
            f"{_SERVICES}/web": (200, _SERVICE),
            _PODS: (200, {"items": [_POD]}),
        }
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                certified = not isinstance(self.connection, ssl.SSLSocket) or self.connection.getpeercert()
                code, body = api.answers.get(self.path.partition("?")[0], (404, {})) if certified else (401, {})
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, *_what: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def refuse(self, path: str, code: int, message: str) -> None:
        self.answers[path] = (code, {"kind": "Status", "message": message})

    def cluster(self, **login: Any) -> Cluster:
        made = Login(self.url, namespace="shop", **login)
        return Cluster(KubeParameters("prod", "service/web", (80,), Source(("false",)), made), lambda _line: None)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


def soon() -> float:
    return time.monotonic() + 10


def test_what_is_allowed_is_read(api: Api) -> None:
    assert [pod.name for pod in api.cluster().picture(soon()).pods] == ["web-1"]


@pytest.mark.parametrize(
    ("path", "right"),
    [(f"{_SERVICES}/web", "'get' on 'services'"), (_PODS, "'list' on 'pods'")],
)
def test_a_right_that_is_missing_is_named(api: Api, path: str, right: str) -> None:
    api.refuse(path, 403, 'things is forbidden: User "deploy" cannot do that')
    with pytest.raises(ForwardError) as caught:
        api.cluster().picture(soon())
    text = str(caught.value)
    assert 'User "deploy" cannot do that' in text
    assert f"The user of this context needs {right} in that namespace." in text
    assert text.startswith("context 'prod': reading ")


def test_the_right_to_forward_is_named(api: Api) -> None:
    api.refuse(f"{_PODS}/web-1/portforward", 403, "pods/portforward is forbidden")
    with pytest.raises(ForwardError, match="pods/portforward is forbidden") as caught:
        api.cluster().tunnel("web-1", soon())
    assert "needs 'create' and 'get' on 'pods/portforward'" in str(caught.value)


@pytest.mark.parametrize("code", [500, 503])
def test_a_server_that_fails_is_asked_again(api: Api, code: int) -> None:
    api.refuse(f"{_SERVICES}/web", code, "etcd has no leader")
    api.refuse(f"{_PODS}/web-1/portforward", code, "etcd has no leader")
    with pytest.raises(Unavailable, match="etcd has no leader"):
        api.cluster().picture(soon())
    with pytest.raises(Unavailable, match="etcd has no leader"):
        api.cluster().tunnel("web-1", soon())


def test_a_service_that_is_not_there_is_told_with_those_that_are(api: Api) -> None:
    api.refuse(f"{_SERVICES}/web", 404, "not found")
    api.answers[_SERVICES] = (200, {"items": [{"metadata": {"name": "wep"}}]})
    with pytest.raises(ForwardError, match=r"service/web does not exist.*wep"):
        api.cluster().picture(soon())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def certified(certificate: tuple[Path, Path]) -> Iterator[Api]:
    """An API that knows its users by their certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(certificate[0])
    made = Api(context)
    yield made
    made.close()


def test_a_certificate_of_the_client_logs_it_in(certified: Api, certificate: tuple[Path, Path]) -> None:
    public, key = (path.read_text() for path in certificate)
    picture = certified.cluster(ca=public, certificate=public, key=key).picture(soon())
    assert [pod.name for pod in picture.pods] == ["web-1"]


def test_credentials_that_are_refused_are_read_again(certified: Api, certificate: tuple[Path, Path]) -> None:
    with pytest.raises(ForwardError, match="context 'prod': reading its credentials: "):
        certified.cluster(ca=certificate[0].read_text()).picture(soon())


@pytest.mark.parametrize("bad", [("no PEM", "no PEM"), (None, ""), ("", None)])
def test_a_certificate_that_cannot_be_used_is_told_and_not_shown(
    certificate: tuple[Path, Path], bad: tuple[str | None, str | None]
) -> None:
    public, key = (path.read_text() if text is None else text for path, text in zip(certificate, bad, strict=True))
    login = Login("https://127.0.0.1:1", certificate=public or key, key=key if public else "")
    with pytest.raises(ForwardError, match="a certificate or key is not usable") as caught:
        Cluster(KubeParameters("prod", "service/web", (80,), Source(("false",)), login), lambda _line: None)
    assert "PRIVATE" not in str(caught.value)
