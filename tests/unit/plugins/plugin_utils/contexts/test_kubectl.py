# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl, access

ENVIRON = {"HOME": "/home/me", "PATH": "/bin"}
SECRETS = ("s3cret-token", "s3cret-password")


def _access(environ: dict[str, str] | None = None, **options: Any) -> Access:
    return access("shop", lambda key: options.get(key, ""), "kubectl", environ or ENVIRON)


def _user(given: Access) -> dict[str, Any]:
    document = given.kubeconfigs[0]
    assert isinstance(document, bytes)
    (entry,) = json.loads(document)["users"]
    assert entry["name"] == "manifold"
    user: dict[str, Any] = entry["user"]
    return user


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, ()),
        ({"kubectl_namespace": "shop", "kubectl_context": "prod"}, ("--namespace", "shop", "--context", "prod")),
        ({"kubectl_host": "https://k"}, ("--server", "https://k")),
        (
            {"client_cert": "c", "client_key": "k", "ca_cert": "a"},
            ("--client-certificate", "c", "--client-key", "k", "--certificate-authority", "a"),
        ),
        ({"validate_certs": False}, ("--insecure-skip-tls-verify=true",)),
        ({"validate_certs": "no"}, ("--insecure-skip-tls-verify=true",)),
        ({"validate_certs": "True"}, ("--insecure-skip-tls-verify=false",)),
        ({"kubectl_username": "me"}, ("--username", "me")),
        ({"kubectl_extra_args": " -v=2  --as you "}, ("-v=2", "--as", "you")),
    ],
)
def test_the_options_of_the_existing_plugin_become_options_of_kubectl(
    options: dict[str, Any], flags: tuple[str, ...]
) -> None:
    given = _access(**options)
    assert given == Access(("kubectl", *flags))


@pytest.mark.parametrize(
    ("options", "user"),
    [
        ({"kubectl_token": SECRETS[0]}, {"token": SECRETS[0]}),
        (
            {"kubectl_username": "me", "kubectl_password": SECRETS[1]},
            {"username": "me", "password": SECRETS[1]},
        ),
        ({"kubectl_extra_args": f"--token {SECRETS[0]}"}, {"token": SECRETS[0]}),
        (
            {"kubectl_extra_args": f"-v=1 --password={SECRETS[1]}", "kubectl_username": "me"},
            {"username": "me", "password": SECRETS[1]},
        ),
    ],
)
def test_a_secret_goes_into_a_kubeconfig_and_into_no_argument(options: dict[str, Any], user: dict[str, str]) -> None:
    given = _access(**options)
    assert _user(given) == user
    assert given.argv[-2:] == ("--user", "manifold") or given.argv[-1] == "-v=1"
    assert not any(secret in word for secret in SECRETS for word in given.argv)


@pytest.mark.parametrize(
    ("environ", "options", "files"),
    [
        ({}, {}, ("/home/me/.kube/config",)),
        ({"KUBECONFIG": "/a::/b"}, {}, ("/a", "/b")),
        ({"KUBECONFIG": "/a"}, {"kubectl_local_env_vars": {"KUBECONFIG": "/c"}}, ("/c",)),
        ({"KUBECONFIG": "/a"}, {"kubectl_kubeconfig": "/d"}, ("/d",)),
    ],
)
def test_the_files_of_the_user_stand_behind_the_secret(
    environ: dict[str, str], options: dict[str, Any], files: tuple[str, ...]
) -> None:
    given = _access({**ENVIRON, **environ}, kubectl_token=SECRETS[0], **options)
    assert given.kubeconfigs[1:] == files


@pytest.mark.parametrize("value", [{"A": "1"}, '{"A": "1"}'])
def test_variables_for_kubectl_are_added_to_the_environment(value: Any) -> None:
    assert _access(kubectl_local_env_vars=value).env == {**ENVIRON, "A": "1"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kubectl_extra_args": "-v=1 --token"}, "--token has no value"),
        ({"kubectl_local_env_vars": "[1]"}, "it is no mapping of names to values"),
        ({"kubectl_local_env_vars": "{"}, "it is no mapping of names to values"),
        ({"kubectl_kubeconfig": "/a:b", "kubectl_token": SECRETS[0]}, "holds a ':'"),
    ],
)
def test_what_cannot_be_used_is_said(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ContextError, match="context 'shop': reading ansible_kubectl_") as caught:
        _access(**options)
    assert text in str(caught.value)
    assert SECRETS[0] not in str(caught.value)


# -- processes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def made() -> Iterator[list[Kubectl]]:
    """Whatever a test makes is closed, and every descriptor with it."""
    before = set(Path("/proc/self/fd").iterdir())
    kubectls: list[Kubectl] = []
    yield kubectls
    for kubectl in kubectls:
        kubectl.close()
        kubectl.close()
    assert not set(Path("/proc/self/fd").iterdir()) - before, "descriptors were left open"


def _run(launch: Launch, script: str) -> str:
    """Run a script in kubectl's place: ``$1`` and so on are kubectl's arguments."""
    done = subprocess.run(
        ["/bin/sh", "-c", script, *launch.argv],
        env=None if launch.env is None else dict(launch.env),
        pass_fds=launch.pass_fds,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def test_every_launch_can_read_the_secret_through_a_shell_as_often_as_it_likes(made: list[Kubectl]) -> None:
    kubectl = Kubectl("shop", _access(kubectl_token=SECRETS[0], kubectl_kubeconfig=__file__))
    made.append(kubectl)
    launches = [kubectl.launch(["get", "pods"]) for _each in range(2)]
    for launch in launches:
        assert launch.argv == (b"kubectl", b"--user", b"manifold", b"get", b"pods")
        assert launch.env is not None
        first, *rest = launch.env["KUBECONFIG"].split(":")
        assert rest == [__file__]
        printed = _run(launch, f"exec 3>&1; sh -c 'cat {first}; cat {first}; stat -L -c %a {first}'")
        assert printed.count(SECRETS[0]) == 2 and printed.endswith("600\n")
    assert launches[0] == launches[1], "one descriptor does for all"
    assert min(launches[0].pass_fds) >= 100, "shells and our own scripts use lower numbers for themselves"


def test_a_kubeconfig_given_as_a_mapping_is_no_file(made: list[Kubectl]) -> None:
    kubectl = Kubectl("shop", _access(kubectl_kubeconfig={"users": [{"user": {"token": SECRETS[0]}}]}))
    made.append(kubectl)
    launch = kubectl.launch(["version"])
    assert launch.argv[:2] == (b"kubectl", b"--kubeconfig") and launch.argv[3:] == (b"version",)
    assert SECRETS[0] in _run(launch, 'cat "$2"')


def test_a_closed_one_hands_the_secret_over_anew(made: list[Kubectl]) -> None:
    kubectl = Kubectl("shop", _access(kubectl_kubeconfig={"a": "b"}))
    made.append(kubectl)
    kubectl.launch([])
    kubectl.close()
    assert json.loads(_run(kubectl.launch([]), 'cat "$2"')) == {"a": "b"}


def test_a_kubeconfig_that_is_missing_is_said_before_kubectl_overlooks_it(tmp_path: Path) -> None:
    kubectl = Kubectl("shop", _access(kubectl_kubeconfig=str(tmp_path / "none"), kubectl_token=SECRETS[0]))
    with pytest.raises(ContextError, match="none does not exist"):
        kubectl.launch([])


def test_kubectl_runs_in_one_thread_unless_somebody_chose_how_many() -> None:
    environments: list[dict[str, str]] = [{}, {"GOMAXPROCS": "4"}]
    launches = [Kubectl("prod", Access(("kubectl",), env=env)).launch(["get", "pods"]) for env in environments]
    assert [_run(launch, "echo $GOMAXPROCS").strip() for launch in launches] == ["1", "4"]
