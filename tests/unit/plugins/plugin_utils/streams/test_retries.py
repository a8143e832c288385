# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import (
    SpecError,
    check_repeatable,
    parse_steps,
)

from unit.support import FakeContext, Pipelines, command, cuts_input, cuts_output, sink, temporaries


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds waited between attempts, which take no time."""
    waited: list[float] = []
    monkeypatch.setattr(_pipeline, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waited.append))
    return waited


def _fails(times: int, state: Path) -> str:
    """Return a line that prints a part and fails the first times it is run, then prints everything."""
    return (
        f"echo >>{state}; printf 'first '; "
        f"[ $(wc -l <{state}) -gt {times} ] || {{ echo not yet >&2; exit 7; }}; printf second"
    )


def _attempts(state: Path) -> int:
    return len(state.read_text().splitlines())


def test_a_source_that_failed_once_is_begun_again(pipelines: Pipelines, tmp_path: Path, naps: list[float]) -> None:
    dest = tmp_path / "file"
    result = pipelines.run(command(_fails(1, tmp_path / "state")), command("cat"), sink(dest), retries=3)
    assert (result.msg, result.failed_step, result.attempts) == (None, None, 2)
    assert dest.read_text() == "first second", "nothing of the first attempt is left in it"
    assert result.as_task_result()["attempts"] == 2
    assert naps == [5.0]
    assert not temporaries(tmp_path)


def test_each_repetition_waits_twice_as_long(pipelines: Pipelines, tmp_path: Path, naps: list[float]) -> None:
    state, dest = tmp_path / "state", tmp_path / "file"
    dest.write_text("old")
    result = pipelines.run(command(_fails(9, state)), sink(dest), retries=4, retry_delay=0.5)
    assert result.msg == "step 'step 1' (local): it failed with exit status 7: not yet"
    assert naps == [0.5, 1.0, 2.0, 4.0]
    assert result.attempts == _attempts(state) == 5
    assert dest.read_text() == "old"
    assert not temporaries(tmp_path)


def test_without_retries_nothing_is_repeated(pipelines: Pipelines, tmp_path: Path, naps: list[float]) -> None:
    state = tmp_path / "state"
    result = pipelines.run(command(_fails(1, state)))
    assert (result.failed_step, result.attempts, _attempts(state), naps) == ("step 1", 1, 1, [])
    assert "attempts" not in result.as_task_result()


def test_what_succeeded_is_not_repeated(pipelines: Pipelines, tmp_path: Path, naps: list[float]) -> None:
    state = tmp_path / "state"
    assert pipelines.run(command(_fails(0, state)), retries=3).msg is None
    assert (_attempts(state), naps) == (1, [])


@pytest.mark.parametrize("transport", [cuts_input(1000, "close"), cuts_output(0, "close")])
def test_a_connection_that_was_lost_is_tried_again(
    pipelines: Pipelines, tmp_path: Path, naps: list[float], transport: tuple[str, ...]
) -> None:
    pipelines.add(FakeContext("db", transport))
    result = pipelines.run(command("head -c 100000 /dev/zero"), sink(tmp_path / "file", "db"), retries=1)
    assert (result.msg, result.attempts, naps) == (None, 2, [5.0])
    assert (tmp_path / "file").read_bytes() == bytes(100_000)


def test_a_repetition_that_would_be_too_late_is_not_begun(
    pipelines: Pipelines, tmp_path: Path, naps: list[float]
) -> None:
    state = tmp_path / "state"
    result = pipelines.run(command(_fails(9, state)), retries=4, retry_delay=3600, timeout=60)
    assert (result.attempts, _attempts(state), naps) == (1, 1, [])


def test_a_context_is_closed_once_after_all_attempts(pipelines: Pipelines, tmp_path: Path, naps: list[float]) -> None:
    context = FakeContext("db")
    pipelines.add(context)
    result = pipelines.run(command(_fails(2, tmp_path / "state"), "db"), retries=2)
    assert (result.msg, context.closed, len(naps)) == (None, 1, 2)


def test_what_an_early_attempt_changed_counts_as_changed(
    pipelines: Pipelines, tmp_path: Path, naps: list[float]
) -> None:
    """The first attempt commits one destination, the second finds it as it should be."""
    honest = ("/bin/sh", "-c", 'exec /bin/sh -c "$1"', "transport")
    (tmp_path / "b").write_text("data\n")
    pipelines.add(FakeContext("db", cuts_input(1, "close"), honest))
    result = pipelines.run(
        command("echo data", name="source"),
        {"name": "a", "dest": str(tmp_path / "a")},
        {"name": "b", "dest": str(tmp_path / "b"), "context": "db", "input": "source"},
        on_sink_failure_continue=True,
        retries=1,
    )
    assert (result.msg, result.attempts, len(naps)) == (None, 2, 1)
    assert result.changed


# -- nothing is repeated that was not said to be harmless --------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([{"command": "a"}], "step 1"),
        ([{"command": "a"}, {"dest": "/d"}], "step 1"),
        ([{"src": "/s"}, {"command": "a"}], "step 2"),
        ([{"src": "/s"}, {"command": "a"}, {"command": "b"}], "step 3"),
        ([{"command": "a", "repeatable": True}, {"command": "b"}], "step 2"),
        ([{"command": "a", "repeatable": False}, {"dest": "/d"}], "step 1"),
        ([{"name": "r", "src": "/s"}, {"dest": "/d"}, {"name": "x", "command": "a", "input": "r"}], "x"),
    ],
)
def test_a_command_at_an_end_must_be_said_to_be_repeatable(steps: list[dict[str, Any]], named: str) -> None:
    with pytest.raises(SpecError, match=f"step '{named}': 'retries' would run its command again; say 'repeatable"):
        check_repeatable(parse_steps(steps))


@pytest.mark.parametrize(
    "steps",
    [
        [{"src": "/s"}, {"dest": "/d"}],
        [{"src": "/s"}, {"command": "filter"}, {"dest": "/d"}],
        [{"command": "a", "repeatable": True}, {"command": "filter"}, {"dest": "/d"}],
        [{"command": "a", "repeatable": "yes"}, {"command": "b", "repeatable": True}],
    ],
)
def test_files_and_filters_may_be_repeated(steps: list[dict[str, Any]]) -> None:
    check_repeatable(parse_steps(steps))


def test_a_place_that_failed_is_looked_for_again_before_the_next_attempt(
    pipelines: Pipelines, tmp_path: Path, naps: list[float]
) -> None:
    class Moving(FakeContext):
        found = 1

        def suspect(self) -> None:
            assert _attempts(state) == self.found, "what it was is still needed to end what runs there"
            self.found += 1

    state = tmp_path / "state"
    context = pipelines.add(Moving("shop"))
    result = pipelines.run(command(_fails(2, state), "shop", repeatable=True), retries=2)
    assert (result.msg, result.attempts, naps) == (None, 3, [5.0, 10.0])
    assert isinstance(context, Moving) and context.found == 3
