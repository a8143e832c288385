# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands in pods by our own exec client and, where that cannot be, by kubectl: the same for the user either way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._pods import pod_named
from ansible_collections.manifold.core.plugins.plugin_utils.streams._exchange import ExchangeFailed, run_command

from integration.support import SECONDS, Census, Inventories, Pods, pipeline, play, tail_of
from testbed.kube import CallFault
from testbed.kube.faults import Action, Direction, Fault
from testbed.kube.kubectl import find_kubectl
from testbed.kube.tls import TlsFront
from testbed.playbook import PlaybookRun
from testbed.pods import PodHost
from testbed.processes import all_pids, await_exit, children_of, command_of
from testbed.run import Run

pytestmark = pytest.mark.embedded

CLIENT = "_exec_client"
MANY = 64 << 20
OFF = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}


class Asked:
    """Who asked the API server to run commands."""

    def __init__(self, web: PodHost) -> None:
        self._ours = web.kube.calls.add(CallFault(resource="pods/exec", client="manifold.core", times=None))
        self._kubectls = web.kube.calls.add(CallFault(resource="pods/exec", client="kubectl", times=None))

    def __call__(self) -> tuple[bool, bool]:
        """Return whether our client and whether kubectl did."""
        return bool(self._ours.struck), bool(self._kubectls.struck)


DIRECTLY = (True, False)
BY_KUBECTL = (False, True)
BY_BOTH = (True, True)


@contextlib.contextmanager
def reached(
    web: PodHost, *words: str, name: str = "", container: str | None = "main", env: Mapping[str, str] | None = None
) -> Iterator[KubernetesContext]:
    """Yield a pod as a context; without words its API server is the one in its kubeconfig."""
    files = () if "--kubeconfig" in words else (str(web.kubeconfig),)
    environ = {**os.environ, "PATH": f"{Path(find_kubectl()).parent}:{os.environ['PATH']}", **(env or {})}
    access = Access((find_kubectl(), "--namespace", web.namespace, *words), files, env=environ)
    kubectl = Kubectl(web.name, access)
    context = KubernetesContext(web.name, kubectl, pod_named(web.name, kubectl, name or web.name, container))
    try:
        yield context
    finally:
        context.close()


def said_by(context: KubernetesContext, given: bytes = b"whole") -> bytes:
    """Return what ``cat`` printed of what it was given."""
    status, out, err = run_command(context, ("cat",), given)
    assert (status, err) == (0, b"")
    return out


def token_kubeconfig(web: PodHost, front: TlsFront, path: Path, token: str) -> tuple[str, str]:
    document = web.kube.kubeconfig(token=token)
    document["clusters"][0]["cluster"] = {"server": front.url, "certificate-authority": str(front.certificate)}
    path.write_text(json.dumps(document))
    return "--kubeconfig", str(path)


@pytest.fixture
def front(pod: Pods, tmp_path: Path) -> Iterator[Callable[..., tuple[PodHost, TlsFront]]]:
    """Start a pod with TLS in front of its API."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> tuple[PodHost, TlsFront]:
            web = pod("web")
            made = TlsFront(web.kube.front.port, tmp_path, **options)
            stack.callback(made.close)
            return web, made

        yield start


def test_a_lot_goes_there_and_back(pod: Pods) -> None:
    web = pod("web")
    asked, data = Asked(web), os.urandom(1 << 20) * (MANY >> 20)
    with reached(web) as context:
        got = said_by(context, data)
    assert (len(got), hashlib.sha256(got).hexdigest()) == (MANY, hashlib.sha256(data).hexdigest())
    assert asked() == DIRECTLY


def test_a_token_over_tls_and_a_wrong_one(front: Callable[..., tuple[PodHost, TlsFront]], tmp_path: Path) -> None:
    web, tls = front()
    token = f"t-{secrets.token_hex(8)}"
    web.kube.authorizations = frozenset({f"Bearer {token}"})
    asked = Asked(web)
    with reached(web, *token_kubeconfig(web, tls, tmp_path / "right", token)) as context:
        data = os.urandom(3 << 20)
        assert said_by(context, data) == data, "what came back over TLS is not what was given"
    assert asked() == DIRECTLY
    with (
        reached(web, *token_kubeconfig(web, tls, tmp_path / "wrong", "wrong")) as context,
        pytest.raises(ExchangeFailed, match="Check the credentials in the kubeconfig of this context") as caught,
    ):
        said_by(context)
    assert "wrong" not in str(caught.value)


def test_a_certificate_of_the_user(front: Callable[..., tuple[PodHost, TlsFront]]) -> None:
    web, tls = front(asks=True)
    words = ("--server", tls.url, "--certificate-authority", str(tls.certificate))
    asked = Asked(web)
    with reached(web, *words, "--client-certificate", str(tls.certificate), "--client-key", str(tls.key)) as context:
        assert said_by(context) == b"whole"
    assert asked() == DIRECTLY
    with reached(web, *words) as context, pytest.raises(ExchangeFailed):
        said_by(context)


@pytest.mark.parametrize(
    ("websockets", "env", "who"),
    [
        pytest.param(False, {}, BY_BOTH, id="no WebSocket"),
        pytest.param(True, OFF, BY_KUBECTL, id="switched off"),
        pytest.param(True, {"HTTP_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"}, BY_KUBECTL, id="a proxy"),
    ],
)
def test_kubectl_does_it_where_we_cannot_or_shall_not(
    pod: Pods, websockets: bool, env: dict[str, str], who: tuple[bool, bool]
) -> None:
    web = pod("web")
    web.kube.websockets = websockets
    asked, data = Asked(web), os.urandom(3 << 20)
    with reached(web, env=env) as context:
        assert said_by(context, data) == data, "what came back is not what was given"
    assert asked() == who


def test_the_container_that_nobody_names_is_kubectls_choice(pod: Pods) -> None:
    """The API server names none where there are several."""
    one, two = pod("one"), pod("two", containers=[{"name": "first"}, {"name": "second"}])
    asked = Asked(one)
    with reached(one, container=None) as context:
        assert said_by(context) == b"whole"
    assert asked() == DIRECTLY
    with reached(two, container=None) as context:
        status, out, _err = run_command(context, ("cat",), b"whole")
    assert (status, out) == (0, b"whole")
    assert asked() == BY_BOTH


def test_what_is_not_there_is_explained_as_ever(pod: Pods) -> None:
    """Our client and kubectl by itself: the user reads the same."""
    web = pod("web")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "no server": ({"words": ("--server", f"http://127.0.0.1:{port}")}, "was refused"),
        "no pod": ({"name": "wbe"}, "pod/wbe does not exist. Did you mean .web."),
        "no container": ({"container": "sid"}, "pod web has no container 'sid'"),
    }
    for what, (options, said) in wrong.items():
        texts = []
        for env in ({}, OFF):
            words = options.get("words", ())
            rest = {key: value for key, value in options.items() if key != "words"}
            with reached(web, *words, env=env, **rest) as context, pytest.raises(ExchangeFailed, match=said) as caught:
                said_by(context)
            texts.append(str(caught.value))
        assert texts[0] == texts[1], what


@pytest.mark.parametrize("action", [Action.RESET, Action.END_WITHOUT_STATUS, Action.END_WITH_SUCCESS])
@pytest.mark.parametrize("direction", list(Direction))
def test_a_cut_connection_fails_the_command(pod: Pods, direction: Direction, action: Action) -> None:
    web = pod("web")
    asked = Asked(web)
    fault = Fault(direction, action, 1 << 20, pod="web")
    web.kube.faults.add(fault)
    with reached(web) as context, pytest.raises(ExchangeFailed, match="was cut"):
        said_by(context, bytes(3 << 20))
    assert fault.fired.is_set()
    assert asked() == DIRECTLY


# -- what is left ------------------------------------------------------------------------------------------------------


def clients(run: PlaybookRun) -> list[int]:
    return [pid for pid in run.processes() if CLIENT in command_of(pid)]


def test_a_context_that_is_closed_leaves_no_client(pod: Pods) -> None:
    web = pod("web")
    with reached(web) as context:
        said_by(context)
        assert [pid for pid in children_of(os.getpid()) if CLIENT in command_of(pid)], (
            "no client waits: the test is void"
        )
    assert [pid for pid in children_of(os.getpid()) if CLIENT in command_of(pid)] == []


@pytest.mark.parametrize("end", ["it ends", "ansible-playbook is killed", "its workers are killed too"])
def test_no_client_is_left_and_none_shows_a_secret(
    front: Callable[..., tuple[PodHost, TlsFront]],
    inventory: Inventories,
    testbed_run: Run,
    tmp_path: Path,
    end: str,
) -> None:
    """The command prints nothing while it waits, so that nothing but the end of its reader tells the client."""
    web, tls = front()
    token, go = f"s3cret-{secrets.token_hex(8)}", tmp_path / "go"
    os.mkfifo(go)
    web.kube.authorizations = frozenset({f"Bearer {token}"})
    variables = web.inventory_vars() | {
        "ansible_kubectl_kubeconfig": "",
        "ansible_kubectl_host": tls.url,
        "ansible_kubectl_ca_cert": str(tls.certificate),
        "ansible_kubectl_token": token,
        "ansible_python_interpreter": sys.executable,
    }
    inv = inventory(text=str({"all": {"hosts": {"web": variables}}}))
    census = Census(testbed_run, inv)
    asked = Asked(web)
    run = inv.play_async([play(pipeline("waits", {"context": "web", "command": f"echo up > {go}; cat {go}"}))])
    assert go.read_text() == "up\n"  # the command runs
    found = clients(run)
    assert len(found) == 2, "one that runs and one that waits"
    for pid in all_pids():
        with contextlib.suppress(OSError):
            seen = b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
            assert token.encode() not in seen, command_of(pid)
    assert asked() == DIRECTLY
    if end == "it ends":
        go.write_text("done\n")
        assert tail_of(run.wait(60).check(), "waits")["stdout"] == "done\n"
    elif end == "its workers are killed too":
        for pid in [pid for pid in run.processes() if pid not in found]:
            os.kill(pid, signal.SIGKILL)
        run.process.wait(SECONDS)
    else:
        run.kill()
        run.process.wait(SECONDS)
        go.write_text("done\n")  # the worker lives on and ends its task
    assert await_exit(found, SECONDS) == []
    assert census.newcomers() == []
