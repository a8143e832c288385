# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole transfers whose connection fails, at a place and as often as a test says."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context, ContextError, Launch
from ansible_collections.manifold.core.plugins.plugin_utils.transfers import _run
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._run import run_transfer
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._spec import Request, Result

from unit.support import HONEST, cuts_input, cuts_output, leftovers
from unit.support import FakeContext as _FakeContext

TREE, FILE = "tree", "file"


class Failing(_FakeContext):
    """A context in which a step fails the first times."""

    def __init__(self, name: str, step: str = "", transport: Sequence[str] = (), times: int = 1) -> None:
        super().__init__(name)
        self._step, self._transport, self._left = step, transport, times
        self.suspected = 0

    def launch(self, command: str) -> Launch:
        if self._left and self._step and f"manifold step {self._step}'" in command:
            self._left -= 1
            return Launch(argv=(*(word.encode() for word in self._transport), command.encode()))
        return Launch(argv=(b"/bin/sh", b"-c", HONEST.encode(), b"transport", command.encode()))

    def suspect(self) -> None:
        self.suspected += 1


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds waited between attempts, which take no time."""
    waited: list[float] = []
    monkeypatch.setattr(_run, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waited.append))
    return waited


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a tree and a file, and another one to send them to."""
    (tmp_path / TREE).mkdir()
    (tmp_path / "there").mkdir()
    for number in range(3):
        (tmp_path / TREE / f"f{number}").write_bytes(os.urandom(200_000))
    (tmp_path / FILE).write_bytes(os.urandom(500_000))
    return tmp_path


def _send(here: Path, what: str, *contexts: Context, **options: Any) -> Result:
    known = {context.name: context for context in contexts}
    src, dest = (known.setdefault(name, Failing(name)) for name in ("a", "b"))
    ends = (Endpoint(src.name, f"{here}/{what}"), Endpoint(dest.name, f"{here}/there"))
    return run_transfer(Request(*ends, **options), lambda end: known[end.context])


def _is_whole(here: Path, what: str) -> bool:
    if what == FILE:
        return (here / "there" / FILE).read_bytes() == (here / FILE).read_bytes()
    there = {path.name: path.read_bytes() for path in (here / "there" / TREE).iterdir()}
    return there == {path.name: path.read_bytes() for path in (here / TREE).iterdir()}


@pytest.mark.parametrize(
    ("what", "context", "step", "transport"),
    [
        (TREE, "a", "list source", cuts_output(20, "close")),
        (TREE, "a", "pack", cuts_output(100_000, "close")),
        (TREE, "b", "unpack", cuts_input(100_000, "close")),
        (TREE, "b", "unpack", cuts_input(100_000, "drain")),
        (TREE, "b", "put in place", cuts_output(0, "close")),
        (FILE, "a", "read", cuts_output(100_000, "close")),
        (FILE, "b", "write", cuts_input(100_000, "drain")),
    ],
)
def test_a_stream_that_was_cut_is_sent_again(
    here: Path, naps: list[float], what: str, context: str, step: str, transport: Sequence[str]
) -> None:
    failing = Failing(context, step, transport)
    result = _send(here, what, failing, retries=3)
    assert (result.failure, result.retries, naps, failing.suspected) == (None, 1, [5.0], 1)
    assert result.changed and _is_whole(here, what)
    assert not list((here / "there").rglob(".*")), "nothing of the first time is left"
    assert leftovers(str(here)) == []


def test_each_time_waits_twice_as_long_and_the_last_failure_is_told(here: Path, naps: list[float]) -> None:
    failing = Failing("a", "pack", cuts_output(1000, "close"), times=9)
    result = _send(here, TREE, failing, retries=3, retry_delay=0.5)
    assert (result.retries, naps) == (3, [0.5, 1.0, 2.0])
    assert result.failure and "its output ended after" in result.failure
    assert not result.changed and os.listdir(here / "there") == []  # noqa: PTH208
    assert result.as_task_result(diff=False)["retries"] == 3


def test_without_retries_nothing_is_repeated(here: Path, naps: list[float]) -> None:
    result = _send(here, TREE, Failing("a", "pack", cuts_output(1000, "close")))
    assert result.failure is not None
    assert (result.retries, naps) == (0, [])


@pytest.mark.parametrize(
    ("context", "step", "transport"),
    [
        ("a", "pack", ("/bin/sh", "-c", "echo no such tar >&2; exit 1", "transport")),
        ("b", "unpack", ("/bin/sh", "-c", "echo a: Permission denied >&2; exit 255", "transport")),
    ],
)
def test_what_another_time_would_not_change_is_not_repeated(
    here: Path, naps: list[float], context: str, step: str, transport: Sequence[str]
) -> None:
    # a shell that was started ahead may be the first that fails
    result = _send(here, TREE, Failing(context, step, transport, times=9), retries=3)
    assert result.failure is not None
    assert (result.retries, naps) == (0, [])


def test_a_missing_source_and_a_refused_plan_are_not_repeated(here: Path, naps: list[float]) -> None:
    assert "does not exist" in (_send(here, "nothing", retries=3).failure or "")
    (here / "there" / TREE / "f1").mkdir(parents=True)
    assert "set 'delete' for directories" in (_send(here, TREE, retries=3).failure or "")
    assert naps == []


def test_a_context_that_cannot_be_chosen_closes_the_other(here: Path) -> None:
    other = Failing("a")

    def place(end: Endpoint) -> Context:
        if end.context == "b":
            raise ContextError("b", "reading", "there is nothing")
        return other

    result = run_transfer(Request(Endpoint("a", str(here)), Endpoint("b", "/x")), place)
    assert (result.failure, other.closed) == ("context 'b': reading: there is nothing", 1)


@pytest.mark.usefixtures("naps")
def test_what_is_in_place_is_not_sent_again(here: Path) -> None:
    # the mark of the last step is lost, when everything has its name
    failing = Failing("b", "put in place", cuts_output(0, "drain"))
    result = _send(here, TREE, failing, retries=1)
    assert (result.failure, result.retries, result.files, result.changed) == (None, 1, 0, True)
    assert _is_whole(here, TREE)


def test_the_time_for_all_of_it_ends_the_transfer_and_is_named(here: Path) -> None:
    hangs = ("/bin/sh", "-c", '/bin/sh -c "$1" | { head -c 1000; sleep 60; }', "transport")
    result = _send(here, TREE, Failing("a", "pack", hangs), timeout=2, retries=3)
    assert result.failure == "the transfer did not finish within 2 seconds; step 'pack' (a) was not done"
    assert (result.retries, result.changed) == (0, False)
    assert os.listdir(here / "there") == []  # noqa: PTH208
    assert leftovers(str(here)) == []


@pytest.mark.parametrize(("what", "step"), [(TREE, "pack"), (FILE, "read")])
def test_a_stream_that_stalls_is_sent_again(here: Path, naps: list[float], what: str, step: str) -> None:
    hangs = ("/bin/sh", "-c", '/bin/sh -c "$1" | { head -c 1000; sleep 60; }', "transport")
    result = _send(here, what, Failing("a", step, hangs), stall_timeout=0.5, retries=1)
    assert (result.failure, result.retries, naps) == (None, 1, [5.0])
    assert _is_whole(here, what)


@pytest.mark.parametrize(("what", "streams"), [(TREE, 1), (TREE, 3), (FILE, 1)])
def test_the_rate_limit_holds_for_what_is_sent(here: Path, what: str, streams: int) -> None:
    size = 600_000 if what == TREE else 500_000
    result = _send(here, what, rate_limit=400_000, streams=streams)
    assert (result.failure, result.streams) == (None, streams)
    assert result.duration_ms >= 1000 * size / 400_000 - 500, "a limit lets pass what it allows in a moment at once"


def test_a_file_that_could_not_be_sent_shows_no_difference(here: Path) -> None:
    (here / "there" / FILE).write_text("old")
    result = _send(here, FILE, Failing("a", "read", cuts_output(1000, "close")), diff=True)
    assert result.failure and (result.files, result.bytes, result.changed) == (0, 0, False)
    assert result.before.startswith("size: 3\n") and result.after == result.before
