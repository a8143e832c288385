# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordinary modules over the kubectl connection: in whichever pod is meant, proven, and with nothing secret in sight."""

from __future__ import annotations

import base64
import json
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.support import (
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    kept_by,
    one_line,
    parts_in,
    pipeline,
    play,
    records_of,
    tail_of,
)
from integration.workloads import await_pods, service, workload
from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory
from testbed.kube import Kube
from testbed.kube.faults import Action, Direction, Fault
from testbed.kube.kubectl import find_kubectl
from testbed.kube.tls import TlsFront
from testbed.playbook import PlaybookResult, read_results
from testbed.pods import PodHost

THEIRS = "kubernetes.core.kubectl"
both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
BLOB = bytes(range(256)) * 4096


def by_ours(pod: PodHost, **more: Any) -> dict[str, Any]:
    """Return the variables of a host that is a pod; those of the pod's name are left out if one is given."""
    variables = pod.inventory_vars() | {
        "ansible_connection": "manifold.core.kubectl",
        "ansible_python_interpreter": sys.executable,
    }
    if any(name.endswith(("_pod", "_selector")) for name in more):
        del variables["ansible_kubectl_pod"], variables["ansible_kubectl_container"]
    return variables | more


def hosts(**each: Mapping[str, Any]) -> str:
    """Return an inventory of hosts by their variables."""
    return str({"all": {"hosts": {name.replace("_", "-"): dict(variables) for name, variables in each.items()}}})


def task(name: str, module: str, arguments: Any, **keywords: Any) -> dict[str, Any]:
    """Return a task that may fail, and whose host may be lost, without ending the play."""
    return {"name": name, f"ansible.builtin.{module}": arguments, **TOLERANT, **keywords}


TOLERANT = {"ignore_errors": True, "ignore_unreachable": True}


# -- ordinary modules ----------------------------------------------------------------------------------------------


@pytest.mark.embedded
@pytest.mark.long
def test_ordinary_modules_work_in_a_pod(pod: Pods, inventory: Inventories, tmp_path: Path) -> None:
    web = pod("web")
    folder = folder_in(web, "files")
    (tmp_path / "blob'; x").write_bytes(BLOB)
    (tmp_path / "empty").touch()
    (tmp_path / "script.sh").write_text('#!/bin/sh\necho "script in $HOSTNAME: $1"\n')
    put = {"src": f"{tmp_path}/blob'; x", "dest": folder}
    result = inventory(text=hosts(web=by_ours(web))).run_playbook(
        [
            play(
                task("copy", "copy", put),
                task("copy again", "copy", put),
                task("copy empty", "copy", {"src": f"{tmp_path}/empty", "dest": folder}),
                task("slurp", "slurp", {"src": f"{folder}/blob'; x"}),
                task("fetch", "fetch", {"src": f"{folder}/blob'; x", "dest": f"{tmp_path}/back/", "flat": True}),
                task("fetch empty", "fetch", {"src": f"{folder}/empty", "dest": f"{tmp_path}/back/", "flat": True}),
                task("command", "command", {"cmd": "cat", "stdin": "é\n" * 50_000, "stdin_add_newline": False}),
                task("failed command", "command", "sh -c 'echo out; echo err >&2; exit 3'"),
                task("script", "script", f"{tmp_path}/script.sh one"),
                task("in the background", "command", "sh -c 'sleep 0.1; echo late'", **{"async": 30, "poll": 1}),
                task("stat", "stat", {"path": f"{folder}/none"}),
                hosts="web",
            )
        ]
    )
    result.check()
    assert [result.task(name).changed for name in ("copy", "copy again")] == [True, False]
    assert base64.b64decode(tail_of(result, "slurp")["content"]) == BLOB
    assert (tmp_path / "back" / "blob'; x").read_bytes() == BLOB
    assert (tmp_path / "back" / "empty").read_bytes() == b""
    assert parts_in(tmp_path / "back") == []
    assert tail_of(result, "command")["stdout"] == "é\n" * 49_999 + "é"
    failed = tail_of(result, "failed command")
    assert (failed["rc"], failed["stdout"], failed["stderr"]) == (3, "out", "err")
    assert tail_of(result, "script")["stdout"] == "script in web: one\n"
    assert tail_of(result, "in the background")["stdout"] == "late"
    assert tail_of(result, "stat")["stat"]["exists"] is False
    assert_no_traceback(result)


@both_tiers
def test_a_pod_needs_no_python_for_raw_and_script(pod: Pods, inventory: Inventories, tmp_path: Path) -> None:
    web = pod("web", containers=[{"name": "main"}, {"name": "side"}])
    in_pod(web, 'echo main > "$POD_ROOT/who-main"')
    in_pod(web, 'echo side > "$POD_ROOT/who-side"', container="side")
    (tmp_path / "script.sh").write_text('#!/bin/sh\nread line < "$POD_ROOT/who-$1"; echo "$line"; exit 5\n')
    result = inventory(text=hosts(web=by_ours(web), side=by_ours(web, ansible_kubectl_container="side"))).run_playbook(
        [
            play(
                task("raw", "raw", "cat $POD_ROOT/who-main; printf 'no end' >&2; exit 7"),
                task("much", "raw", "i=0; while [ $i -lt 200000 ]; do echo $i; i=$((i+1)); done"),
                task("left running", "raw", "sleep 100 & echo started"),
                task("script", "script", f"{tmp_path}/script.sh main"),
                hosts="web",
            ),
            play(task("side", "raw", "cat $POD_ROOT/who-side"), hosts="side"),
        ]
    )
    raw = tail_of(result.check(), "raw")
    assert (raw["rc"], raw["stdout"], raw["stderr"]) == (7, "main\n", "no end")
    assert tail_of(result, "much")["stdout_lines"] == [str(number) for number in range(200_000)]
    assert tail_of(result, "left running")["stdout"] == "started\n"
    assert (tail_of(result, "script")["stdout"], tail_of(result, "script")["rc"]) == ("main\n", 5)
    assert tail_of(result, "side")["stdout"] == "side\n"
    assert_no_traceback(result)


# -- streams that are cut ------------------------------------------------------------------------------------------


def runs(text: str) -> Callable[[tuple[str, ...]], bool]:
    """Return whether a pod's command is the one of which the process list says that."""
    return lambda argv: text in " ".join(argv)


LIES = [Action.END_WITH_SUCCESS, Action.END_WITHOUT_STATUS, Action.RESET]


@both_tiers
def test_a_stream_that_was_cut_is_no_success(pod: Pods, inventory: Inventories, tmp_path: Path) -> None:
    web = pod("web")
    folder = folder_in(web, "files")
    in_pod(web, f"head -c 300000 /dev/zero > {folder}/big")
    (tmp_path / "old").write_text("old\n")
    (tmp_path / "script.sh").write_text("#!/bin/sh\necho ran\n" + "# filler\n" * 30_000)
    for lie in LIES:
        web.kube.faults.add(Fault(Direction.STDOUT, lie, 100_000, pod="web", command=runs("manifold command")))
    web.kube.faults.add(Fault(Direction.STDIN, Action.EARLY_EOF, 100_000, pod="web", command=runs("step write")))
    result = inventory(text=hosts(web=by_ours(web))).run_playbook(
        [
            play(
                *(task(lie.value, "raw", f"cat {folder}/big; sleep 30") for lie in LIES),
                task("put", "script", f"{tmp_path}/script.sh"),
                task("put whole", "script", f"{tmp_path}/script.sh"),
                task("still there", "raw", "echo here"),
                hosts="web",
            )
        ]
    )
    for lie in LIES:
        cut = result.task(lie.value)
        assert (cut.status, cut.result.get("stdout")) == ("unreachable", None), lie
        assert "its output was cut" in one_line(str(cut.result["msg"])), lie
        assert "running a command in the pod" in one_line(str(cut.result["msg"]))
    assert result.task("put").status == "failed"
    assert re.search(r"putting .* to .*it wrote \d+ bytes of 270019", one_line(str(tail_of(result, "put"))))
    assert tail_of(result, "put whole")["stdout"] == "ran\n"
    assert tail_of(result, "still there")["stdout"] == "here\n"
    running = in_pod(web, "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert f"cat {folder}/big; sleep".encode() not in running, "a command went on after its connection was cut"
    assert_no_traceback(result)


@pytest.mark.embedded
def test_files_and_modules_notice_a_cut_too(pod: Pods, inventory: Inventories, tmp_path: Path) -> None:
    web = pod("web")
    folder = folder_in(web, "files")
    in_pod(web, f"head -c 300000 /dev/zero > {folder}/big")
    back = tmp_path / "back"
    back.mkdir()
    (back / "big").write_text("old\n")
    fetch = {"src": f"{folder}/big", "dest": f"{back}/", "flat": True}
    cut = Fault(Direction.STDOUT, Action.END_WITH_SUCCESS, 100_000, pod="web", command=runs("manifold fetch"))
    given = Fault(Direction.STDIN, Action.EARLY_EOF, 40_000, pod="web", command=runs("manifold command"))
    web.kube.faults.add(cut)
    web.kube.faults.add(given)
    result = inventory(text=hosts(web=by_ours(web))).run_playbook(
        [
            play(
                task("module", "command", "echo ran"),
                task("fetch", "fetch", fetch),
                task("say", "debug", {"msg": "{{ lookup('ansible.builtin.file', old) }}"}, vars={"old": f"{back}/big"}),
                task("fetch again", "fetch", fetch),
                task("module again", "command", "echo ran"),
                hosts="web",
            )
        ],
        env={"ANSIBLE_PIPELINING": "true"},
    )
    assert given.fired.is_set() and cut.fired.is_set()
    assert result.task("module").status == "unreachable"
    assert "its input was cut: it was given" in one_line(str(tail_of(result, "module")["msg"]))
    assert result.task("fetch").status == "failed"
    assert "its output was cut" in one_line(str(tail_of(result, "fetch")))
    assert tail_of(result, "say")["msg"] == "old"
    assert result.task("fetch again").status == "ok"
    assert tail_of(result, "module again")["stdout"] == "ran"
    assert (back / "big").read_bytes() == bytes(300_000)
    assert parts_in(back) == []
    assert_no_traceback(result)


# -- workloads -----------------------------------------------------------------------------------------------------


@both_tiers
def test_a_pod_is_named_by_its_workload(
    pod: Pods, inventory: Inventories, create: Callable[[Kube, dict[str, Any]], None]
) -> None:
    other = pod("other", labels={"app": "web"})  # the same labels, and nobody's
    kube = other.kube
    create(kube, workload("Deployment", "web", replicas=2))
    create(kube, workload("StatefulSet", "db", replicas=2, serviceName="db"))
    create(kube, workload("DaemonSet", "agent"))
    create(kube, service("front", {"app": "db"}))
    owned = await_pods(kube, "web", 2)
    await_pods(kube, "db", 2)
    (agent,) = await_pods(kube, "agent", 1)
    expected = {
        "deployment": owned,
        "sts": ["db-0"],
        "daemonset": [agent],
        "service": ["db-0", "db-1"],
        "selector": ["db-0", "db-1"],
        "name": ["db-1"],
    }
    contexts = hosts(
        deployment=by_ours(other, ansible_kubectl_pod="deployment/web"),
        sts=by_ours(other, ansible_kubectl_pod="sts/db"),
        daemonset=by_ours(other, ansible_kubectl_pod="daemonset/agent"),
        service=by_ours(other, ansible_kubectl_pod="service/front"),
        selector=by_ours(other, ansible_kubectl_selector="app in (db)"),
        name=by_ours(other, ansible_kubectl_pod="pod/db-1"),
    )
    where = {"command": "echo $HOSTNAME"}
    result = inventory(text=contexts).run_playbook(
        [
            play(task("connection", "raw", "echo $HOSTNAME"), pipeline("own host", where), hosts="all"),
            play(
                *(pipeline(name, {"context": name, **where}) for name in expected),
                pipeline("chosen by the step", {"context": "name", "pod": "statefulset/db", **where}),
                pipeline("by both", {"context": "sts", "pod": "db-1", "container": "main", **where}),
            ),
        ]
    )
    result.check()
    for name, pods in expected.items():
        assert tail_of(result, "connection", name)["stdout"].strip() in pods, name
        assert tail_of(result, "own host", name)["stdout"].strip() in pods, name
        assert tail_of(result, name)["stdout"].strip() in pods, name
    assert tail_of(result, "chosen by the step")["stdout"] == "db-0\n"
    assert tail_of(result, "by both")["stdout"] == "db-1\n"
    assert_no_traceback(result)


@pytest.mark.embedded
def test_a_workload_without_a_ready_pod_says_why(
    pod: Pods, inventory: Inventories, create: Callable[[Kube, dict[str, Any]], None]
) -> None:
    web = pod("web")
    create(web.kube, workload("Deployment", "broken", "no-such-program"))
    create(web.kube, workload("Deployment", "gated", pod={"readinessGates": [{"conditionType": "open"}]}))
    create(web.kube, workload("Deployment", "empty", replicas=0))
    create(web.kube, service("nobody", None))
    await_pods(web.kube, "broken", 1, ready=False)
    await_pods(web.kube, "gated", 1, ready=False)
    expected = {
        "broken": ("deployment/broken", "no pod of deployment/broken is ready: broken-"),
        "gated": ("deployment/gated", "no pod of deployment/gated is ready: gated-"),
        "empty": ("deploy/empty", "deployment/empty has no pods: it is scaled to 0"),
        "nobody": ("svc/nobody", "service/nobody selects no pods"),
        "misspelt": ("deployment/gate", "deployment/gate does not exist. Did you mean 'gated'?"),
        "kind": ("job/x", "'job/x' names no pod"),
        "missing": ("wbe", "pod/wbe does not exist. Did you mean 'web'?"),
    }
    contexts = {name: by_ours(web, ansible_kubectl_pod=named) for name, (named, _text) in expected.items()}
    contexts["nothing"] = by_ours(web, ansible_kubectl_selector="app=nothing")
    contexts["container"] = by_ours(web, ansible_kubectl_pod="web", ansible_kubectl_container="sid")
    texts = {name: text for name, (_named, text) in expected.items()}
    texts["nothing"] = "no pod matches the selector 'app=nothing'"
    texts["container"] = "pod web has no container 'sid'. It has: main"
    result = inventory(text=hosts(**contexts)).run_playbook(
        [
            play(task("raw", "raw", "echo in"), hosts="all"),
            play(*(pipeline(name, {"context": name, "command": "echo in"}) for name in contexts)),
        ]
    )
    for name, text in texts.items():
        assert result.task("raw", name).status == "unreachable", name
        said = one_line(str(tail_of(result, "raw", name)["msg"]))
        assert said.count(text) == 1, name
        assert text in one_line(tail_of(result, name)["msg"]), name
    assert "CreateContainerError" in str(tail_of(result, "broken")["msg"])
    assert_no_traceback(result)


# -- secrets -------------------------------------------------------------------------------------------------------

WRAPPER = """#!/bin/sh
{{ printf '%s\\n' "$0" "$@"; env; }} >> {log}
exec {kubectl} "$@"
"""


@pytest.fixture
def tls(pod: Pods, tmp_path: Path) -> Iterator[tuple[PodHost, TlsFront]]:
    """A pod, and TLS in front of its API."""
    web = pod("web")
    front = TlsFront(web.kube.front.port, tmp_path)
    yield web, front
    front.close()


@pytest.mark.embedded
def test_secrets_stand_in_no_argument_list_no_file_and_no_output(
    tls: tuple[PodHost, TlsFront], inventory: Inventories, tmp_path: Path
) -> None:
    web, front = tls
    secret = {kind: f"s3cret-{secrets.token_hex(8)}" for kind in ("token", "password", "dict", "extra", "wrong")}
    basic = base64.b64encode(f"me:{secret['password']}".encode()).decode()
    bearers = {f"Bearer {secret[kind]}" for kind in ("token", "dict", "extra")}
    folder = folder_in(web, "files")
    web.kube.authorizations = frozenset({f"Basic {basic}", *bearers})
    reach = {"ansible_kubectl_host": front.url, "ansible_kubectl_ca_cert": str(front.certificate)}
    variables = by_ours(web, **reach) | {"ansible_kubectl_kubeconfig": ""}
    document = web.kube.kubeconfig(token=secret["dict"])
    document["clusters"][0]["cluster"] = {"server": front.url, "certificate-authority": str(front.certificate)}
    contexts = hosts(
        token=variables | {"ansible_kubectl_token": secret["token"]},
        password=variables | {"ansible_kubectl_username": "me", "ansible_kubectl_password": secret["password"]},
        dict=by_ours(web, ansible_kubectl_kubeconfig=document),
        extra=variables | {"ansible_kubectl_extra_args": f"--token {secret['extra']}"},
        wrong=variables | {"ansible_kubectl_token": secret["wrong"]},
        existing=variables | {"ansible_connection": THEIRS, "ansible_kubectl_token": secret["token"]},
    )
    there = {"command": "echo in"}
    plays = [
        play(task("raw", "raw", "echo in"), hosts="all:!existing"),
        play(
            task("copy", "copy", {"content": "x", "dest": f"{folder}/x"}),
            pipeline("own host", there, {"kubectl": "exec -i web -- cat"}),
            pipeline("selected", {"pod": "pod/web", **there}),
            hosts="token",
        ),
        play(*(pipeline(name, {"context": name, **there}) for name in ("password", "dict", "extra", "existing"))),
    ]
    inv = inventory(text=contexts)
    result, seen = _watched(inv, plays, tmp_path)
    assert {result.task("raw", name).status for name in ("token", "password", "dict", "extra")} == {"ok"}
    assert result.task("raw", "wrong").status == "unreachable"
    assert "Check the credentials in the kubeconfig" in str(tail_of(result, "raw", "wrong")["msg"])
    assert result.task("copy").changed
    for name in ("own host", "selected", "password", "dict", "extra", "existing"):
        assert tail_of(result, name)["stdout"] == "in\n", name
    assert "exec" in seen and "/dev/fd/" in seen, "kubectl was not seen"
    assert records_of(inv) and (inv.directory / "ansible.log").exists(), "a record and a log are among what is left"
    left = [path.read_bytes() for path in inv.directory.rglob("*") if path.is_file() and path != inv.path]
    for kind, value in {**secret, "basic": basic}.items():
        assert value not in seen, f"the {kind} stands in an argument list or in the environment"
        assert value not in result.stdout + result.stderr, f"the {kind} is shown"
        assert not any(value.encode() in content for content in left), f"the {kind} was left in a file"
    assert_no_traceback(result)


def _watched(inv: Inventory, plays: list[dict[str, Any]], tmp_path: Path) -> tuple[PlaybookResult, str]:
    """Run plays; return their result, and every argument list of kubectl (with strace: of every program)."""
    wrappers, log, trace = tmp_path / "wrappers", tmp_path / "kubectl.log", tmp_path / "execve.log"
    wrappers.mkdir()
    (wrappers / "kubectl").write_text(WRAPPER.format(log=log, kubectl=find_kubectl()))
    (wrappers / "kubectl").chmod(0o755)
    (tmp_path / "plays.yml").write_text(yaml.safe_dump(plays))
    environment = inv.environment()
    results = tmp_path / "results.jsonl"
    environment |= {"PATH": f"{wrappers}:{environment['PATH']}", "TESTBED_RESULTS": str(results)}
    environment |= kept_by(inv)
    strace = shutil.which("strace")
    before = [strace, "-f", "-qq", "-e", "trace=execve", "-s", "100000", "-o", str(trace)] if strace else []
    program = Path(sys.executable).with_name("ansible-playbook")
    argv = [*before, str(program), "-vvvv", "-i", str(inv.path), str(tmp_path / "plays.yml")]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=170, check=False)
    seen = log.read_text() + (trace.read_text(errors="replace") if strace else "")
    result = PlaybookResult(done.returncode, done.stdout, done.stderr, read_results(results))
    return result.check(), seen


@pytest.mark.embedded
def test_the_options_are_those_of_the_existing_plugin() -> None:
    """Read by ansible-doc, as users would: theirs are all there, with the same variables, and ours come on top."""
    doc = Path(sys.executable).with_name("ansible-doc")
    names = ["manifold.core.kubectl", "kubernetes.core.kubectl"]
    done = subprocess.run([doc, "-t", "connection", "-j", *names], capture_output=True, check=True)
    ours, theirs = (json.loads(done.stdout)[name]["doc"]["options"] for name in names)
    assert set(ours) - set(theirs) == {"kubectl_selector"}
    for name, option in theirs.items():
        for key in ("vars", "env", "default", "aliases", "type"):
            assert _names(ours[name].get(key)) == _names(option.get(key)), f"{name}: {key}"


def _names(value: Any) -> Any:
    """Return a list of variables without what else is said of them."""
    return [each["name"] if isinstance(each, dict) else each for each in value] if isinstance(value, list) else value
