# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pytest plugin itself: tiers, pods in an inventory, and runs that leave something behind."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory, LeftBehindError
from testbed.pods import PodHost
from testbed.processes import RUN_VARIABLE, await_exit, children_of, command_of, marked
from testbed.tier import Tier, missing

TESTS = Path(__file__).resolve().parents[1]
HEAD = "import os, pathlib, subprocess, pytest\nfrom testbed.processes import kill_marked, RUN_VARIABLE\n"


def start_pytest(folder: Path, text: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a pytest of its own with a test file."""
    (folder / "test_inner.py").write_text(HEAD + text)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "pytest", "-p", "testbed.fixtures", "-p", "no:cacheprovider", "-q"),
            *("-o", f"pythonpath={TESTS}", "--rootdir", str(folder), *arguments, str(folder)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(TESTS)},
        start_new_session=True,
    )


def pytest_in(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    """Run a test file in a pytest of its own; return its exit status and output."""
    with start_pytest(folder, text, *arguments) as running:
        output, _errors = running.communicate(timeout=120)
    return running.returncode, output


def test_each_test_runs_once_on_the_most_demanding_tier(tmp_path: Path) -> None:
    both = """
import pytest
from testbed.fixtures import ON_BOTH_TIERS

@pytest.mark.parametrize("word", ["embedded", "x"])
@pytest.mark.parametrize("tier", ON_BOTH_TIERS)
def test_both(tier, word):
    pass

@pytest.mark.embedded
def test_one():
    pass
"""
    chosen = pytest_in(tmp_path, both, "--tier", "once", "--collect-only")[1]
    tests = sorted(line.partition("::")[2] for line in chosen.splitlines() if "::" in line)
    tier = "embedded" if missing(Tier.NODE) else "node"
    expected = [f"test_both[{tier}-embedded]", f"test_both[{tier}-x]", "test_one"]
    assert tests == expected if tier == "node" else set(tests) > set(expected)


def test_a_process_that_is_left_fails_the_run_and_is_ended(tmp_path: Path) -> None:
    rc, output = pytest_in(
        tmp_path,
        f"""
def test_leaves(testbed_run):
    left = subprocess.Popen(["setsid", "sleep", "1000"])
    pathlib.Path({str(tmp_path)!r}, "pid").write_text(str(left.pid))
""",
    )
    assert rc == 1, output
    assert "LEFT BEHIND: process" in output
    assert "sleep 1000" in output
    pid = int((tmp_path / "pid").read_text())
    assert await_exit([pid], 5) == []


def test_a_clean_run_passes(tmp_path: Path) -> None:
    rc, output = pytest_in(tmp_path, "def test_clean(testbed_run):\n    subprocess.run(['true'], check=True)\n")
    assert rc == 0, output
    assert "LEFT BEHIND" not in output


@pytest.mark.node
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_interrupted_or_killed_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    os.mkfifo(tmp_path / "ready")
    text = f"""
import threading
@pytest.mark.node
def test_waits(ssh_host, node, testbed_run):
    host = ssh_host("alpha", account=True)
    host.run("setsid sleep 1000 > /dev/null 2>&1 < /dev/null &")
    node("node1").add_nic("eth0", "fa:16:3e:00:00:01")
    pathlib.Path({str(tmp_path / "ready")!r}).write_text(f"{{host.user}} {{testbed_run.directory}} {{testbed_run.id}}")
    threading.Event().wait()
"""
    with start_pytest(tmp_path, text) as running:
        user, directory, run_id = (tmp_path / "ready").read_text().split()
        assert Path(directory).is_dir()
        started = {*children_of(running.pid), *marked(RUN_VARIABLE, run_id)}
        assert any(command_of(pid) == "sleep 1000" for pid in started)
        running.send_signal(number)
        assert [
            command_of(pid) for pid in await_exit(sorted(started), 20)
        ] == []  # among them the reaper, which ends last
        running.kill()
        running.communicate(timeout=30)
    assert not Path(directory).exists()
    with pytest.raises(KeyError):
        pwd.getpwnam(user)


@pytest.mark.parametrize(("tier", "ran"), [("unit", "1 passed, 2 deselected"), ("embedded", "1 passed, 2 deselected")])
def test_one_tier_can_be_run_alone(tmp_path: Path, tier: str, ran: str) -> None:
    text = """
def test_unit(): pass
@pytest.mark.embedded
def test_embedded(): pass
@pytest.mark.node
def test_node(): pass
"""
    rc, output = pytest_in(tmp_path, text, "--tier", tier)
    assert rc == 0, output
    assert ran in output


def test_a_tier_that_cannot_run_is_skipped_and_named_in_the_last_lines(tmp_path: Path) -> None:
    text = """
from testbed import fixtures
fixtures.missing = lambda tier: "it needs root" if tier.value == "node" else None
@pytest.mark.node
def test_node(): assert False
"""
    rc, output = pytest_in(tmp_path, text, "-rs")
    assert rc == 0, output
    assert "1 skipped" in output
    assert "SKIPPED TIER node: 1 tests: it needs root" in output


def test_a_play_that_leaves_a_process_is_an_error(inventory: Callable[..., Inventory]) -> None:
    made = inventory()
    made.run_playbook(
        """
        - hosts: localhost
          gather_facts: false
          tasks:
            - ansible.builtin.shell: setsid sleep 1000 > /dev/null 2>&1 &
        """
    ).check()
    with pytest.raises(LeftBehindError, match="sleep 1000"):
        made.close()


@pytest.mark.parametrize("tier", ON_BOTH_TIERS)
def test_ansible_reaches_a_pod(
    tier: object,  # noqa: ARG001  # its marks choose the backend
    pod: Callable[..., PodHost],
    inventory: Callable[..., Inventory],
) -> None:
    result = inventory(pod("web")).run_playbook(
        """
        - hosts: web
          gather_facts: false
          tasks:
            - {name: Say, ansible.builtin.raw: "echo from a pod; exit 3", failed_when: false}
        """
    )
    assert result.check().task("Say").result["rc"] == 3
    assert result.task("Say").result["stdout"].strip() == "from a pod"


@pytest.mark.embedded
def test_the_name_of_a_pod_is_free_after_its_test(pod: Callable[..., PodHost]) -> None:
    from testbed.pods import delete_pod

    first = pod("web")
    delete_pod(first.kube, first.namespace, first.name)
    assert pod("web").root != first.root
