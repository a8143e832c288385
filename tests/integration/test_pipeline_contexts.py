# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to name a place: local, SSH, pods, the task's own host; and who sees what on the way."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    SECONDS,
    Hosts,
    Inventories,
    Pods,
    argument_lists,
    assert_no_traceback,
    in_pod,
    kept_by,
    one_line,
    pipeline,
    play,
    records_of,
    tail_of,
)
from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory
from testbed.kube.errors import ApiError
from testbed.playbook import PlaybookRun
from testbed.processes import HOST_VARIABLE
from testbed.ssh.accounts import Sudo
from testbed.ssh.keys import make_key

WHERE = f"echo ${{{HOST_VARIABLE}:+remote}}${{{HOST_VARIABLE}:-controller}}"
"""Prints ``controller`` on this machine and ``remote...`` in a session of an SSH host."""
WHO = {"command": 'cat "$HOME/who"'}
both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)


# -- local ---------------------------------------------------------------------------------------------------------


@both_tiers
def test_local_is_the_controller_whatever_the_inventory_says(ssh_host: Hosts, inventory: Inventories) -> None:
    alpha = ssh_host("alpha")
    local = ssh_host("local")
    tasks = [
        pipeline("local by name", {"context": "local", "command": WHERE}),
        pipeline("own host", {"command": WHERE}),
        pipeline("named host", {"context": "alpha", "command": WHERE}),
    ]
    without = inventory(alpha).run_playbook([play(*tasks, hosts="alpha")]).check()
    assert tail_of(without, "local by name")["stdout"] == "controller\n"
    assert tail_of(without, "own host")["stdout"].startswith("remote")
    assert tail_of(without, "named host")["stdout"].startswith("remote")
    assert [tail_of(without, name)["steps"][0]["type"] for name in ("local by name", "own host")] == ["local", "ssh"]

    with_one = inventory(alpha, local).run_playbook([play(*tasks, hosts="alpha")]).check()
    assert tail_of(with_one, "local by name")["stdout"] == "controller\n"


# -- the task's own host -------------------------------------------------------------------------------------------


@both_tiers
def test_a_step_without_a_context_runs_on_the_host_of_the_task(ssh_host: Hosts, inventory: Inventories) -> None:
    hosts = [ssh_host(name) for name in ("alpha", "beta")]
    for host in hosts:
        (host.data / "who").write_text(f"I am {host.name}\n")
    result = (
        inventory(*hosts)
        .run_playbook(
            [
                play(
                    pipeline(
                        "each its own",
                        WHO,
                        {"context": "local", "argv": ["tr", "a-z", "A-Z"]},
                        {"dest": "~/shouted"},
                    ),
                    hosts="alpha,beta",
                ),
                play(
                    pipeline("delegated", WHO, task={"delegate_to": "beta"}),
                    pipeline("at home", WHO),
                    pipeline("delegated to here", {"command": WHERE}, task={"delegate_to": "localhost"}),
                    hosts="alpha",
                ),
            ]
        )
        .check()
    )
    for host in hosts:
        assert (host.data / "shouted").read_text() == f"I AM {host.name.upper()}\n"
        assert tail_of(result, "each its own", host.name)["sinks"][0]["context"] == host.name
    assert tail_of(result, "delegated")["stdout"] == "I am beta\n"
    assert tail_of(result, "delegated")["steps"][0]["context"] == "beta"
    assert tail_of(result, "at home")["stdout"] == "I am alpha\n"
    assert tail_of(result, "delegated to here")["stdout"] == "controller\n"


@pytest.mark.embedded
def test_the_environment_of_the_task_reaches_its_own_host_only(ssh_host: Hosts, inventory: Inventories) -> None:
    alpha, beta = ssh_host("alpha"), ssh_host("beta")
    say = "cat; echo ${SAID-nothing}"
    result = inventory(alpha, beta).run_playbook(
        [
            play(
                pipeline(
                    "three places",
                    {"command": "echo ${SAID-nothing}"},
                    {"context": "beta", "command": say},
                    {"context": "local", "command": say},
                    task={"environment": {"SAID": "of the task"}},
                ),
                hosts="alpha",
            )
        ]
    )
    assert tail_of(result.check(), "three places")["stdout"] == "of the task\nnothing\nnothing\n"


# -- SSH -----------------------------------------------------------------------------------------------------------


@both_tiers
def test_a_key_and_a_port_of_its_own(ssh_host: Hosts, inventory: Inventories) -> None:
    """The port of each test host is one that the system chose, and never 22."""
    alpha = ssh_host("alpha")
    assert alpha.port != 22
    result = inventory(alpha).run_playbook([play(pipeline("in", {"context": "alpha", "argv": ["echo", "in"]}))]).check()
    assert tail_of(result, "in")["stdout_lines"] == ["in"]
    assert tail_of(result, "in")["steps"][0]["type"] == "ssh"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a running ssh-agent."""
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"SSH_AUTH_SOCK" in process.stdout.readline()  # it listens
    yield {"SSH_AUTH_SOCK": str(socket)}
    process.terminate()
    process.wait(SECONDS)
    process.stdout.close()


@both_tiers
def test_a_key_that_only_the_agent_holds(ssh_host: Hosts, inventory: Inventories, agent: dict[str, str]) -> None:
    alpha = ssh_host("alpha")
    assert alpha.key_path is not None
    subprocess.run(["ssh-add", "-q", str(alpha.key_path)], env={**os.environ, **agent}, check=True)
    by_agent = {
        "ansible_ssh_private_key_file": "",
        "ansible_ssh_common_args": f"-o IdentitiesOnly=no {shlex.join(alpha.isolation())}",
    }
    contexts = inventory(alpha, variables={"alpha": by_agent})
    tasks = [play(pipeline("in", {"context": "alpha", "argv": ["echo", "in"]}))]
    refused = contexts.run_playbook(tasks).check()
    assert "refused the login" in tail_of(refused, "in")["msg"]
    assert tail_of(contexts.run_playbook(tasks, env=agent).check(), "in")["stdout"] == "in\n"


MECHANISMS = [
    pytest.param("ssh_askpass", id="askpass"),
    pytest.param("sshpass", id="sshpass", marks=pytest.mark.skipif(not shutil.which("sshpass"), reason="no sshpass")),
]


@both_tiers
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_password_and_a_wrong_one(mechanism: str, ssh_host: Hosts, inventory: Inventories) -> None:
    """The wrong one comes second: the first one's master must not let it in."""
    password = f"pw-{secrets.token_hex(8)}"
    alpha = ssh_host("alpha", password=password)
    common = {**alpha.inventory_vars(), "ansible_ssh_password_mechanism": mechanism}
    text = {"all": {"hosts": {"alpha": common, "wrong": {**common, "ansible_password": "not-it"}}}}
    result = inventory(text=str(text)).run_playbook(
        [
            play(
                pipeline(
                    "right",
                    {"context": "alpha", "argv": ["echo", "in"]},
                    {"context": "alpha", "argv": ["cat"]},
                ),
                pipeline("wrong", {"name": "enter", "context": "wrong", "argv": ["echo", "in"]}),
            )
        ],
        "-vvvv",
    )
    assert tail_of(result.check(), "right")["stdout"] == "in\n"
    assert tail_of(result, "wrong")["failed_step"] == "enter"
    assert "step 'enter' (wrong)" in tail_of(result, "wrong")["msg"]
    assert "password" in tail_of(result, "wrong")["msg"]
    assert "stdout" not in tail_of(result, "wrong")
    assert password not in result.stdout + result.stderr
    assert_no_traceback(result)


@both_tiers
def test_a_jump_host_through_common_args(ssh_host: Hosts, inventory: Inventories, tmp_path: Path) -> None:
    jump, inner = ssh_host("jump"), ssh_host("inner")
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host jump\n  HostName {jump.host}\n  Port {jump.port}\n  User {jump.user}\n"
        f"  IdentityFile {jump.key_path}\n  UserKnownHostsFile {jump.known_hosts_path}\n"
        f"  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n"
    )
    own = [word if word != "none" else str(config) for word in inner.isolation()]
    through = {"ansible_ssh_common_args": shlex.join([*own, "-o", "ProxyJump=jump"])}
    contexts = inventory(inner, variables={"inner": through})
    tasks = [play(pipeline("in", {"name": "enter", "context": "inner", "command": "echo in"}))]
    assert tail_of(contexts.run_playbook(tasks).check(), "in")["stdout"] == "in\n"

    jump.server.close()
    contexts_again = inventory(inner, variables={"inner": through})
    refused = tail_of(contexts_again.run_playbook(tasks).check(), "in")
    assert refused["failed_step"] == "enter", "it went past the jump host"


@both_tiers
def test_contexts_that_differ_in_key_or_known_hosts_do_not_share_a_connection(
    ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    alpha, other = ssh_host("alpha"), ssh_host("other")
    stranger = make_key(tmp_path / "stranger").private_path
    sound = alpha.inventory_vars()
    args = str(sound["ansible_ssh_common_args"])
    wrong_hosts = args.replace(str(alpha.known_hosts_path), str(tmp_path / "wrong_hosts"))
    known = other.known_hosts_path.read_text().replace(f":{other.port} ", f":{alpha.port} ")
    (tmp_path / "wrong_hosts").write_text(known)
    text = {
        "all": {
            "hosts": {
                "alpha": sound,
                "changed-key": {**sound, "ansible_ssh_common_args": wrong_hosts},
                "stranger": {**sound, "ansible_ssh_private_key_file": str(stranger)},
            }
        }
    }
    tasks = [
        pipeline(name, {"name": "enter", "context": name, "argv": ["echo", "in"]})
        for name in ("alpha", "changed-key", "stranger")
    ]
    result = inventory(text=str(text)).run_playbook([play(*tasks)]).check()
    assert tail_of(result, "alpha")["stdout"] == "in\n"
    assert "host key is unknown or has changed" in tail_of(result, "changed-key")["msg"]
    assert "known_hosts" in tail_of(result, "changed-key")["msg"]
    assert "refused the login" in tail_of(result, "stranger")["msg"]


# -- become --------------------------------------------------------------------------------------------------------


@pytest.mark.node
def test_becoming_root_with_and_without_a_password(ssh_host: Hosts, inventory: Inventories) -> None:
    password = f"pw-{secrets.token_hex(8)}"
    free = ssh_host("free", account=True, sudo=Sudo.NO_PASSWORD)
    asked = ssh_host("asked", password=password, sudo=Sudo.PASSWORD)
    hosts = {"free": free.inventory_vars(), "asked": asked.inventory_vars()}
    hosts["asked"]["ansible_become_password"] = password
    hosts["wrong"] = {**hosts["asked"], "ansible_become_password": "not-it"}
    hosts["none"] = {name: value for name, value in hosts["asked"].items() if name != "ansible_become_password"}
    hosts["always"] = {**hosts["asked"], "ansible_become": True}
    whoami = {"command": "id -un"}
    payload = "head -c 3000000 /dev/zero"
    tasks = [
        pipeline("as itself", {"context": "free", **whoami}),
        pipeline("free", {"context": "free", "become": True, **whoami}),
        pipeline("asked", {"context": "asked", "become": True, **whoami}),
        pipeline("always", {"context": "always", **whoami}),
        pipeline("never", {"context": "always", "become": False, **whoami}),
        pipeline("as another", {"context": "asked", "become": True, "become_user": free.user, **whoami}),
        pipeline("wrong", {"name": "enter", "context": "wrong", "become": True, **whoami}),
        pipeline("none", {"name": "enter", "context": "none", "become": True, **whoami}),
        pipeline(
            "three at once",
            {"context": "asked", "become": True, "command": payload},
            {"context": "asked", "become": True, "command": "cat"},
            {"context": "asked", "become": True, "dest": str(asked.data / "of-root")},
        ),
    ]
    own = [
        pipeline("task becomes", whoami, {"context": "local", "command": "cat; id -un >&2"}, task={"become": True}),
        pipeline("task becomes another", whoami, task={"become": True, "become_user": free.user}),
        pipeline("step does not", {**whoami, "become": False}, task={"become": True}),
        pipeline("peer is not meant", {"context": "free", **whoami}, task={"become": True}),
    ]
    result = (
        inventory(text=str({"all": {"hosts": hosts}}))
        .run_playbook([play(*tasks), play(*own, hosts="asked")], "-vvvv")
        .check()
    )
    said = {task.task: task.result.get("stdout", task.result.get("msg", "")).strip() for task in result.tasks}
    for name in ("wrong", "none"):
        assert f"step 'enter' ({name}): becoming root by sudo" in said[name]
        assert "ansible_become_password" in said[name]
        assert tail_of(result, name)["failed_step"] == "enter"
    assert {name: said[name] for name in said if name not in ("wrong", "none", "three at once")} == {
        "as itself": free.user,
        "free": "root",
        "asked": "root",
        "always": "root",
        "never": asked.user,
        "as another": free.user,
        "task becomes": "root",
        "task becomes another": free.user,
        "step does not": asked.user,
        "peer is not meant": free.user,
    }
    assert result.task("three at once").status == "ok", tail_of(result, "three at once")
    assert (asked.data / "of-root").stat().st_size == 3000000
    assert (asked.data / "of-root").stat().st_uid == 0
    assert password not in result.stdout + result.stderr
    assert_no_traceback(result)


# -- pods ----------------------------------------------------------------------------------------------------------


@both_tiers
def test_pods_by_kubeconfig_context_namespace_and_container(pod: Pods, inventory: Inventories, tmp_path: Path) -> None:
    web = pod("web")
    with contextlib.suppress(ApiError):  # a test before may have made it
        web.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}})
    twin = pod("web", namespace="apps")
    pair = pod("pair", containers=[{"name": "main"}, {"name": "side"}])
    for each, container in ((web, "main"), (twin, "main"), (pair, "main"), (pair, "side")):
        who = f"{each.namespace}/{each.name}/{container}"
        in_pod(each, f'echo {who} > "$POD_ROOT/{container}"', container=container)
    second = web.kube.write_kubeconfig(tmp_path / "two", context="elsewhere", namespace="apps")
    two = {"ansible_connection": "kubernetes.core.kubectl", "ansible_kubectl_kubeconfig": str(second)}
    base = web.inventory_vars()
    bare = {name: value for name, value in base.items() if not name.endswith(("_container", "_pod", "_namespace"))}
    as_dict = web.kube.kubeconfig()
    hosts: dict[str, Any] = {
        "web": base,
        "dict": {**base, "ansible_kubectl_kubeconfig": as_dict},
        "namespace": {**base, "ansible_kubectl_namespace": "apps"},
        "context": {**two, "ansible_kubectl_context": "elsewhere", "ansible_kubectl_pod": "web"},
        "pair-main": {**bare, "ansible_kubectl_pod": "pair", "ansible_kubectl_container": "main"},
        "pair-side": {**bare, "ansible_kubectl_pod": "pair", "ansible_kubectl_container": "side"},
    }
    expected = {
        "web": "default/web/main",
        "dict": "default/web/main",
        "namespace": "apps/web/main",
        "context": "apps/web/main",
        "pair-main": "default/pair/main",
        "pair-side": "default/pair/side",
    }

    def read(name: str) -> dict[str, Any]:
        container = expected[name].rpartition("/")[2]
        return {"name": "read", "context": name, "command": f'cat "$POD_ROOT/{container}"'}

    places = inventory(text=str({"all": {"hosts": hosts}}))
    scratch = places.directory / "tmp"  # short: newer ansible-core listens on a socket in it
    scratch.mkdir()
    tasks = [pipeline(name, read(name), {"context": name, "argv": ["cat"]}) for name in hosts]
    result = places.run_playbook([play(*tasks)], env={"TMPDIR": str(scratch)})
    assert {name: tail_of(result.check(), name).get("stdout") for name in hosts} == {
        name: f"{text}\n" for name, text in expected.items()
    }
    assert {tail_of(result, name)["steps"][0]["type"] for name in hosts} == {"kubernetes"}
    left = [path for path in scratch.rglob("*") if path.is_file()]
    assert left == [], "a kubeconfig given as a dict was left on disk"


# -- kubectl on the controller -------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_a_kubectl_line_runs_here_against_the_cluster_of_its_context(
    pod: Pods, ssh_host: Hosts, inventory: Inventories, tmp_path: Path
) -> None:
    web, alpha = pod("web"), ssh_host("alpha")
    ours = {**web.inventory_vars(), "ansible_connection": "manifold.core.kubectl"}
    away = {**ours, "ansible_kubectl_kubeconfig": str(tmp_path / "none")}
    hosts = {"web": ours, "alpha": alpha.inventory_vars(), "away": away}
    names = {"name": "names", "kubectl": "get pods web -o name"}
    tasks = [
        pipeline("source", {"context": "web", **names}, {"context": "local", "command": "tr a-z A-Z"}),
        pipeline(
            "consumer",
            {"context": "local", "command": "printf 'into the pod\\n'"},
            {"context": "web", "kubectl": ["exec", "-i", "web", "--", "sh", "-c", 'cat >"$POD_ROOT/got"; echo done']},
        ),
        pipeline("failed", {"context": "web", "name": "ask", "kubectl": "get pods no-such-pod"}),
        pipeline("accepted", {"context": "web", "kubectl": "get pods no-such-pod", "ok_codes": [1]}),
        pipeline("checked", {"context": "web", "kubectl": "delete pod web"}, task={"check_mode": True}),
        pipeline("no cluster", {"context": "local", **names}),
        pipeline("no pods", {"context": "alpha", "pod": "web", "command": "true"}),
        pipeline("no kubeconfig", {"context": "away", **names}),
        pipeline("word", {"context": "web", "kubectl": "kubectl get pods"}),
    ]
    result = inventory(text=str({"all": {"hosts": hosts}})).run_playbook(
        [play(*tasks), play(pipeline("own host", names), hosts="web")]
    )
    assert tail_of(result.check(), "source")["stdout"] == "POD/WEB\n"
    step = tail_of(result, "source")["steps"][0]
    assert (step["context"], step["type"], step["rc"], step["proof"]) == ("web", "kubernetes", 0, "marker")
    assert tail_of(result, "consumer")["stdout"] == "done\n"
    assert in_pod(web, 'cat "$POD_ROOT/got"') == b"into the pod\n"
    failed = tail_of(result, "failed")
    assert "step 'ask' (web): it failed with exit status 1" in failed["msg"] and "NotFound" in failed["msg"]
    assert [result.task(name).status for name in ("failed", "accepted", "checked")] == ["failed", "ok", "ok"]
    assert tail_of(result, "own host")["stdout"] == "pod/web\n"
    for name, text in {
        "no cluster": "step 'names' (local): running kubectl: a context of kind local has no cluster",
        "no pods": "(alpha): choosing the pod web: a context of kind ssh has no pods",
        "no kubeconfig": "step 'names' (away): reading its kubeconfig: the kubeconfig",
        "word": "leave the first word out",
    }.items():
        assert text in tail_of(result, name)["msg"], name
    assert_no_traceback(result)


# -- what is not supported -----------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_an_unsupported_connection_is_named(ssh_host: Hosts, inventory: Inventories) -> None:
    kinds = ["community.docker.docker", "ansible.builtin.winrm", "ansible.builtin.psrp", "no.such.plugin"]
    hosts: dict[str, dict[str, Any]] = {
        f"host{number}": {"ansible_connection": kind} for number, kind in enumerate(kinds)
    }
    hosts["alpha"] = ssh_host("alpha").inventory_vars()
    hosts["nobecome"] = {**hosts["alpha"], "ansible_become": True, "ansible_become_method": "no.such.method"}
    tasks = [pipeline(name, {"name": "enter", "context": name, "command": "true"}) for name in hosts]
    result = inventory(text=str({"all": {"hosts": hosts}})).run_playbook([play(*tasks)]).check()
    for number, kind in enumerate(kinds):
        failed = tail_of(result, f"host{number}")
        assert f"step 'enter' (host{number})" in failed["msg"]
        assert f"'{kind}'" in failed["msg"]
        assert "Supported are ansible.builtin.local, ansible.builtin.ssh" in failed["msg"]
        assert failed["failed_step"] == "enter"
    assert "no.such.method" in tail_of(result, "nobecome")["msg"]
    assert_no_traceback(result)


@pytest.mark.node
def test_a_warning_of_sudo_is_no_prompt(ssh_host: Hosts, inventory: Inventories) -> None:
    """As "sudo: unable to resolve host", which is harmless."""
    free = ssh_host("free", account=True, sudo=Sudo.NO_PASSWORD)
    noisy = free.data / "noisy-sudo"
    noisy.write_text('#!/bin/sh\necho "sudo: unable to resolve host free" >&2\nsleep 1\nexec sudo "$@"\n')
    noisy.chmod(0o755)
    become = {"ansible_become": True, "ansible_become_exe": str(noisy)}
    tasks = [play(pipeline("noisy", {"context": "free", "command": "id -un"}))]
    result = inventory(free, variables={"free": become}).run_playbook(tasks).check()
    assert tail_of(result, "noisy").get("stdout") == "root\n", tail_of(result, "noisy")["msg"]


@pytest.mark.embedded
def test_an_unsupported_connection_of_the_tasks_own_host_is_named(inventory: Inventories) -> None:
    text = "all: {hosts: {win: {ansible_connection: ansible.builtin.psrp}}}"
    result = inventory(text=text).run_playbook([play(pipeline("own", {"command": "true"}), hosts="win")])
    assert result.task("own").status in ("failed", "unreachable")
    assert "psrp" in one_line(result.stdout + result.stderr)
    assert_no_traceback(result)


# -- secrets -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def waiting_at(*gates: Path) -> Iterator[None]:
    """Wait until somebody opened each fifo for reading, run the block, then let all of them go on."""
    opened: dict[Path, int] = {}

    def open_one(gate: Path) -> None:
        opened[gate] = os.open(gate, os.O_WRONLY)

    threads = [threading.Thread(target=open_one, args=(gate,), daemon=True) for gate in gates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    missing = [gate.name for gate in gates if gate not in opened]
    try:
        assert missing == [], "these never came to their gate"
        yield
    finally:
        for fd in opened.values():
            os.close(fd)


@contextlib.contextmanager
def traced(run: PlaybookRun, log: Path) -> Iterator[None]:
    """Follow every program that the play starts, where there is an strace that may."""
    if shutil.which("strace") is None:
        yield
        return
    argv = ["strace", "-f", "-v", "-s", "100000", "-e", "trace=execve", "-o", str(log), "-p", str(run.pid)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        tracer.stderr.readline()  # it is attached, or may not
        try:
            yield
        finally:
            tracer.terminate()  # the connections that stay open are followed too
            tracer.communicate()


@both_tiers
def test_values_of_the_environment_stand_in_no_argument_list(
    ssh_host: Hosts, pod: Pods, inventory: Inventories, tmp_path: Path
) -> None:
    secret = f"s3cret-{secrets.token_hex(8)}"
    alpha, web = ssh_host("alpha"), pod("web")
    gate = alpha.data / "gate"
    os.mkfifo(gate)
    secrets_of = {"environment": {"SECRET": secret, "OTHER": f'it\'s "{secret}" $HOME\nand more'}}
    show = 'cat; printf "%s|%s\\n" "$SECRET" "$OTHER"'
    held = f'read x < {shlex.quote(str(gate))}; printf "%s|%s\\n" "$SECRET" "$OTHER"'
    run = inventory(alpha, web).play_async(
        [
            play(
                pipeline(
                    "show",
                    {"context": "alpha", "command": held, **secrets_of},
                    {"context": "web", "command": show, **secrets_of},
                    {"context": "local", "command": show, **secrets_of},
                )
            )
        ]
    )
    with traced(run, tmp_path / "trace"):
        with waiting_at(gate):
            seen = [line for line in argument_lists() if secret in line]
        result = run.wait()
    assert seen == []
    line = f'{secret}|it\'s "{secret}" $HOME\nand more\n'
    assert tail_of(result.check(), "show")["stdout"] == line * 3
    check_trace(tmp_path / "trace", secret)


def check_trace(log: Path, secret: str) -> None:
    """No program was started with the secret among its arguments (its environment is another matter)."""
    calls = [line for line in log.read_text(errors="replace").splitlines() if "execve(" in line] if log.exists() else []
    if not calls:
        return  # there was nobody to trace it, or not allowed to
    assert any("ssh" in call for call in calls)
    guilty = [call for call in calls if secret in re.split(r"\], \[", call, maxsplit=1)[0]]
    assert guilty == []


@pytest.mark.node
def test_passwords_stand_in_no_argument_list(ssh_host: Hosts, inventory: Inventories, tmp_path: Path) -> None:
    """By askpass and by sshpass; login and sudo have the same password here."""
    password = f"pw-{secrets.token_hex(8)}"
    alpha = ssh_host("alpha", password=password, sudo=Sudo.PASSWORD)
    gates = [alpha.data / "gate1", alpha.data / "gate2"]
    for gate in gates:
        os.mkfifo(gate)
        gate.chmod(0o666)
    common = {**alpha.inventory_vars(), "ansible_become_password": password, "ansible_become": True}
    hosts = {
        "askpass": {**common, "ansible_ssh_password_mechanism": "ssh_askpass"},
        "sshpass": {**common, "ansible_ssh_password_mechanism": "sshpass"},
    }
    contexts: Inventory = inventory(text=str({"all": {"hosts": hosts}}))
    run = contexts.play_async(
        [
            play(
                pipeline(
                    "both",
                    {"context": "askpass", "command": f"read x < {gates[0]}; echo in"},
                    {"context": "sshpass", "command": f"read x < {gates[1]}; cat"},
                )
            )
        ],
        "-vvvv",
        env=kept_by(contexts),
    )
    with traced(run, tmp_path / "trace"):
        with waiting_at(*gates):
            seen = [line for line in argument_lists() if password in line]
        result = run.wait()
    assert seen == []
    assert tail_of(result.check(), "both")["stdout"] == "in\n"
    assert password not in result.stdout + result.stderr
    assert password not in str(tail_of(result, "both"))
    (record,) = records_of(contexts)
    assert password not in record.read_text() + (contexts.directory / "ansible.log").read_text()
    check_trace(tmp_path / "trace", password)
