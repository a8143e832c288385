# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user sees while a long action runs: in a log, on a terminal, of several hosts at once."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.support import Inventories, play
from testbed.inventory import Inventory

SIZE = 400_000
FAST = {"MANIFOLD_PROGRESS_INTERVAL": "0.1"}
LINE = re.compile(r"(\w+): (\d+)%  [\d.]+ \w+ of 390\.62 KB  [\d.]+ \w+/s(  \d:\d\d:\d\d left)?")


def _copy(folder: Path, **keywords: Any) -> dict[str, Any]:
    """Return a task that copies a file on this machine slowly enough to be watched."""
    steps = [
        {"context": "local", "src": str(folder / "source")},
        {"context": "local", "dest": f"{folder}/{{{{ inventory_hostname }}}}"},
    ]
    return {"manifold.core.pipeline": {"steps": steps, "bwlimit": "200K"}, **keywords}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file to copy."""
    (tmp_path / "source").write_bytes(bytes(SIZE))
    return tmp_path


@pytest.fixture
def three(inventory: Inventories) -> Inventory:
    """An inventory of three hosts that are this machine."""
    hosts = {name: {"ansible_connection": "local"} for name in ("web1", "web2", "web3")}
    return inventory(text=yaml.safe_dump({"all": {"hosts": hosts}}))


def test_a_log_gets_whole_lines_of_every_host(three: Inventory, folder: Path) -> None:
    silent = _copy(folder, name="silent", vars={"manifold_progress": "none"})
    result = three.run_playbook([play(_copy(folder, name="watched"), silent, hosts="all")], env=FAST).check()
    watched, _task, unwatched = result.stdout.partition("TASK [silent]")
    lines = [line for line in watched.splitlines() if "%" in line]
    seen: dict[str, list[int]] = {}
    for line in lines:
        match = LINE.fullmatch(line)
        assert match, f"not a whole line of progress: {line!r}"
        seen.setdefault(match[1], []).append(int(match[2]))
    assert seen.keys() == {"web1", "web2", "web3"}
    for shares in seen.values():
        assert shares == sorted(shares) and len(set(shares)) > 3
    assert "%" not in unwatched, "it is silent when asked"


def test_short_tasks_and_secret_ones_show_nothing(three: Inventory, folder: Path) -> None:
    (folder / "small").write_bytes(b"data")
    steps = [{"context": "local", "src": str(folder / "small")}, {"context": "local", "dest": str(folder / "copy")}]
    short = {"name": "short", "manifold.core.pipeline": {"steps": steps}}
    secret = _copy(folder, name="secret", no_log=True, vars={"manifold_progress_interval": 0.1})
    result = three.run_playbook([play(short, secret, hosts="web1")]).check()
    assert "%" not in result.stdout


def test_a_setting_that_is_none_is_told(three: Inventory, folder: Path) -> None:
    result = three.run_playbook([play(_copy(folder), hosts="web1")], env={"MANIFOLD_PROGRESS": "loud"})
    assert result.rc != 0
    assert "manifold_progress: 'loud' is none of auto, terminal, lines, none" in result.stdout
    assert not (folder / "web1").exists()


def _on_terminal(inventory: Inventory, playbook: Path) -> str:
    """Run a playbook whose output is a terminal; return what was written there."""
    ours, theirs = pty.openpty()
    argv = ["ansible-playbook", "-i", str(inventory.path), "-l", "web1", str(playbook)]
    environment = inventory.environment() | {"TERM": "xterm"}
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written = b""
    try:
        while select.select([ours], [], [], 60)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:  # every writer closed the terminal
                break
    finally:
        os.close(ours)
        if process.wait(60) != 0:
            pytest.fail(written.decode(errors="replace"))
    return written.decode(errors="replace")


def test_a_terminal_has_one_line_that_is_written_over_and_goes_away(three: Inventory, folder: Path) -> None:
    playbook = folder / "copy.yml"
    playbook.write_text(yaml.safe_dump([play(_copy(folder, name="watched"), hosts="all")]))
    written = _on_terminal(three, playbook)
    shown = re.findall(r"\r(\d+)%[^\r\n]*\x1b\[K", written)
    assert len(shown) > 1 and shown == sorted(shown, key=int)
    assert re.search(r"left\x1b\[K\r\x1b\[K(\x1b\[[\d;]*m)?changed: \[web1\]", written), (
        "the result starts a clean line"
    )
