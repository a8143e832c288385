# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin ``manifold.core.contexts``, and the playbooks that make its errors count."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    PLAYBOOKS,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    in_pod,
    one_line,
    pipeline,
    play,
    tail_of,
)
from testbed.contexts import NAME, context_of, contexts_file
from testbed.inventory import REPOSITORY, Inventory
from testbed.playbook import PlaybookResult

README = REPOSITORY / "README.md"
LAX = {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "false"}
"""Ansible as it comes: an inventory that cannot be read is a warning."""
FOLDERS = {"source_path": "/nowhere", "dest_dir": "/nowhere", "file": "/nowhere/a", "dest_path": "/nowhere"}
ASKED = {"source": "local", "destination": "local", **FOLDERS, "command": "true"}
LOCAL = {"type": "local", "default": True}


def listed(inventory: Inventory, *arguments: str, env: dict[str, str] | None = None) -> Any:
    """Return what ansible-inventory shows; it must succeed."""
    program = Path(sys.executable).with_name("ansible-inventory")
    argv = [str(program), "-i", str(inventory.path), *(arguments or ("--list",))]
    environment = inventory.environment() | (env or {})
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if not arguments else done.stdout + done.stderr


# -- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_ansible_inventory_shows_contexts_groups_and_what_is_composed(inventory: Inventories) -> None:
    contexts: dict[str, dict[str, Any]] = {
        "here": LOCAL,
        "prod": {"type": "ssh", "host": "prod.example.com", "user": "deploy", "key": "~/.ssh/id"},
        "old": {"type": "ssh", "host": "old.example.com", "key": "$HOME/keys/id", "port": 2222, "vars": {"tier": "b"}},
        "pods": {"type": "kubernetes", "context": "production", "namespace": "apps", "selector": "app=web"},
    }
    made = inventory(
        text=contexts_file(
            contexts,
            compose={"next_port": "ansible_port + 1"},
            groups={"far": "ansible_connection != 'ansible.builtin.local'"},
            keyed_groups=[{"key": "tier | default('a')", "prefix": "tier"}],
        ),
        filename="prod.contexts.yml",
    )
    shown = listed(made)
    hosts = shown["_meta"]["hostvars"]
    assert hosts["prod"] == {
        "ansible_connection": "ansible.builtin.ssh",
        "ansible_host": "prod.example.com",
        "ansible_user": "deploy",
        "ansible_ssh_private_key_file": f"{made.home}/.ssh/id",
    }
    assert (hosts["old"]["ansible_ssh_private_key_file"], hosts["old"]["tier"]) == (f"{made.home}/keys/id", "b")
    assert hosts["old"]["next_port"] == 2223
    assert hosts["pods"] == {
        "ansible_connection": "manifold.core.kubectl",
        "ansible_kubectl_context": "production",
        "ansible_kubectl_namespace": "apps",
        "ansible_kubectl_selector": "app=web",
    }
    groups = {name: group["hosts"] for name, group in shown.items() if "hosts" in group}
    assert groups == {
        "contexts": ["here", "prod", "old", "pods"],
        "default_context": ["here"],
        "type_local": ["here"],
        "type_ssh": ["prod", "old"],
        "type_kubernetes": ["pods"],
        "far": ["prod", "old", "pods"],
        "tier_a": ["here", "prod", "pods"],
        "tier_b": ["old"],
    }
    # the same when the plugin is the only one that is enabled, without auto
    assert listed(made, env={"ANSIBLE_INVENTORY_ENABLED": "manifold.core.contexts"}) == shown
    assert "--@default_context:\n  |  |--here\n" in listed(made, "--graph")


@pytest.mark.embedded
def test_the_inventory_is_cached_only_if_asked_to(inventory: Inventories) -> None:
    made = inventory(text=contexts_file({"one": {**LOCAL, "vars": {"a": "{{ 1 + 1 }}"}}}), filename=NAME)
    folder = made.directory / "cache"
    on = {
        "ANSIBLE_INVENTORY_CACHE": "true",
        "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile",
        "ANSIBLE_INVENTORY_CACHE_CONNECTION": str(folder),
    }
    listed(made)
    assert not folder.exists()
    listed(made, env=on)
    made.path.write_text(contexts_file({"two": LOCAL}))
    assert listed(made)["contexts"]["hosts"] == ["two"]
    assert listed(made, env=on)["contexts"]["hosts"] == ["one"]
    told = made.run_playbook([play({"name": "tell", "ansible.builtin.debug": {"var": "a"}}, hosts="one")], env=on)
    assert tail_of(told.check(), "tell")["a"] == 2
    assert "two" in listed(made, "--graph", "--flush-cache", env=on)


# -- using ---------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_contexts_serve_modules_delegation_and_steps(ssh_host: Hosts, inventory: Inventories) -> None:
    """Keys in a path beside the file; variables that hold templates; a step without a context."""
    alpha, beta = ssh_host("alpha"), ssh_host("beta")
    contexts = {"here": LOCAL, "alpha": context_of(alpha), "beta": context_of(beta)}
    contexts["alpha"]["key"] = "keys/id"
    contexts["beta"]["vars"]["ansible_user"] = "{{ lookup('ansible.builtin.vars', 'who') }}"
    contexts["beta"]["vars"]["who"] = contexts["beta"].pop("user")
    made = inventory(text=contexts_file(contexts), filename=NAME)
    (made.directory / "keys").mkdir()
    assert alpha.key_path is not None
    (made.directory / "keys" / "id").symlink_to(alpha.key_path)
    default = "{{ context | default('default_context') }}"
    result = made.run_playbook(
        [
            play({"name": "ping", "ansible.builtin.ping": None}, hosts="contexts"),
            play(
                {"name": "delegated", "ansible.builtin.command": "pwd", "delegate_to": "beta"},
                pipeline("delegated step", {"command": "pwd"}, task={"delegate_to": "alpha"}),
                pipeline("own", {"command": "id -un"}),
                hosts=default,
            ),
        ]
    ).check()
    assert {task.host for task in result.tasks if task.task == "ping"} == {"here", "alpha", "beta"}
    assert tail_of(result, "delegated", "here")["stdout"] == str(beta.data)
    assert tail_of(result, "delegated step", "here")["stdout"] == f"{alpha.data}\n"
    assert tail_of(result, "own", "here")["steps"][0]["type"] == "local"


@pytest.mark.embedded
def test_the_documented_files_work(inventory: Inventories) -> None:
    text = (REPOSITORY / "docs" / "contexts.md").read_text()
    contexts, playbook = re.findall(r"(?ms)^```yaml\n(.*?)^```$", text)
    made = inventory(text=contexts, filename=NAME)
    assert listed(made)["production"]["hosts"] == ["prod-server", "k8s-prod"]
    result = made.run_playbook(str(playbook)).check()
    assert tail_of(result, "Ask")["stdout"].strip()
    example = inventory(text=(REPOSITORY / "examples" / NAME).read_text(), filename=NAME)
    plain = inventory(text=(REPOSITORY / "examples" / "inventory.yml").read_text())
    assert sorted(listed(example)["contexts"]["hosts"]) == sorted(listed(plain)["_meta"]["hostvars"])
    (short,) = (block for block in re.findall(r"(?ms)^```yaml\n(.*?)^```$", README.read_text()) if "plugin:" in block)
    assert listed(inventory(text=short, filename=NAME))["default_context"]["hosts"] == ["local"]


# -- a broken file or an unmatched context is never green ----------------------------------------------------------


def ends(inventory: Inventory, *runs: tuple[str, dict[str, Any], tuple[str, ...]]) -> list[PlaybookResult]:
    """Run playbooks of ours side by side; none of them may end green, nor with a traceback."""
    started = [
        inventory.play_async(
            PLAYBOOKS / f"{name}.yml", *arguments, env=LAX, extra_vars={**ASKED, **variables}, forked=True
        )
        for name, variables, arguments in runs
    ]
    results = [run.wait() for run in started]
    for (name, variables, arguments), result in zip(runs, results, strict=True):
        assert result.rc != 0, f"{name} {variables} {arguments}\n{result.describe()}"
        assert_no_traceback(result)
    return results


def ours() -> list[str]:
    """Return the names of all our playbooks but the one that runs in a pod, without any inventory."""
    return sorted({path.stem for path in PLAYBOOKS.glob("*.yml")} - {"multinic_agent"})


@pytest.mark.embedded
def test_every_playbook_fails_on_a_broken_file(inventory: Inventories) -> None:
    made = inventory(text=contexts_file({"web": {"type": "ssh", "hots": "h", "default": True}}), filename=NAME)
    results = ends(made, *((name, {}, ()) for name in ours()))
    said = f"{made.path}: context 'web', key 'hots': it is not known for type ssh. Did you mean 'host'?"
    for result in results:
        assert said in one_line(result.stdout), result.describe()
        assert [task.action for task in result.tasks] == ["manifold.core.context_info"]
    # nothing at all is left to run, and yet the exit status tells
    limited = ends(made, ("run", {}, ("--limit", "web")), ("contexts", {}, ("--limit", "web")))
    for result in limited:
        assert "the inventory has no host" in one_line(result.stderr), result.describe()


@pytest.mark.embedded
def test_every_playbook_fails_on_an_unmatched_context(inventory: Inventories) -> None:
    contexts = {"web": {"type": "ssh", "host": "h"}, "here": {"type": "local"}}
    made = inventory(text=contexts_file(contexts), filename=NAME)
    wrong: dict[str, dict[str, Any]] = {
        "backup": {"source": "wbe"},
        "restore": {"destination": "wbe"},
        "run": {"context": "wbe"},
        "contexts": {"context": "wbe"},
        "transfer": {"src": "wbe:/x", "dest": {"context": "here", "path": "/y"}},
        "minio_mirror": {"context": "wbe"},
        "check_contexts": {"needed_contexts": ["here", "wbe"]},
        "multinic_deploy": {"context": "wbe"},
        "multinic_node": {"nodes": "wbe"},
        "multinic_status": {"context": "wbe"},
    }
    assert sorted(wrong) == ours()
    said = "context 'wbe': looking it up: the inventory has no such host or group. Did you mean 'web'?"
    for result in ends(made, *((name, variables, ()) for name, variables in wrong.items())):
        assert said in one_line(result.stdout), result.describe()
    no_default, cut, other, elsewhere = ends(
        made,
        ("run", {}, ()),
        ("run", {"context": "here"}, ("-e", "command=echo more")),
        ("run", {"context": "here"}, ("--limit", "web")),
        ("backup", {}, ("--limit", "web")),
    )
    assert "no context is the default. Name a context, or mark one" in one_line(no_default.stdout)
    assert 'at a blank: put it in quotes of its own, as in -e command="' in one_line(cut.stdout)
    assert "--limit web leaves out here, where this playbook runs" in one_line(other.stdout)
    assert "--limit web leaves out localhost, where this playbook runs" in one_line(elsewhere.stdout)


@pytest.mark.embedded
def test_a_playbook_of_a_user_can_begin_with_the_check(inventory: Inventories) -> None:
    made = inventory(text=contexts_file({"here": LOCAL}), filename=NAME)
    playbook = [
        {
            "name": "Check",
            "ansible.builtin.import_playbook": "manifold.core.check_contexts",
            "vars": {"needed_contexts": ["{{ context | default('default_context') }}"]},
        },
        play(pipeline("run", {"command": "echo in"}), hosts="{{ context | default('default_context') }}"),
    ]
    assert tail_of(made.run_playbook(playbook).check(), "run")["stdout"] == "in\n"
    assert made.run_playbook(playbook, extra_vars={"context": "hree"}).rc != 0


@pytest.mark.embedded
def test_a_file_of_a_directory_that_contradicts_another_is_an_error(inventory: Inventories) -> None:
    made = inventory(text=contexts_file({"web": LOCAL}), filename="a.contexts.yml")
    second = made.directory / "b.contexts.yml"
    second.write_text(contexts_file({"db": {**LOCAL}}))
    (result,) = ends(made, ("run", {}, ("-i", str(second))))
    assert f"{second}: context 'db', key 'default': there is a default already: 'web'" in one_line(result.stdout)


# -- run.yml -------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_a_command_runs_in_the_context_that_is_asked_for(ssh_host: Hosts, inventory: Inventories) -> None:
    alpha, beta = ssh_host("alpha"), ssh_host("beta")
    contexts = {"alpha": {**context_of(alpha), "default": True}, "beta": context_of(beta)}
    made = inventory(text=contexts_file(contexts), filename=NAME)
    run = PLAYBOOKS / "run.yml"
    quoted = ("-e", "command='pwd; echo two'")

    def shown(result: PlaybookResult) -> dict[str, list[str]]:
        found = [task for task in result.tasks if task.task == "Show what it printed"]
        assert all(task.result["msg"][-1].startswith("operation 20") for task in found), result.describe()
        return {task.host: task.result["msg"][:-1] for task in found}

    assert shown(made.run_playbook(run, *quoted).check()) == {"alpha": [str(alpha.data), "two"]}
    both = made.run_playbook(run, *quoted, "-e", "context=type_ssh").check()
    assert shown(both) == {"alpha": [str(alpha.data), "two"], "beta": [str(beta.data), "two"]}
    limited = made.run_playbook(run, *quoted, "-e", "context=type_ssh", "--limit", "beta").check()
    assert shown(limited) == {"beta": [str(beta.data), "two"]}
    controller = made.run_playbook(run, *quoted, "-e", "context=local").check()
    assert list(shown(controller)) == ["localhost"]
    failed = made.run_playbook(run, extra_vars={"command": "echo said >&2; exit 3"})
    assert failed.rc == 2
    assert "said" in failed.stdout and "operation_id" in failed.stdout


@pytest.mark.node
def test_a_command_runs_in_a_pod_without_python(pod: Pods, inventory: Inventories) -> None:
    web = pod("web")
    assert in_pod(web, "command -v python3 || command -v python || echo none") == b"none\n"
    made = inventory(text=contexts_file({"web": {**context_of(web), "default": True}}), filename=NAME)
    result = made.run_playbook(PLAYBOOKS / "run.yml", extra_vars={"command": "cat /proc/1/comm; hostname"}).check()
    assert result.task("Show what it printed").result["msg"][1] == "web"
