# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils import _owner
from ansible_collections.manifold.core.plugins.plugin_utils._owner import Boot, Fate, fate_of, owner, this_boot


def test_this_process_is_alive() -> None:
    assert fate_of(owner()) is Fate.ALIVE


def test_a_process_that_ended_is_gone_and_its_number_saves_nobody() -> None:
    machine, pid, started = owner().split("-")
    with subprocess.Popen(["true"]) as process:
        pass
    assert fate_of(f"{machine}-{process.pid}-{started}") is Fate.GONE
    assert fate_of(f"{machine}-{pid}-{int(started) - 1}") is Fate.GONE


@pytest.mark.parametrize("text", ["", "owner", "00000000-1-1", "0-1", "gggggggg-1-1"])
def test_of_others_nothing_is_known(text: str) -> None:
    assert fate_of(text) is Fate.UNKNOWN


def test_processes_of_another_container_of_the_same_name_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = owner()
    there = Path("pid:[4026539999]")
    monkeypatch.setattr(Path, "readlink", lambda _path: there)
    assert fate_of(ours) is Fate.UNKNOWN


def test_a_restart_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_owner, "_identity", lambda: "0a1b2c3d")
    before = this_boot()
    assert not before.was_before(this_boot())
    monkeypatch.setattr(_owner, "_boot_id", lambda: "a later start")
    assert before.was_before(this_boot())
    monkeypatch.setattr(socket, "gethostname", lambda: "another")
    assert not before.was_before(this_boot())


def test_machines_without_an_identity_are_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_owner, "_identity", lambda: "")
    assert this_boot().machine is None
    assert not Boot(None, "a").was_before(Boot(None, "b"))


def test_the_owner_names_the_process() -> None:
    assert owner().split("-")[1] == str(os.getpid())


@pytest.mark.parametrize("hidepid", [1, 2])
def test_of_processes_that_are_hidden_nothing_is_known(hidepid: int) -> None:
    if subprocess.run(["unshare", "-m", "mount", "-t", "proc", "proc", "/proc"], check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    text = owner()
    program = (
        f"import os; from {_owner.__name__} import Fate, fate_of; os.setgroups([]); os.setgid(65534); "
        f"os.setuid(65534); print(fate_of({text!r}).name, fate_of({text.split('-')[0] + '-99999999-1'!r}).name)"
    )
    script = f'mount -t proc -o hidepid={hidepid} proc /proc && exec "$0" -c "$1"'
    search = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = ["unshare", "-m", "sh", "-c", script, sys.executable, program]
    done = subprocess.run(argv, env=search, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.stderr) == (["UNKNOWN", "GONE"], "")
