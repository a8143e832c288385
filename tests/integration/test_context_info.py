# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.context_info`` and ``playbooks/contexts.yml``: what is said of contexts is what happens there."""

from __future__ import annotations

import dataclasses
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.manifold.core.plugins.modules import context_info as module

from integration.support import PLAYBOOKS, Hosts, Inventories, Pods, assert_no_traceback, play, tail_of
from testbed.contexts import NAME, context_of, contexts_file
from testbed.fixtures import ON_BOTH_TIERS

TABLE = PLAYBOOKS / "contexts.yml"


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("tier", ON_BOTH_TIERS)
def test_a_mixed_inventory_is_told_as_it_is(ssh_host: Hosts, pod: Pods, inventory: Inventories, silent: int) -> None:
    """No secret is said, however much Ansible is asked to say."""
    secret = f"s3cret-{secrets.token_hex(8)}"
    alpha, web = ssh_host("alpha"), pod("web")
    sound, inside = context_of(alpha), context_of(web)
    cluster = {key: value for key, value in inside.items() if key not in ("pod", "container")}
    contexts: dict[str, Any] = {
        "here": {"type": "local", "default": True, "vars": {"ansible_become_password": secret}},
        "alpha": sound,
        "web": inside,
        "mute": {**sound, "port": silent},
        "closed": {**sound, "port": 1, "vars": {**sound["vars"], "ansible_password": secret}},
        "gone": {**inside, "pod": "no-such-pod"},
        "token": {**inside, "pod": "no-such-pod", "vars": {**inside["vars"], "ansible_kubectl_token": secret}},
        "cluster": cluster,
        "deaf-cluster": {**cluster, "vars": {"ansible_kubectl_server": f"http://127.0.0.1:{silent}"}},
        "windows": {"type": "ssh", "host": "h", "vars": {"ansible_connection": "ansible.builtin.winrm"}},
    }
    made = inventory(text=contexts_file(contexts), filename=NAME)
    result = made.run_playbook(TABLE, "-vvvv", extra_vars={"probe_timeout": 8}).check()
    info = {each["name"]: each for each in tail_of(result, "Try them")["contexts"]}
    assert {name: each["status"] for name, each in info.items()} == {
        "here": "ready",
        "alpha": "ready",
        "web": "ready",
        "mute": "unreachable",
        "closed": "unreachable",
        "gone": "unreachable",
        "token": "unreachable",
        "cluster": "ready",
        "deaf-cluster": "unreachable",
        "windows": "invalid",
    }
    assert {name: each["type"] for name, each in info.items()} == {
        **dict.fromkeys(("alpha", "mute", "closed"), "ssh"),
        **dict.fromkeys(("web", "gone", "token", "cluster", "deaf-cluster"), "kubernetes"),
        "here": "local",
        "windows": None,
    }
    assert [name for name, each in info.items() if each["default"]] == ["here"]
    ready = [each for each in info.values() if each["status"] == "ready"]
    assert all(each["reason"] is None and each["connection_time_ms"] >= 0 for each in ready)
    assert all(each["connection_time_ms"] is None for each in info.values() if each not in ready)
    assert "it did not answer within 8 seconds" in info["mute"]["reason"]
    assert "Check that an SSH server listens there (ansible_host, ansible_port)." in info["closed"]["reason"]
    assert "pod/no-such-pod does not exist" in info["gone"]["reason"]
    assert "ansible.builtin.winrm" in info["windows"]["reason"]
    lines = tail_of(result, "Show the table")["msg"]
    assert lines[0].split() == ["NAME", "TYPE", "DEFAULT", "STATUS"]
    assert [line.split()[0] for line in lines[1:]] == list(contexts)
    assert lines[1].split()[:4] == ["here", "local", "*", "ready"]
    assert all(f'"{line}"' in result.stdout for line in lines if '"' not in line), result.stdout
    assert secret not in result.stdout + result.stderr + str(result.tasks)
    assert_no_traceback(result)


@pytest.mark.embedded
def test_who_is_asked_for_is_tried_and_only_failing_is_asked_for_fails(ssh_host: Hosts, inventory: Inventories) -> None:
    alpha = ssh_host("alpha")
    contexts = {
        "here": {"type": "local", "default": True},
        "alpha": context_of(alpha),
        "closed": {**context_of(alpha), "port": 1},
    }
    made = inventory(text=contexts_file(contexts), filename=NAME)

    def names(*arguments: str, rc: int = 0, **variables: Any) -> list[str]:
        result = made.run_playbook(TABLE, *arguments, extra_vars=variables)
        assert result.rc == rc, result.describe()
        if rc:
            assert "not ready: closed" in result.stdout
        return [each["name"] for each in tail_of(result, "Try them")["contexts"]]

    assert names("--check") == list(contexts)
    assert names("--limit", "closed,alpha", fail_on_unready=True, rc=2) == ["alpha", "closed"]
    assert names(context="type_local", fail_on_unready=True) == ["here"]


@pytest.mark.embedded
def test_the_module_serves_any_inventory_and_its_examples_run(ssh_host: Hosts, inventory: Inventories) -> None:
    made = inventory(ssh_host("k8s-prod"), ssh_host("backup-server"))
    tasks = [
        {"name": "local", "manifold.core.context_info": {"contexts": ["local"]}},
        {"name": "not tried", "manifold.core.context_info": {"probe": False}},
        {"name": "all of them", "manifold.core.context_info": {}, "environment": {"ANSIBLE_X": "y"}, "become": False},
        {"name": "no time", "manifold.core.context_info": {"timeout": 0}, "ignore_errors": True},
        {"name": "nobody", "manifold.core.context_info": {"contexts": ["backup"]}, "ignore_errors": True},
        *yaml.safe_load(module.EXAMPLES),
    ]
    result = made.run_playbook([play(*tasks)]).check()
    assert [each["status"] for each in tail_of(result, "local")["contexts"]] == ["ready"]
    assert [each["status"] for each in tail_of(result, "not tried")["contexts"]] == ["unknown", "unknown"]
    assert [each["status"] for each in tail_of(result, "all of them")["contexts"]] == ["ready", "ready"]
    assert "more than 0 seconds" in tail_of(result, "no time")["msg"]
    assert (
        "context 'backup': looking it up: the inventory has no such host or group" in tail_of(result, "nobody")["msg"]
    )
    assert result.task("Stop unless both can be used").status == "ok"
    assert_no_traceback(result)


@pytest.mark.node
def test_fifty_contexts_on_one_server_are_all_ready(ssh_host: Hosts, inventory: Inventories) -> None:
    """A real sshd turns away logins and sessions that are too many at once."""
    alpha = ssh_host("alpha", config=["MaxStartups 10:100:10"], max_sessions=10)
    some = [dataclasses.replace(alpha, name=f"context{number}") for number in range(50)]
    made = inventory(text=contexts_file({host.name: context_of(host) for host in some}), filename=NAME)
    variables = {"fail_on_unready": True, "probe_timeout": 60}
    assert len(tail_of(made.run_playbook(TABLE, extra_vars=variables).check(), "Try them")["contexts"]) == 50
