# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to be wrong that once were taken for success."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import SpecError

from unit.support import EVERY_BYTE, FakeContext, Pipelines, command, sink

BULK = EVERY_BYTE * 40_000
"""More than all pipes on the way hold."""

_KILL_THE_COUNTER = (
    'head -c 1000; for p in /proc/[0-9]*; do case "$(cat $p/comm 2>/dev/null)" in dd|perl) '
    "tr '\\0' '\\n' <$p/environ 2>/dev/null | grep -q TESTPROBE={probe} && kill -9 ${{p#/proc/}} ;; esac; done; cat"
)


def test_a_killed_counter_is_no_early_close(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command sees the end of its input and exits 0, as when the kernel kills for want of memory."""
    (tmp_path / "bulk").write_bytes(BULK)
    pipelines.add(FakeContext("db"))
    monkeypatch.setenv("TESTPROBE", str(tmp_path))
    consumer = command(_KILL_THE_COUNTER.format(probe=tmp_path), "db")
    result = pipelines.run(command(f"cat {tmp_path}/bulk"), consumer, sink(tmp_path / "dest"))
    assert result.msg is not None and "count of its input was lost" in result.msg
    assert not (tmp_path / "dest").exists()


def test_a_destination_that_is_no_file_is_not_replaced(pipelines: Pipelines, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    result = pipelines.run(command("echo x"), sink(tmp_path / "fifo"))
    assert result.msg is not None and "no regular file" in result.msg
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_a_program_is_looked_for_on_the_path_of_its_step(pipelines: Pipelines, tmp_path: Path) -> None:
    tool = tmp_path / "mytool"
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert pipelines.run(command("mytool", environment={"PATH": path})).stdout == "ran\n"


@pytest.mark.parametrize("step", [{"argv": ["printf", "a\0b"]}, {"command": "true", "environment": {"A": "a\0b"}}])
def test_a_nul_character_is_refused_instead_of_dropped(pipelines: Pipelines, step: dict[str, object]) -> None:
    with pytest.raises(SpecError, match="NUL"):
        pipelines.run(step)


def test_a_reader_that_waits_for_one_line_gets_it_at_once(pipelines: Pipelines) -> None:
    """As ``tail -f log | grep -m1 ready``: the source prints no more, and does not end."""
    result = pipelines.run(command("echo ready; sleep 1000"), command("head -n1"))
    assert (result.msg, result.stdout) == (None, "ready\n")


def test_two_steps_that_write_to_one_file_are_refused(pipelines: Pipelines, tmp_path: Path) -> None:
    one = sink(tmp_path / "dest")
    with pytest.raises(SpecError, match="same file as step"):
        pipelines.run(command("echo x"), one, {**one, "name": "again", "input": "step 1"})


def test_the_bandwidth_limit_holds_for_a_single_command(pipelines: Pipelines) -> None:
    """300 KB at 200 KB/s, less what may go at once."""
    start = time.monotonic()
    assert pipelines.run(command("head -c 300000 /dev/zero"), rate_limit=200_000).msg is None
    assert time.monotonic() - start > 1
