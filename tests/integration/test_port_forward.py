# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.port_forward`` and what finds its forwards again, through ansible-playbook and a real ssh."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.support import SECONDS, Hosts, Inventories, Pods, assert_no_traceback, kubectl, one_line, play, tail_of
from testbed.contexts import NAME, context_of, contexts_file
from testbed.inventory import Inventory
from testbed.kube import Kube
from testbed.playbook import PlaybookResult

pytestmark = pytest.mark.embedded

LOOKED_UP = "{{ lookup('manifold.core.forward', 'fw') | replace(':', '/') }}"
HELLO = b"hello from the far end"


@pytest.fixture
def far() -> Iterator[int]:
    """The port of a server that says hello and ends."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = listener.accept()
                with client, contextlib.suppress(OSError):
                    client.sendall(HELLO)

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def contexts(ssh_host: Hosts, inventory: Inventories) -> Inventory:
    """An inventory with the context ``alpha``, of type ssh, and ``local``."""
    known = {"local": {"type": "local", "default": True}, "alpha": context_of(ssh_host("alpha"))}
    return inventory(text=contexts_file(known), filename=NAME)


def forward(name: str, task: str = "", /, **options: Any) -> dict[str, Any]:
    """Return a task that may fail without ending the play."""
    return {
        "name": task or name,
        "manifold.core.port_forward": {"name": name, "wait_timeout": SECONDS, **options},
        "ignore_errors": True,
    }


def info(task: str, name: str | None = None) -> dict[str, Any]:
    """Return a task that looks at forwards."""
    return {"name": task, "manifold.core.port_forward_info": {"name": name} if name else {}}


def address(task: str, expression: str) -> dict[str, Any]:
    """Return a task that shows what a lookup gives, or how it fails."""
    return {"name": task, "ansible.builtin.debug": {"msg": "{{ " + expression + " }}"}, "ignore_errors": True}


def said(port: int) -> bytes:
    """Return all that is said at a port of this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        data = b""
        while piece := client.recv(1 << 16):
            data += piece
        return data


def is_open(port: int) -> bool:
    """Return whether anything listens at a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def await_end(pid: int) -> bool:
    """Wait until a process has ended; return whether it did."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], SECONDS)[0])
    finally:
        os.close(fd)


def state_of(contexts: Inventory) -> list[str]:
    """Return the files that forwards of a play have, without logs."""
    folder = contexts.home / ".local" / "state" / "manifold" / "forwards"
    return [path.name for path in folder.glob("*/*") if ".log" not in path.name]


def message(result: PlaybookResult, task: str) -> str:
    """Return what a task that failed said, as one line."""
    done = result.task(task)
    assert done.status == "failed", done
    return one_line(str(done.result["msg"]))


def test_a_forward_is_ready_is_found_again_and_goes_away(contexts: Inventory, far: int) -> None:
    options = {"context": "alpha", "ports": [f":{far}"]}
    check = {"check_mode": True, "diff": True}
    result = contexts.run_playbook(
        [
            play(
                forward("fw", "foreseen", **options) | check,
                forward("fw", "made", **options),
                {
                    "name": "hello",
                    "ansible.builtin.command": {"argv": ["bash", "-c", f"exec 3<>/dev/tcp/{LOOKED_UP}; cat <&3"]},
                },
                forward("fw", "again", **options) | {"diff": True},
                forward("fw", "again foreseen", **options) | {"check_mode": True},
                info("one", "fw"),
                address("looked up", "lookup('manifold.core.forward', 'fw')"),
                address("by port", f"lookup('manifold.core.forward', 'fw', port={far})"),
                address("no such port", "lookup('manifold.core.forward', 'fw', port=1)"),
                address("no such forward", "lookup('manifold.core.forward', 'wf')"),
                forward("fw", "other foreseen", **options, bind="127.0.0.2") | check,
                forward("fw", "other", **options, bind="127.0.0.2") | {"diff": True},
                forward("fw", "restarted", **options, bind="127.0.0.2", state="restarted"),
                forward("fw", "end foreseen", state="absent") | {"check_mode": True},
                info("still", "fw"),
                forward("fw", "end", state="absent"),
                forward("fw", "end again", state="absent"),
                info("nothing"),
            )
        ]
    ).check()
    assert_no_traceback(result)
    made = tail_of(result, "made")
    (port,) = made["ports"]
    assert port == {"listen": made["port"], "address": made["address"], "target": far}
    assert (
        made["address"] == f"127.0.0.1:{made['port']}" and made["target"] == "localhost" and made["context"] == "alpha"
    )
    assert tail_of(result, "hello")["stdout"].encode() == HELLO
    assert tail_of(result, "foreseen")["diff"]["before"] == "" and "context: alpha" in str(tail_of(result, "foreseen"))
    assert {task: result.task(task).changed for task in ("foreseen", "made", "again", "again foreseen")} == {
        "foreseen": True,
        "made": True,
        "again": False,
        "again foreseen": False,
    }
    assert tail_of(result, "again")["pid"] == made["pid"]
    assert tail_of(result, "again")["diff"]["before"] == tail_of(result, "again")["diff"]["after"] != ""
    (one,) = tail_of(result, "one")["forwards"]
    assert (one["connections"], one["bytes_down"], one["plays"], one["type"]) == (1, len(HELLO), 1, "ssh")
    assert one["state"] == "ready" and one["lifetime"] == "play" and one["expires"] is None
    assert tail_of(result, "looked up")["msg"] == tail_of(result, "by port")["msg"] == made["address"]
    assert f"it does not lead to port 1 of localhost, but to {far}" in message(result, "no such port")
    assert "forward 'wf': it does not run. There are fw." in message(result, "no such forward")
    assert result.task("other foreseen").changed and result.task("other").changed
    assert tail_of(result, "other")["address"].startswith("127.0.0.2:")
    assert f"port: 127.0.0.1:{made['port']} -> {far}" in tail_of(result, "other")["diff"]["before"]
    assert tail_of(result, "restarted")["pid"] != tail_of(result, "other")["pid"] and result.task("restarted").changed
    assert result.task("end foreseen").changed and len(tail_of(result, "still")["forwards"]) == 1
    assert result.task("end").changed and not result.task("end again").changed
    assert tail_of(result, "nothing")["forwards"] == []
    assert state_of(contexts) == []


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no context": ({"ports": ["1"]}, "context: it is missing."),
    "local": ({"context": "local", "ports": ["1"]}, "context: 'local' is of type local, whose ports can be used as"),
    "unknown": ({"context": "alpah", "ports": ["1"]}, "Did you mean 'alpha'?"),
    "mapping": ({"context": {"type": "shs", "host": "h"}, "ports": ["1"]}, "'shs' is not known. Did you mean 'ssh'?"),
    "no ports": ({"context": "alpha"}, "ports: there are none."),
    "sexagesimal": ({"context": "alpha", "ports": [481342]}, "If 8022:22 was meant, put it in quotes"),
    "twice": ({"context": "alpha", "ports": ["1", "1:2"]}, "ports: two would listen at 1."),
    "target": ({"context": "alpha", "target": "db:5432", "ports": ["1"]}, 'Write target: db and ports: [":5432"].'),
    "bind": ({"context": "alpha", "bind": "192.0.2.1", "ports": ["2000"]}, "bind: 192.0.2.1 is no address of this"),
    "ttl": ({"context": "alpha", "ports": ["1"], "ttl": 5}, "ttl: a forward that ends with its play needs none."),
    "name": ({"name": "a/b", "context": "alpha", "ports": ["1"]}, "name: 'a/b' cannot be the name of a forward."),
    "nobody": ({"context": "alpha", "ports": [":1"], "wait_timeout": 1}, "not ready within 1 seconds (wait_timeout)"),
}


def test_bad_input_is_said_and_leaves_nothing(contexts: Inventory, far: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bad = {
            **BAD,
            "taken": ({"context": "alpha", "ports": [f":{far}", f"{port}:{far}"]}, f"127.0.0.1:{port} is taken by"),
        }
        tasks = [forward("bad", task, **options) for task, (options, _says) in bad.items()]
        result = contexts.run_playbook(
            [
                play(
                    *tasks,
                    forward("bad", "check", context="alpha", ports=[f"{port}:1"]) | {"check_mode": True},
                    info("end"),
                )
            ]
        ).check()
    assert_no_traceback(result)
    assert {task: says for task, (_options, says) in bad.items() if says not in message(result, task)} == {}
    assert f"(process {os.getpid()})" in message(result, "taken")
    assert "is taken by" in message(result, "check")
    assert tail_of(result, "end")["forwards"] == []
    assert state_of(contexts) == []


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_it_ends_with_its_play_however_that_is_ended(contexts: Inventory, far: int, tmp_path: Path, how: str) -> None:
    """The task that waits is a worker that lives on. That it ends with a play that ends well is seen at a service."""
    told = tmp_path / "told"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    tasks = [
        forward("fw", context="alpha", ports=[f":{far}"]) | {"register": "fw"},
        {"name": "tell", "ansible.builtin.copy": {"content": "{{ fw | to_json }}", "dest": str(told)}},
        {"name": "wait", "ansible.builtin.shell": f"echo waiting; cat {gate}"},
    ]
    run = contexts.play_async([play(*tasks)])
    run.wait_for(lambda: "TASK [wait]" in run.stdout, "the last task")
    held = os.open(gate, os.O_WRONLY)  # once it is read: a signal that comes while Ansible starts a worker may be lost
    made = json.loads(told.read_text())
    assert said(made["port"]) == HELLO
    number = signal.Signals[how]
    run.interrupt() if number is signal.SIGINT else run.send_signal(number)
    assert await_end(made["pid"])
    assert not is_open(made["port"])
    assert state_of(contexts) == []
    run.kill_all()
    os.close(held)


def test_plays_share_a_forward_and_a_persistent_one_outlives_them(contexts: Inventory, far: int) -> None:
    options = {"context": "alpha", "ports": [f":{far}"]}
    first = contexts.run_playbook([play(forward("fw", **options, lifetime="persistent", ttl=600))]).check()
    made = tail_of(first, "fw")
    assert said(made["port"]) == HELLO
    second = contexts.run_playbook([play(forward("fw", **options), info("one"))]).check()
    assert not second.task("fw").changed and tail_of(second, "fw")["pid"] == made["pid"]
    (one,) = tail_of(second, "one")["forwards"]
    assert one["lifetime"] == "persistent" and one["expires"] is not None and one["plays"] == 1
    assert said(made["port"]) == HELLO
    os.kill(made["pid"], signal.SIGKILL)
    assert await_end(made["pid"])
    assert not is_open(made["port"])
    third = contexts.run_playbook(
        [play(info("none"), forward("fw", **options), forward("fw", "end", state="absent"))]
    ).check()
    assert tail_of(third, "none")["forwards"] == []
    assert third.task("fw").changed and tail_of(third, "fw")["pid"] != made["pid"]
    assert state_of(contexts) == []


def test_a_service_is_reached_by_its_own_ports(
    pod: Pods, inventory: Inventories, create: Callable[[Kube, dict[str, Any]], None], far: int
) -> None:
    """Pods of this tier are processes of this machine, so the far end is a port of each of them."""
    web = pod("web")
    labels = {"metadata": {"labels": {"app": "web"}}}
    patched = kubectl(web, "patch", "pod", web.name, "--type=merge", "-p", json.dumps(labels))
    assert patched.returncode == 0, patched.stderr
    ports = [{"name": "http", "port": 80, "targetPort": far}]
    spec = {"selector": {"app": "web"}, "ports": ports}
    create(web.kube, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": spec})
    context = {key: value for key, value in context_of(web).items() if key not in ("pod", "container")}
    contexts = inventory(text=contexts_file({"cluster": context}), filename=NAME)
    to = {"context": "cluster", "ports": [":http"]}
    result = contexts.run_playbook(
        [
            play(
                forward("fw", "named", **to, target="svc/shop"),
                {
                    "name": "hello",
                    "ansible.builtin.command": {"argv": ["bash", "-c", f"exec 3<>/dev/tcp/{LOOKED_UP}; cat <&3"]},
                },
                info("one"),
                forward("fw", "in the task", context=context, ports=[":80", ":http"], target="service/shop"),
                forward("pod", context="cluster", ports=[f":{far}"], target=f"pod/{web.name}"),
                forward("fw", "end", state="absent"),
                forward("bad", "no service", **to, target="service/shopp"),
                forward("bad", "no port", context="cluster", ports=[":81"], target="service/shop"),
                forward("bad", "remote", **to, target="service/shop", direction="remote"),
                info("left"),
            )
        ]
    ).check()
    assert_no_traceback(result)
    assert tail_of(result, "named")["target"] == "service/shop"
    assert tail_of(result, "hello")["stdout"].encode() == HELLO
    (one,) = tail_of(result, "one")["forwards"]
    assert (one["type"], one["connections"], one["bytes_down"]) == ("kubernetes", 1, len(HELLO))
    assert web.name in one["leads_to"]
    assert len(tail_of(result, "in the task")["ports"]) == 2 and result.task("in the task").changed
    assert "shopp" in message(result, "no service")
    assert "81" in message(result, "no port")
    assert "nothing can listen for this machine" in message(result, "remote")
    assert [each["name"] for each in tail_of(result, "left")["forwards"]] == ["pod"]
    assert await_end(tail_of(result, "pod")["pid"])
    assert state_of(contexts) == []
