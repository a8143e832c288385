# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback ``operation_log`` and the module ``operation_info``: what is kept of runs, and what never is."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from faults.mounts import mount_small, unmount
from integration.support import (
    PLAYBOOKS,
    SECONDS,
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
from record_schema import SCHEMA_FILE, validate
from testbed.fixtures import ON_BOTH_TIERS
from testbed.playbook import PlaybookResult, PlaybookRun

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
    looked_up, operation = record["operations"]
    assert (looked_up["action"], looked_up["outcome"]) == ("manifold.core.context_info", "ok")
    assert (operation["operation_id"], operation["outcome"]) == (backup["operation_id"], "ok")
    assert operation["result"] == {name: backup[name] for name in operation["result"]}
    assert {"steps", "sinks", "bytes", "checksum", "duration_ms", "changed"} <= operation["result"].keys()


# -- every kind of task --------------------------------------------------------------------------------------------


def every_kind_of_task(scratch: Path) -> list[dict[str, Any]]:
    """Return a play in which tasks end in every way, and which is green."""
    included, there = scratch / "included.yml", scratch / "there"
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
                {"context": "local", "command": f"test -e {there} || {{ touch {there}; exit 1; }}"},
                task={"register": "tried", "until": "tried is success", "retries": 2, "delay": 0, "run_once": True},
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
    tasks = every_kind_of_task(tmp_path)
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
    assert len(set(ids)) == len(ids) == 14
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
    assert {"looped", "rescues", "ignored"} <= {each["task"] for each in running["operations"]}


# -- secrets -------------------------------------------------------------------------------------------------------


SECRETS = {
    "become": "become-4711-word",
    "login": "login 'pass' 0815",
    "token": "kube-token-abcdef",
    "vaulted": "from-the-vault-77",
    "of the task": "env-of-task-31",
    "of the step": "env-of-step-32",
    "extra": "extra-secret-99",
    "hidden": "no-log-hides-me",
    "named": "password-in-a-name-5",
}


@pytest.mark.embedded
def test_no_secret_is_kept(ssh_host: Hosts, inventory: Inventories, log: Log, tmp_path: Path) -> None:
    """Programs quote every secret there is on stderr and fail; Ansible is at its most talkative."""
    vault = tmp_path / "vault-password"
    vault.write_text("opens the vault")
    contexts = inventory(
        ssh_host("alpha"),
        variables={
            "alpha": {
                "ansible_become_password": SECRETS["become"],
                "login_password": "{{ 'login' }} 'pass' 0815",
                "ansible_kubectl_token": SECRETS["token"],
            }
        },
    )
    # what a program may learn in ways of its own, since in its environment any value would be masked
    known = {name: SECRETS[name] for name in ("become", "login", "token", "vaulted", "extra")}
    for name, value in known.items():
        (tmp_path / name).write_text(f"{value}\n")
    files = " ".join(str(tmp_path / name) for name in known)
    step = {
        "command": f"printf data; cat {files} >&2; echo $OF_TASK $OF_STEP >&2; exit 7",
        "environment": {"OF_STEP": SECRETS["of the step"]},
    }
    tasks = [
        pipeline("quotes", step, task={"environment": {"OF_TASK": SECRETS["of the task"]}}),
        pipeline("quotes elsewhere", {**step, "context": "local"}, {"dest": f"{tmp_path}/out"}),
        pipeline("hidden", {"command": f"echo {SECRETS['hidden']} >&2; exit 7"}, task={"no_log": True}),
        pipeline(
            "named {{ other_password }}", {"command": "true"}, task={"vars": {"other_password": SECRETS["named"]}}
        ),
        {
            "name": "what the journal says",
            "ansible.builtin.shell": f"cat {log.directory}/*.journal > {tmp_path}/journal",
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local"},
        },
    ]
    done = contexts.run_playbook(
        [play(*tasks, hosts="alpha", vars_files=[encrypted(tmp_path, {"note": SECRETS["vaulted"]}, vault)])],
        *("-vvvv", "--vault-password-file", str(vault)),
        env=log.environment,
        extra_vars={"api_token": SECRETS["extra"]},
    )
    assert_no_traceback(done.check())

    record = log.only()
    for text in (json.dumps(record), (tmp_path / "journal").read_text()):
        assert "quotes" in text
        assert [name for name, secret in SECRETS.items() if secret in text] == []
    quotes, elsewhere, hidden, named = record["operations"]
    assert quotes["result"]["steps"][0]["stderr"].split() == ["********"] * 7
    assert elsewhere["result"]["steps"][0]["stderr"].split()[:5] == ["********"] * 5
    assert (hidden["outcome"], hidden["result"], hidden["operation_id"]) == ("failed", None, None)
    assert named["task"] == "named ********"


def encrypted(folder: Path, variables: dict[str, Any], password: Path) -> str:
    """Write a file of variables that is encrypted as a whole, and return its path."""
    path = folder / "vaulted.yml"
    secret = VaultSecret(password.read_bytes())
    path.write_bytes(VaultLib([("default", secret)]).encrypt(json.dumps(variables), secret))
    return str(path)


# -- runs that end early -------------------------------------------------------------------------------------------


class Waiting:
    """A task that says when it runs, and then waits for ever."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.reached, self.never = folder / f"{name}-reached", folder / f"{name}-never"
        os.mkfifo(self.reached)
        os.mkfifo(self.never)

    def task(self) -> dict[str, Any]:
        return pipeline(self.name, {"context": "local", "command": f"echo >{self.reached}; cat {self.never}"})

    def await_it(self, run: PlaybookRun) -> None:
        come = threading.Event()

        def listen() -> None:
            self.reached.read_bytes()
            come.set()

        threading.Thread(target=listen, daemon=True).start()
        assert come.wait(SECONDS), f"the task did not begin\n{run.stdout}\n{run.stderr}"


def info(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, INFO: options, "ignore_errors": True}


def told(result: PlaybookResult, name: str) -> list[tuple[Any, ...]]:
    """Return playbook, outcome and last operation of what a task listed."""
    return [
        (record["outcome"], [each["task"] for each in record["operations"]][-1])
        for record in tail_of(result, name)["records"]
    ]


@pytest.mark.embedded
def test_runs_that_are_killed_or_cancelled(inventory: Inventories, log: Log, tmp_path: Path) -> None:
    contexts = inventory()
    killed, cancelled = Waiting(tmp_path, "killed"), Waiting(tmp_path, "cancelled")
    first = contexts.play_async([play(pipeline("done", echo("x")), killed.task())], env=log.environment)
    killed.await_it(first)
    second = contexts.play_async([play(cancelled.task())], env=log.environment)
    cancelled.await_it(second)
    listing = [play(info("listed", directory=str(log.directory)))]

    both = contexts.run_playbook(listing).check()
    assert told(both, "listed") == [("running", "cancelled"), ("running", "killed")]
    assert len(log.names()) == 2, "a run without the callback writes nothing"

    second.interrupt()
    second.wait()
    (record,) = log.records()
    assert (record["outcome"], record["operations"][0]["task"]) == ("interrupted", "cancelled")
    assert record["finished"] is not None

    first.kill()
    first.kill_all()  # whatever else it started
    assert told(contexts.run_playbook(listing).check(), "listed")[1] == ("interrupted", "killed")
    assert len(log.records()) == 1, "reading writes nothing"

    third = contexts.run_playbook(listing, env=log.environment).check()
    assert [outcome for outcome, _task in told(third, "listed")] == ["running", "interrupted", "interrupted"]
    left, _cancelled, last = log.records()
    assert (left["outcome"], left["finished"], left["lost_events"]) == ("interrupted", None, 0)
    assert [(each["task"], each["outcome"]) for each in left["operations"]] == [
        ("done", "ok"),
        ("killed", "interrupted"),
    ]
    assert left["started"] < left["last_event"]
    assert last["outcome"] == "ok"
    assert all(name.endswith(".json") for name in log.names())


@pytest.mark.embedded
def test_a_failing_play_has_a_record_in_the_state_home(inventory: Inventories) -> None:
    contexts = inventory()
    log = Log(contexts.home / ".local" / "state" / "manifold" / "operations")
    fails = pipeline("fails", {"context": "local", "command": "exit 3"}, task={"ignore_errors": False})
    never = pipeline("never", echo("x"))
    enabled = {"ANSIBLE_CALLBACKS_ENABLED": ENABLED}
    assert contexts.run_playbook([play(fails, never)], env=enabled).rc == 2
    record = log.only()
    assert (record["outcome"], record["check_mode"]) == ("failed", False)
    assert [(each["task"], each["outcome"]) for each in record["operations"]] == [("fails", "failed")]
    folders = [log.directory, log.directory.parent, log.directory.parent.parent]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in folders] == [0o700] * 3

    # what the callback is configured to, by file or environment, the module reads
    with contexts.config_path.open("a") as config:
        config.write("[callback_operation_log]\ndirectory = ~/log-$NUMBER\nkeep_records = 2\n")
    enabled["NUMBER"] = "7"
    tidy = Log(contexts.home / "log-7")
    nobody = [play(never, hosts="nobody")]
    outcomes = []
    for plays, arguments in (([play(never)], ["--check"]), (nobody, []), ([play(info("listed"))], [])):
        done = contexts.run_playbook(plays, *arguments, env=enabled).check()
        outcomes = [(each["outcome"], each["check_mode"]) for each in tidy.records()]
    assert outcomes == [("no_hosts", False), ("ok", False)], "the oldest had to go"
    listed = tail_of(done, "listed")
    assert [each["outcome"] for each in listed["records"]] == ["running", "no_hosts", "ok"]
    assert listed["directory"] == str(tidy.directory)
    assert Path(listed["schema"]).read_text() == SCHEMA_FILE.read_text()


# -- directories that cannot be used -------------------------------------------------------------------------------


@pytest.mark.embedded
def test_a_directory_that_cannot_be_made_costs_a_warning_and_nothing_else(
    inventory: Inventories, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    log = Log(tmp_path / "file" / "log")
    done = inventory().run_playbook([play(pipeline("a", echo("x")), pipeline("b", echo("x")))], env=log.environment)
    assert_no_traceback(done.check())
    said = one_line(done.stdout + done.stderr)
    assert said.count("operation_log:") == 1
    assert f"operation_log: {log.directory}: records cannot be kept there: Not a directory" in said
    assert "set MANIFOLD_OPERATION_LOG_DIRECTORY" in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small"
    mount_small(path)
    yield path
    unmount(str(path))


@pytest.mark.node
def test_a_full_disk_costs_warnings_and_no_half_record(inventory: Inventories, small_disk: Path) -> None:
    log = Log(small_disk / "log")
    fill = {"name": "fill", "ansible.builtin.shell": f"cat /dev/zero > {small_disk}/rest", "ignore_errors": True}
    many = [pipeline(f"after {number} {'x' * 300}", echo("x")) for number in range(12)]
    contexts = inventory()
    done = contexts.run_playbook([play(pipeline("before", echo("x")), fill, *many)], env=log.environment).check()
    assert_no_traceback(done)
    said = one_line(done.stdout + done.stderr)
    assert said.count("operation_log:") == 2, said
    assert "cannot be written: No space left on device" in said
    assert log.records() == []

    (small_disk / "rest").unlink()
    contexts.run_playbook([play(pipeline("after", echo("x")))], env=log.environment).check()
    left, last = log.records()
    assert (left["outcome"], last["outcome"]) == ("interrupted", "ok")
    assert left["operations"][0]["task"] == "before"
    assert all(name.endswith(".json") for name in log.names())


# -- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_records_are_filtered_and_broken_files_named(inventory: Inventories, log: Log) -> None:
    contexts = inventory()
    for _run in range(2):
        contexts.run_playbook([play(pipeline("a", echo("x")))], env=log.environment).check()
    older, newer = log.records()
    broken = log.directory / "2026-01-14-170234-00000000.json"
    broken.write_text('{"version": 1, "id"')
    later = log.directory / "2026-01-14-170234-00000001.json"
    later.write_text(json.dumps({**older, "version": 2}))
    (log.directory / "notes.json").write_text("mine")
    directory = str(log.directory)
    cases: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({}, [newer, older]),
        ({"limit": 1}, [newer]),
        ({"id": older["id"]}, [older]),
        ({"playbook": Path(newer["playbook"]).stem}, [newer]),
        ({"playbook": "playbook-*.yml", "outcome": "ok", "context": "local"}, [newer, older]),
        ({"outcome": "failed"}, []),
        ({"context": "elsewhere"}, []),
        ({"since": newer["started"]}, [newer]),
        ({"until": older["started"]}, [older]),
        ({"since": older["started"][:10], "until": newer["started"][:10]}, [newer, older]),
        ({"until": "2026-01-01"}, []),
    ]
    tasks = [info(str(options), directory=directory, **options) for options, _expected in cases]
    refused = {
        "since": ("yesterday", "since: 'yesterday' is no time; write 2026-01-14 or"),
        "limit": (0, "limit: 0 is not a number of records"),
        "outcome": ("great", "value of outcome must be one of: ok, failed, no_hosts, interrupted, running"),
        "directory": ("/dev/null", "/dev/null: the records cannot be listed: Not a directory"),
    }
    tasks += [info(name, **{"directory": directory, name: value}) for name, (value, _message) in refused.items()]
    tasks.append(info("nothing yet", directory=f"{directory}/none"))
    done = contexts.run_playbook([play(*tasks)], "--check").check()
    assert_no_traceback(done)
    for options, expected in cases:
        listed = tail_of(done, str(options))
        assert (listed["records"], listed["changed"]) == (expected, False), options
    for name, (_value, message) in refused.items():
        assert done.task(name).status == "failed"
        assert message in tail_of(done, name)["msg"]
    assert tail_of(done, "nothing yet")["records"] == []
    said = one_line(done.stdout + done.stderr)
    assert f"{broken}: not read as a record: it is no whole JSON document" in said
    assert f"{later}: not read as a record: it has version 2, and this collection knows versions up to 1" in said
    assert "notes.json" not in said
