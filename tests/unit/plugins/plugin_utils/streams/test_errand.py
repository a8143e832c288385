# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextError, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams._errand import (
    OUTPUT_LIMIT,
    Errand,
    ErrandResult,
    run_errands,
)

from unit.support import PATIENCE, FakeContext, cuts_output

LOCAL = LocalContext("local")


def _run(*scripts: str) -> list[ErrandResult]:
    return run_errands([Errand("sink", LOCAL, script) for script in scripts], PATIENCE)


def test_an_errand_reports_status_and_output() -> None:
    assert _run("echo done; echo said >&2; exit 3") == [ErrandResult(3, "done\n", "said\n")]
    assert _run("true")[0].done
    assert not _run("false")[0].done


def test_no_errands_are_done_at_once() -> None:
    assert run_errands([], PATIENCE) == []


def test_errands_run_side_by_side_and_answer_in_order(tmp_path: Path) -> None:
    # each waits for the other's file
    wait = (
        "n=0; touch {mine}; while [ ! -e {other} ]; do [ $((n = n + 1)) -lt 2000 ] || exit 1; sleep 0.01; done; "
        "echo {name}"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    results = _run(wait.format(mine=first, other=second, name="one"), wait.format(mine=second, other=first, name="two"))
    assert results == [ErrandResult(0, "one\n", ""), ErrandResult(0, "two\n", "")]


def test_an_errand_that_cannot_start_does_not_stop_the_others() -> None:
    class Gone(LocalContext):
        def launch(self, command: str) -> Launch:
            raise ContextError("db", "starting ssh", f"no file for {len(command)} bytes", "Install it.")

    refusing = FakeContext("shop", ("/bin/sh", "-c", "echo 'pod not found' >&2; exit 1", "transport"))
    results = run_errands(
        [
            Errand("a", Gone("db"), "true"),
            Errand("b", refusing, "true"),
            Errand("c", LOCAL, "echo done"),
        ],
        PATIENCE,
    )
    assert results[0].rc is None and results[0].stderr.startswith("no file for")
    assert results[0].remedy == "Install it."
    assert results[1] == ErrandResult(None, "", "pod not found")
    assert results[2] == ErrandResult(0, "done\n", "")


def test_an_errand_whose_answer_was_cut_is_not_done() -> None:
    [result] = run_errands([Errand("a", FakeContext("db", cuts_output(20, "drain")), "echo committed")], PATIENCE)
    assert (result.rc, result.done, result.stderr) == (None, False, "the connection was lost")
    assert not result.done


def test_an_errand_that_takes_too_long_is_ended() -> None:
    results = run_errands([Errand("a", LOCAL, "sleep 1000"), Errand("b", LOCAL, "true")], 0.5)
    assert results[0] == ErrandResult(None, "", "it took longer than 0.5 seconds")


def test_an_errand_that_leaves_something_behind_is_done_without_it() -> None:
    [result] = _run("sleep 1000 & echo $!")
    assert result.rc == 0
    os.kill(int(result.stdout), signal.SIGKILL)


def test_the_output_of_an_errand_is_bounded() -> None:
    [result] = _run(f"head -c {3 * OUTPUT_LIMIT} /dev/zero")
    assert (result.rc, len(result.stdout)) == (0, OUTPUT_LIMIT)
