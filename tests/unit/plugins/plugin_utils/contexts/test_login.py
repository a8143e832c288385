# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._credentials import Source
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._login import log_in
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_parameters import KubeParameters

from testbed.kube.kubectl import find_kubectl


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(path: Path, user: dict[str, Any], cluster: dict[str, Any] | None = None) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}, {"name": "v", "user": {"token": "of-v"}}],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "first"}},
            {"name": "two", "context": {"cluster": "c", "user": "v"}},
        ],
    }
    path.write_text(json.dumps(document))
    return path


def source(*files: Path, argv: tuple[str, ...] = (), document: dict[str, Any] | None = None) -> Source:
    text = None if document is None else json.dumps(document)
    return Source((find_kubectl(), *argv), tuple(map(str, files)), text)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("Authorization", f"Bearer {token}"),)


def test_the_current_context_holds_unless_another_one_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"token": "of-u"})
    first, second = log_in(source(path), "prod"), log_in(source(path, argv=("--context", "two", "-n", "x")), "prod")
    assert (first.server, first.namespace, first.headers) == ("https://api:6443", "first", bearer("of-u"))
    assert (second.namespace, second.headers) == ("x", bearer("of-v"))


def test_options_of_the_connection_win_over_the_kubeconfig(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"token": "of-u"}, {"certificate-authority-data": packed("theirs")})
    ca = tmp_path / "ca"
    ca.write_text("mine")
    argv = ("--server", "https://other/", f"--certificate-authority={ca}", "--user", "manifold", "--tls-server-name=n")
    own = {"users": [{"name": "manifold", "user": {"token": "given"}}], "apiVersion": "v1", "kind": "Config"}
    login = log_in(source(path, argv=argv, document=own), "prod")
    assert (login.server, login.ca, login.headers) == ("https://other", "mine", bearer("given"))
    assert login.server_name == "n"
    assert log_in(source(path), "prod").ca == "theirs"


def test_who_is_acted_for_is_said_to_the_server(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"username": "me", "password": "pw", "as": "her", "as-groups": ["a", "b"]})
    assert log_in(source(path), "prod").headers == (
        ("Authorization", f"Basic {packed('me:pw')}"),
        ("Impersonate-User", "her"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
    )


@pytest.mark.parametrize(
    ("user", "cluster", "argv", "said"),
    [
        ({}, {"proxy-url": "http://p"}, (), "only kubectl goes through one"),
        ({"auth-provider": {"name": "oidc"}}, {}, (), "the auth-provider 'oidc', which only kubectl knows"),
        ({"exec": {"command": "/nowhere/x"}}, {}, (), "plugin /nowhere/x cannot be run: No such file"),
        ({"exec": {"command": "false"}}, {}, (), "plugin false ended with status 1"),
        ({"exec": {"command": "true"}}, {}, (), "plugin true printed no ExecCredential"),
        ({}, {}, ("--context", "three"), "its kubeconfig has no context 'three'"),
        ({}, {}, ("--user", "w"), "its kubeconfig has no user 'w'"),
    ],
)
def test_credentials_that_cannot_be_used_are_explained(
    tmp_path: Path, user: dict[str, Any], cluster: dict[str, Any], argv: tuple[str, ...], said: str
) -> None:
    if "exec" in user:
        user["exec"] |= {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    path = kubeconfig(tmp_path / "config", user, cluster)
    with pytest.raises(ContextError) as caught:
        log_in(source(path, argv=argv), "prod")
    assert str(caught.value).startswith("context 'prod': reading its credentials: ")
    assert said in str(caught.value)


def test_a_kubeconfig_that_is_not_there_is_named() -> None:
    with pytest.raises(ContextError, match="the kubeconfig /nowhere does not exist"):
        log_in(Source((find_kubectl(),), ("/nowhere",), required="/nowhere"), "prod")


def test_secrets_travel_as_json_and_stand_in_no_repr(tmp_path: Path) -> None:
    own = {"users": [{"name": "manifold", "user": {"token": "hidden"}}], "apiVersion": "v1", "kind": "Config"}
    path = kubeconfig(tmp_path / "config", {})
    made = source(path, argv=("--user", "manifold"), document=own)
    parameters = KubeParameters("prod", "service/web", (80, "http"), made, log_in(made, "prod"))
    assert KubeParameters.from_json(json.loads(json.dumps(parameters.to_json()))) == parameters
    assert "hidden" in json.dumps(parameters.to_json())
    assert "hidden" not in repr(parameters)
