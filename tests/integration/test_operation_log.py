# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback ``operation_log`` and the module ``operation_info``: what is kept of runs, and what never is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.mounts import mount_small, unmount
from integration.support import (
    PLAYBOOKS,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    one_line,
    pipeline,
    play,
    tail_of,
)
from record_schema import validate
from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory
from testbed.playbook import PlaybookResult
from testbed.ssh.accounts import Sudo

ENABLED = "testbed_results,manifold.core.operation_log"
DIRECTORY = "MANIFOLD_OPERATION_LOG_DIRECTORY"
INFO = "manifold.core.operation_info"


class Log:
    """A directory of records."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {"ANSIBLE_CALLBACKS_ENABLED": ENABLED, DIRECTORY: str(directory)}

    def records(self) -> list[dict[str, Any]]:
        """Return the records, oldest first; each is valid and nobody else's to read."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            found.append(json.loads(path.read_text()))
            validate(found[-1])
        return found

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def only(self) -> dict[str, Any]:
        (record,) = self.records()
        assert self.names() == [f"{record['id']}.json"]
        return record


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log")


def echo(text: str, **keys: Any) -> dict[str, Any]:
    return {"context": "local", "argv": ["echo", text], **keys}


# -- the backup playbook -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tier", ON_BOTH_TIERS)
def test_the_record_of_a_backup(ssh_host: Hosts, pod: Pods, inventory: Inventories, log: Log) -> None:
    server, web = ssh_host("backup-server"), pod("web")
    source_path = folder_in(web, "small")
    in_pod(web, f"echo kept > {source_path}/note")
    asked = {
        "source": "web",
        "source_path": source_path,
        "destination": "backup-server",
        "dest_dir": str(server.data),
        "filename": "small.tar.gz",
        "compress": "gzip -1n",
    }
    done = inventory(web, server).run_playbook(PLAYBOOKS / "backup.yml", extra_vars=asked, env=log.environment).check()
    assert_no_traceback(done)
    backup = tail_of(done, "Stream the folder to its destination")

    record = log.only()
    assert (record["outcome"], record["check_mode"], record["lost_events"]) == ("ok", False, 0)
    assert record["playbook"] == str(PLAYBOOKS / "backup.yml")
    assert record["started"] < record["finished"] == record["last_event"]
    assert record["failed_tasks"] == []
    assert record["contexts_used"] == [
        {
            "name": step["context"],
            "type": step["type"],
            "steps": [step["name"]],
            "connection_time_ms": step["connection_time_ms"],
        }
        for step in backup["steps"]
    ]
    assert [context["name"] for context in record["contexts_used"]] == ["web", "local", "backup-server"]
    assert record["transfers"] == [
        {
            "operation_id": backup["operation_id"],
            "from": "web",
            "to": f"backup-server:{server.data}/small.tar.gz",
            "bytes": (server.data / "small.tar.gz").stat().st_size,
            "duration_ms": backup["duration_ms"],
            "checksum": backup["checksum"],
            "retries": 0,
            "committed": True,
            "changed": True,
        }
    ]
    (operation,) = record["operations"]
    assert (operation["operation_id"], operation["outcome"]) == (backup["operation_id"], "ok")
    assert operation["result"] == {name: backup[name] for name in operation["result"]}
    assert {"steps", "sinks", "bytes", "checksum", "duration_ms", "changed"} <= operation["result"].keys()


# -- every kind of task --------------------------------------------------------------------------------------------


def every_kind_of_task(included: Path) -> list[dict[str, Any]]:
    """Return a play in which tasks end in every way, and which is green."""
    included.write_text(json.dumps([pipeline("included", echo("in"))]))
    fails = {"context": "local", "command": "echo no >&2; exit 3"}
    return [
        play(
            pipeline("looped", echo("{{ item }}"), task={"loop": ["a", "b"]}),
            pipeline("skipped", echo("x"), task={"when": False}),
            pipeline("empty loop", echo("x"), task={"loop": []}),
            pipeline("delegated", {"argv": ["true"]}, task={"delegate_to": "beta"}),
            pipeline(
                "until it is there",
                {"context": "local", "command": "test -e {{ playbook_dir }}/$H || { touch {{ playbook_dir }}/$H; exit 1; }"},
                task={
                    "environment": {"H": "x"},
                    "register": "tried",
                    "until": "tried is success",
                    "retries": 2,
                    "delay": 0,
                    "delegate_to": "alpha",
                    "run_once": True,
                },
            ),
            pipeline("in check mode", echo("x"), task={"check_mode": True}),
            {"name": "included by", "ansible.builtin.include_tasks": str(included)},
            {
                "name": "rescued",
                "block": [pipeline("fails", fails, task={"ignore_errors": False})],
                "rescue": [pipeline("rescues", echo("x"))],
            },
            pipeline("ignored", fails),
            {"name": "of another collection", "ansible.builtin.command": "false", "ignore_errors": True},
            {"name": "records so far", INFO: {}, "delegate_to": "localhost", "register": "so_far"},
            hosts="alpha,beta",
        )
    ]


@pytest.mark.embedded
def test_tasks_of_every_kind(ssh_host: Hosts, inventory: Inventories, log: Log, tmp_path: Path) -> None:
    tasks = every_kind_of_task(tmp_path / "included.yml")
    tasks[0]["tasks"][4]["manifold.core.pipeline"]["steps"][0]["command"] = (
        f"test -e {tmp_path}/there || {{ touch {tmp_path}/there; exit 1; }}"
    )
    done = inventory(ssh_host("alpha"), ssh_host("beta")).run_playbook(tasks, env=log.environment).check()
    assert_no_traceback(done)
    assert "operation_log" not in done.stdout + done.stderr, "there is nothing to warn of"

    record = log.only()
    assert record["outcome"] == "ok"
    ended = [(each["task"], each["host"], each["outcome"]) for each in record["operations"]]
    for host in ("alpha", "beta"):
        of_host = [(task, outcome) for task, where, outcome in ended if where == host]
        expected = [
            ("looped", "ok"),
            ("looped", "ok"),
            ("skipped", "skipped"),
            ("empty loop", "skipped"),
            ("delegated", "ok"),
            *([("until it is there", "retried"), ("until it is there", "ok")] if host == "alpha" else []),
            ("in check mode", "ok"),
            ("included", "ok"),
            ("fails", "failed"),
            ("rescues", "ok"),
            ("ignored", "failed"),
            ("records so far", "ok"),
        ]
        assert of_host == expected
    by_task = {each["task"]: each for each in record["operations"] if each["host"] == "alpha"}
    assert by_task["delegated"]["delegated_to"] == "beta"
    assert by_task["delegated"]["result"]["steps"][0]["context"] == "beta"
    assert by_task["in check mode"]["check_mode"] is True and by_task["looped"]["check_mode"] is False
    assert (by_task["ignored"]["ignored"], by_task["fails"]["ignored"]) == (True, False)
    assert "no" in by_task["fails"]["result"]["msg"]
    assert by_task["fails"]["result"]["steps"][0]["rc"] == 3
    ids = [each["operation_id"] for each in record["operations"] if each["outcome"] in ("ok", "retried")]
    ids = [each for each in ids if each]
    assert len(set(ids)) == len(ids) == 15
    failed = [(each["task"], each["host"], each["action"], each["ignored"]) for each in record["failed_tasks"]]
    assert sorted(failed) == sorted(
        (task, host, action, ignored)
        for host in ("alpha", "beta")
        for task, action, ignored in [
            ("fails", "manifold.core.pipeline", False),
            ("ignored", "manifold.core.pipeline", True),
            ("of another collection", "ansible.builtin.command", True),
        ]
    )

    (running,) = tail_of(done, "records so far", "alpha")["records"]
    validate(running)
    assert (running["id"], running["outcome"], running["finished"]) == (record["id"], "running", None)
    assert len(running["operations"]) > 15
