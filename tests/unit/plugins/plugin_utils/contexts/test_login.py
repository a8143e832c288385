# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.plugin_utils.contexts import _login
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._credentials import Source
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._login import log_in
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._kube_parameters import KubeParameters
from hypothesis import example, given, settings
from hypothesis import strategies as st

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


# -- what is read without kubectl --------------------------------------------------------------------------------------


def plain(*files: Path, document: dict[str, Any] | None = None, **environ: Any) -> Source:
    """Return a source without a kubectl: whoever needs one fails."""
    text = None if document is None else json.dumps(document)
    return Source(("/nowhere/kubectl",), tuple(map(str, files)), text, environ)


def test_a_single_kubeconfig_needs_no_kubectl(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"token": "of-u"}, {"certificate-authority": "ca"})
    (tmp_path / "ca").write_text("beside it")
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", {"token": "at-home"})
    document = json.loads(path.read_text())
    del document["clusters"][0]["cluster"]["certificate-authority"]
    found = log_in(plain(path), "prod")
    assert (found.headers, found.ca) == (bearer("of-u"), "beside it")
    assert log_in(plain(KUBECONFIG=f":{path}:"), "prod") == found
    assert log_in(plain(HOME=str(tmp_path)), "prod").headers == bearer("at-home")
    assert log_in(plain(document=document, HOME=str(tmp_path)), "prod").headers == bearer("of-u")


def test_a_document_that_names_no_server_is_not_completed_by_the_users_own_kubeconfig(tmp_path: Path) -> None:
    """Or the token in there would go to a server that is none of its business."""
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", {"token": "at-home"})
    document = {"users": [{"name": "u", "user": {"token": "given"}}]}
    made = Source(("kubectl", "--server", "https://api"), (), json.dumps(document), {"HOME": str(tmp_path)})
    assert log_in(made, "prod").headers == ()


@pytest.mark.parametrize("argv", [(), ("--client-certificate", "/nowhere"), ("--username", "me")])
def test_no_credentials_go_to_a_server_without_tls(tmp_path: Path, argv: tuple[str, ...]) -> None:
    """As kubectl has it; who is acted for is no secret."""
    user = {"token": "t", "username": "u", "password": "p", "client-certificate-data": packed("c"), "as": "her"}
    login = log_in(source(kubeconfig(tmp_path / "config", user, {"server": "HTTP://api"}), argv=argv), "prod")
    assert login.headers == (("Impersonate-User", "her"),)
    assert (login.certificate, login.key) == (None, None)


def test_more_about_who_is_acted_for_is_a_name_of_a_header(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", {"as-user-extra": {"example.com/a": ["b"]}})
    assert log_in(source(path), "prod").headers == (("Impersonate-Extra-example.com%2Fa", "b"),)


@pytest.mark.parametrize("given", [{}, {"POD_NAMESPACE": "told"}])
def test_in_a_pod_its_own_namespace_holds_where_a_context_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.setattr(_login, "_ACCOUNT", tmp_path)
    (tmp_path / "token").write_text("of the pod")
    (tmp_path / "namespace").write_text("own\n")
    path = kubeconfig(tmp_path / "config", {})
    inside: dict[str, Any] = {"KUBERNETES_SERVICE_HOST": "api", "KUBERNETES_SERVICE_PORT": "443", **given}
    source_of_two = Source(("kubectl", "--context", "two"), (str(path),), env=inside)
    assert log_in(source_of_two, "prod").namespace == given.get("POD_NAMESPACE", "own")
    assert log_in(plain(path, **inside), "prod").namespace == "first"
    assert log_in(plain(path), "prod").namespace == "first"


def test_in_a_pod_its_own_account_does_not_stand_in_for_a_user_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_login, "_ACCOUNT", tmp_path)
    for name in ("token", "namespace", "ca.crt"):
        (tmp_path / name).write_text(name)
    inside = {"KUBERNETES_SERVICE_HOST": "api", "KUBERNETES_SERVICE_PORT": "443", "KUBECONFIG": "/nowhere"}
    assert log_in(Source((find_kubectl(),), env=inside), "prod").headers == bearer("token")
    own = json.dumps({"users": [{"name": "manifold", "user": {"token": "given"}}]})
    with pytest.raises(ContextError, match="names no API server"):
        log_in(Source((find_kubectl(), "--user", "manifold"), ("/nowhere",), own, env=inside), "prod")


@pytest.mark.parametrize(
    "user",
    [{"client-key-data": "é"}, {"client-certificate-data": packed("x")[:-1]}, {"exec": {"command": "true", "env": 5}}],
)
def test_a_kubeconfig_that_makes_no_sense_is_no_traceback(tmp_path: Path, user: dict[str, Any]) -> None:
    with pytest.raises(ContextError, match="context 'prod': reading its credentials: "):
        log_in(source(kubeconfig(tmp_path / "config", user)), "prod")


SECRET = packed("certificate")
CLUSTERS = st.fixed_dictionaries(
    {},
    optional={
        "server": st.sampled_from(["https://api:6443/", "http://api", "api:6443", "", None, 5]),
        "certificate-authority": st.sampled_from(["ca.crt", "sub/../ca.crt", "", "missing", 7]),
        "certificate-authority-data": st.sampled_from([SECRET, "", None]),
        "insecure-skip-tls-verify": st.sampled_from([True, False, "no"]),
        "tls-server-name": st.sampled_from(["name", ""]),
        "proxy-url": st.sampled_from(["", "http://p"]),
    },
)
USERS = st.fixed_dictionaries(
    {},
    optional={
        "token": st.sampled_from(["t", "", None, 12]),
        "tokenFile": st.sampled_from(["token", "", "missing"]),
        "username": st.sampled_from(["u", ""]),
        "password": st.sampled_from(["p", ""]),
        "client-certificate": st.sampled_from(["ca.crt", ""]),
        "client-certificate-data": st.sampled_from([SECRET, ""]),
        "client-key": st.sampled_from(["ca.crt", "missing"]),
        "client-key-data": st.sampled_from([SECRET, ""]),
        "as": st.sampled_from(["her", ""]),
        "as-groups": st.lists(st.sampled_from(["a", "b"]), max_size=2),
        "as-user-extra": st.just({"a/b": ["c"]}),
    },
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "cluster": st.sampled_from(["one", "two", "three", "", None]),
        "user": st.sampled_from(["one", "two", "three", ""]),
        "namespace": st.sampled_from(["ns", "", None, 1]),
    },
)


def listed(kind: str, values: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    name = st.sampled_from(["one", "two"])
    return st.lists(st.fixed_dictionaries({"name": name}, optional={kind: values}), max_size=2)


KUBECONFIGS = st.fixed_dictionaries(
    {
        "clusters": listed("cluster", CLUSTERS),
        "users": listed("user", USERS),
        "contexts": listed("context", CONTEXTS),
    },
    optional={
        "kind": st.sampled_from(["Config", "Config", "Pod"]),
        "apiVersion": st.sampled_from(["v1", "v1", "v2"]),
        "current-context": st.sampled_from(["one", "one", "two", "three", ""]),
    },
)


def one(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a kubeconfig that kubectl takes, unless what is given spoils it."""
    return {
        "clusters": [{"name": "one", "cluster": {"server": "https://api", **(cluster or {})}}],
        "users": [{"name": "one", "user": user or {}}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
        **more,
    }


@example(one(), ())
@example(one({"token": 12}), ())
@example(one({"tokenFile": "token", "token": "t"}), ())
@example(one({"client-certificate": "ca.crt", "client-key": "ca.crt"}), ())
@example(one(cluster={"certificate-authority": "ca.crt", "certificate-authority-data": SECRET}), ())
@example(one(users=[{"name": "one", "user": {"token": token}} for token in "ab"]), ())
@example(one(kind="Pod"), ())
@example(one(apiVersion="v2"), ())
@settings(max_examples=20, deadline=None)
@given(KUBECONFIGS, st.sampled_from([(), ("--context", "two"), ("--user", "two", "--cluster", "one"), ("-n", "x")]))
def test_a_kubeconfig_says_the_same_whoever_reads_it(view: dict[str, Any], argv: tuple[str, ...]) -> None:
    """By kubectl, or without it: the same login, or none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "sub").mkdir()
        (folder / "ca.crt").write_text("of a file")
        (folder / "token").write_text("of a file\n")
        (folder / "config").write_text(yaml.safe_dump(view))
        made = source(folder / "config", argv=argv)

        def read() -> Any:
            try:
                return log_in(made, "prod")
            except ContextError:
                return None

        found = read()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_login, "_plain_view", lambda *_given: None)
            assert found == read()
