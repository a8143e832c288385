# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users see of transfers: pods as ends, what is tried again, what ends early, progress, steps and records."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration.support import (
    SECONDS,
    Census,
    Hosts,
    Inventories,
    Pods,
    assert_no_traceback,
    folder_in,
    in_pod,
    one_line,
    play,
    tail_of,
)
from integration.workloads import await_pods, workload
from record_schema import validate
from testbed.fixtures import ON_BOTH_TIERS
from testbed.kube import Kube
from testbed.kube.faults import Action, Direction, Fault
from testbed.pods import PodHost
from testbed.run import Run
from testbed.ssh.accounts import Sudo

pytestmark = pytest.mark.any_core

both_tiers = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
Create = Callable[[Kube, dict[str, Any]], None]
SIZE = 400_000


def transfer(name: str, src: Any, dest: Any, task: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Return a task that may fail without ending the play."""
    arguments = {"src": src, "dest": dest, **options}
    return {"name": name, "manifold.core.transfer": arguments, "ignore_errors": True, **(task or {})}


# -- pods ----------------------------------------------------------------------------------------------------------


@both_tiers
def test_an_end_may_name_its_pod(pod: Pods, inventory: Inventories, create: Create, tmp_path: Path) -> None:
    own, pair = pod("own"), pod("pair", containers=[{"name": "main"}, {"name": "side"}])
    create(own.kube, workload("Deployment", "web"))
    await_pods(own.kube, "web", 1)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "note").write_text("in a tree")
    (tmp_path / "note").write_text("a file")
    there, web = folder_in(pair, "there"), tmp_path / "of-web"
    back = {"context": "own", "pod": "pair", "container": "side", "path": f"{there}/note"}
    tasks = [
        transfer("file to container", f"local:{tmp_path}/note", f"own:pair/side:{there}/note", create_parents=True),
        transfer("tree to pod", f"local:{tmp_path}/tree/", f"own:pod/pair/main:{there}/tree", create_parents=True),
        transfer("by workload", f"local:{tmp_path}/tree", f"own:deployment/web:{web}/", create_parents=True),
        transfer(
            "workload to pod",
            f"own:deploy/web:{web}/tree/",
            f"own:pair/main:{there}/copy",
            create_parents=True,
        ),
        transfer("mapping", back, f"local:{tmp_path}/back"),
        transfer("no pod", "own:pear:/x", f"local:{tmp_path}/x"),
        transfer("no container", "own:pair/sid:/x", f"local:{tmp_path}/x"),
        transfer("no workload", f"local:{tmp_path}/note", "own:deployment/wob:/x"),
        transfer("pod of local", "local:pair:/x", f"local:{tmp_path}/x"),
        transfer("retried in vain", "own:pear:/x", f"local:{tmp_path}/x", retries=3, retry_delay=60),
    ]
    result = inventory(own, pair).run_playbook([play(*tasks)])
    assert_no_traceback(result)
    said = {
        "no pod": "pod/pear does not exist. Did you mean 'pair'?",
        "no container": "pod pair has no container 'sid'. It has: main, side.",
        "no workload": "deployment/wob does not exist. Did you mean 'web'?",
        "pod of local": "'local' has no pods; a path that holds a colon is written 'local:./a:b'",
        "retried in vain": "pod/pear does not exist",
    }
    for task in tasks:
        name, outcome = task["name"], tail_of(result, task["name"])
        assert result.task(name).status == ("failed" if name in said else "ok"), outcome
        assert said.get(name, "") in one_line(str(outcome.get("msg"))), outcome
        assert outcome["changed"] is (name not in said)
    assert tail_of(result, "retried in vain")["retries"] == 0
    assert tail_of(result, "file to container")["dest"] == f"own:pair/side:{there}/note"
    assert in_pod(pair, f"cat {there}/note", container="side") == b"a file"
    assert in_pod(pair, f"cat {there}/tree/note {there}/copy/note", container="main") == b"in a treein a tree"
    assert (tmp_path / "back").read_text() == "a file"


@pytest.mark.node
def test_an_end_may_become_another_user(ssh_host: Hosts, inventory: Inventories, tmp_path: Path) -> None:
    password = "pw-of-a-test"
    asked = ssh_host("asked", password=password, sudo=Sudo.PASSWORD)
    hosts = {"asked": {**asked.inventory_vars(), "ansible_become_password": password}}
    hosts["wrong"] = {**hosts["asked"], "ansible_become_password": "not-it"}
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "note").write_text("x")
    there = str(asked.data / "of-root")
    tasks = [
        transfer("tree", f"local:{tmp_path}/tree/", {"context": "asked", "path": there, "become": True}),
        transfer("file", f"local:{tmp_path}/tree/note", {"context": "asked", "path": f"{there}.x", "become": True}),
        transfer(
            "back", {"context": "asked", "path": there, "become": "yes"}, f"local:{tmp_path}/back/", create_parents=True
        ),
        transfer("as itself", f"local:{tmp_path}/tree/note", f"asked:{asked.data}/of-user"),
        transfer(
            "wrong",
            {"context": "wrong", "path": there, "become": True},
            f"local:{tmp_path}/x",
            retries=3,
            retry_delay=60,
        ),
    ]
    result = inventory(text=str({"all": {"hosts": hosts}})).run_playbook([play(*tasks)], "-vvvv")
    assert_no_traceback(result)
    for task in tasks[:-1]:
        assert result.task(task["name"]).status == "ok", tail_of(result, task["name"])
    owners = [Path(path).stat().st_uid for path in (there, f"{there}/note", f"{there}.x", f"{asked.data}/of-user")]
    assert owners[:3] == [0, 0, 0] and owners[3] != 0
    wrong = tail_of(result, "wrong")
    assert "becoming root by sudo: the password was refused. Check ansible_become_password" in one_line(wrong["msg"])
    assert (wrong["retries"], wrong["changed"]) == (0, False)
    assert password not in result.stdout + result.stderr


# -- what is tried again, and what ends early ----------------------------------------------------------------------


def sends(step: str) -> Callable[[tuple[str, ...]], bool]:
    """Return what tells the exec of a step from all others."""
    return lambda argv: any(f"manifold step {step}'" in word for word in argv)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that is longer than what streams hold."""
    (tmp_path / "tree").mkdir()
    for number in range(4):
        (tmp_path / "tree" / f"f{number}").write_bytes(os.urandom(SIZE))
    return tmp_path / "tree"


def loaded(web: PodHost, tree: Path) -> str:
    """Return a folder of a pod that holds the tree."""
    there = folder_in(web, "tree")
    for path in tree.iterdir():
        in_pod(web, f"cat >{there}/{path.name}", path.read_bytes())
    return there


def same(one: Path, other: Path) -> bool:
    return {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


@both_tiers
def test_a_lost_connection_is_tried_again_and_a_limit_ends_a_hanging_one(
    pod: Pods, inventory: Inventories, testbed_run: Run, tree: Path
) -> None:
    web, hung, here = pod("web"), pod("hung"), tree.parent
    there, there_too = loaded(web, tree), loaded(hung, tree)
    cut = {
        "tree from pod": Fault(Direction.STDOUT, Action.RESET, SIZE, pod="web", command=sends("pack")),
        "file from pod": Fault(Direction.STDOUT, Action.END_WITH_SUCCESS, SIZE // 2, command=sends("read")),
        "tree to pod": Fault(Direction.STDIN, Action.EARLY_EOF, SIZE, command=sends("unpack")),
    }
    # every one: what ends a step there is an exec of its name too
    hangs = Fault(Direction.STDOUT, Action.STALL, SIZE, pod="hung", command=sends("pack"), times=None)
    again: dict[str, Any] = {"retries": 2, "retry_delay": 0.1}
    tasks = [
        transfer("tree from pod", f"web:{there}/", f"local:{here}/tree2", **again),
        transfer("file from pod", f"web:{there}/f0", f"local:{here}/file", **again),
        transfer("tree to pod", f"local:{here}/tree/", f"web:{there}2", **again),
        transfer("cut for good", f"hung:{there_too}/", f"local:{here}/short", stall_timeout=1),
        transfer("our limit", f"hung:{there_too}/", f"local:{here}/short", timeout=6, **again),
        transfer("their limit", f"hung:{there_too}/", f"local:{here}/short", {"timeout": 8}, **again),
    ]
    contexts = inventory(web, hung)
    census = Census(testbed_run, contexts, web, hung)
    for fault in (*cut.values(), hangs):
        web.kube.faults.add(fault)
    result = contexts.run_playbook([play(*tasks)])
    assert_no_traceback(result)
    assert all(fault.fired.is_set() for fault in (*cut.values(), hangs)), "a fault never struck"
    for name in cut:
        outcome = tail_of(result, name)
        assert result.task(name).status == "ok", outcome
        assert (outcome["retries"], outcome["changed"]) == (1, True), outcome
    assert same(tree, here / "tree2") and (here / "file").read_bytes() == (tree / "f0").read_bytes()
    assert in_pod(web, f"cat {there}2/*") == b"".join(path.read_bytes() for path in sorted(tree.iterdir()))
    assert "not a byte moved for 1 seconds" in one_line(tail_of(result, "cut for good")["msg"])
    assert "the transfer did not finish within 6 seconds; step 'pack' (hung)" in one_line(
        tail_of(result, "our limit")["msg"]
    )
    for name in ("cut for good", "our limit", "their limit"):
        assert result.task(name).status == "failed"
    assert {path.name for path in here.iterdir()} == {"tree", "tree2", "file"}
    assert census.newcomers() == []


@both_tiers
def test_ctrl_c_leaves_nobody_and_nothing(pod: Pods, inventory: Inventories, testbed_run: Run, tree: Path) -> None:
    web, here = pod("web"), tree.parent
    there = loaded(web, tree)
    hangs = Fault(Direction.STDOUT, Action.STALL, SIZE, command=sends("pack"))
    contexts = inventory(web)
    census = Census(testbed_run, contexts, web)
    web.kube.faults.add(hangs)
    run = contexts.play_async([play(transfer("hangs", f"web:{there}/", f"local:{here}/copy"))])
    assert hangs.fired.wait(SECONDS)
    run.interrupt()
    result = run.wait(60)
    assert result.rc in (99, -signal.SIGINT), result.describe()
    assert census.newcomers() == []
    assert {path.name for path in here.iterdir()} == {"tree"}


# -- what is seen of it --------------------------------------------------------------------------------------------


@pytest.mark.embedded
def test_progress_tells_bytes_and_files_out_of_all(inventory: Inventories, tree: Path) -> None:
    here = tree.parent
    tasks = [
        transfer("tree", f"local:{tree}", f"local:{here}/copy/", create_parents=True, bwlimit="1M"),
        transfer(
            "secret", f"local:{tree}", f"local:{here}/copy2/", {"no_log": True}, create_parents=True, bwlimit="4M"
        ),
    ]
    result = inventory().run_playbook([play(*tasks)], env={"MANIFOLD_PROGRESS_INTERVAL": "0.1"}).check()
    told, _task, hidden = result.stdout.partition("TASK [secret]")
    lines = [line for line in told.splitlines() if "%" in line]
    pattern = r"localhost: (\d+)%  [\d.]+ \w+ of 1\.53 MB  [\d.]+ \w+/s(?:  \d:\d\d:\d\d left)?  (\d) of 4 files"
    seen = [re.fullmatch(pattern, line) for line in lines]
    assert all(seen), lines
    shares = [(int(match[1]), int(match[2])) for match in seen if match]
    assert shares == sorted(shares) and len(set(shares)) > 3 and shares[-1][0] <= 100
    assert all(share * 4 // 100 - 1 <= files <= share * 4 // 100 + 1 for share, files in shares)
    assert "%" not in hidden and "localhost: list" not in hidden


@pytest.mark.embedded
def test_transfers_are_steps_and_in_the_record(ssh_host: Hosts, inventory: Inventories, tree: Path) -> None:
    alpha, here, log = ssh_host("alpha"), tree.parent, tree.parent / "log"
    secret = "open-sesame-4711"
    tasks = [
        transfer("tree", f"local:{tree}/", "alpha:~/{{ item }}", {"vars": {"item": "copy"}}),
        transfer("file", "alpha:~/copy/f0", f"local:{here}/file"),
        transfer("again", "alpha:~/copy/f0", f"local:{here}/file"),
        transfer("checked", f"local:{tree}/", "alpha:~/checked", {"check_mode": True}),
        transfer("fails", f"local:{here}/{secret}", "alpha:~/x"),
        transfer("hidden", f"local:{here}/hidden-path", "alpha:~/x", {"no_log": True}),
        {"name": "read", "manifold.core.operation_info": {"directory": str(log)}},
    ]
    environment = {
        "ANSIBLE_STDOUT_CALLBACK": "manifold.core.steps",
        "ANSIBLE_CALLBACKS_ENABLED": "testbed_results,manifold.core.operation_log",
        "MANIFOLD_OPERATION_LOG_DIRECTORY": str(log),
        "COLUMNS": "200",
    }
    contexts = inventory(alpha, variables={"alpha": {"api_token": secret}})
    result = contexts.run_playbook([play(*tasks)], env=environment).check()
    assert_no_traceback(result)
    lines = result.stdout.splitlines()
    assert any(f"[1/7] tree: (localhost) {tree}/ → alpha:~/copy ✓" in line for line in lines), result.stdout
    assert any(f"[2/7] file: (localhost) alpha:~/copy/f0 → {here}/file ✓" in line for line in lines)
    assert "hidden-path" not in result.stdout

    (path,) = log.glob("*.json")
    record = json.loads(path.read_text())
    validate(record)
    assert secret not in path.read_text() and "hidden-path" not in path.read_text()
    tree_result, file = tail_of(result, "tree"), tail_of(result, "file")
    one, two, three = record["transfers"]
    assert one == {
        "operation_id": tree_result["operation_id"],
        "from": f"local:{tree}/",
        "to": "alpha:~/copy",
        "bytes": 4 * SIZE,
        "duration_ms": tree_result["duration_ms"],
        "checksum": None,
        "retries": 0,
        "committed": True,
        "changed": True,
    }
    assert (two["bytes"], two["checksum"], two["changed"]) == (SIZE, file["checksum"], True)
    assert (three["bytes"], three["changed"]) == (0, False)
    used = {context["name"]: context for context in record["contexts_used"]}
    assert used.keys() == {"local", "alpha"}
    assert {"list destination", "unpack", "put in place", "read"} <= set(used["alpha"]["steps"])
    assert used["alpha"]["type"] == "ssh" and used["alpha"]["connection_time_ms"] >= 0
    kept = record["operations"][0]["result"]
    assert (kept["files"], kept["src"], kept["retries"]) == (4, f"local:{tree}/", 0)
    assert record["operations"][5]["result"] is None
    (running,) = tail_of(result, "read")["records"]
    assert running["transfers"][0] == one
