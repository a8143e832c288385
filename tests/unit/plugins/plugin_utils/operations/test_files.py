# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils import _owner
from ansible_collections.manifold.core.plugins.plugin_utils.operations._events import EventKind, read_events
from ansible_collections.manifold.core.plugins.plugin_utils.operations._files import (
    RecordFolder,
    default_directory,
    load,
)
from ansible_collections.manifold.core.plugins.plugin_utils.operations._record import Outcome, record_of

from record_schema import validate
from unit.runs import RUN, event, whole_run

GONE = f"{_owner.owner().split('-')[0]}-{os.getpid()}-1"
"""A process that had this one's number."""
FOREIGN = "00000000-1-1"


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, warnings: list[str]) -> RecordFolder:
    return RecordFolder(tmp_path / "state" / "operations", warnings.append)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _journal(folder: RecordFolder, owner: str, run: str = RUN, events: int = 3, **start: Any) -> Path:
    folder.directory.mkdir(parents=True, exist_ok=True)
    path = folder.directory / f"{run}.{owner}.journal"
    first, *more = whole_run()[:events]
    lines = [event(0, EventKind.START, **{**first.data, **start}), *more]
    path.write_text("".join(each.line() for each in lines))
    return path


def _names(folder: RecordFolder) -> list[str]:
    return sorted(path.name for path in folder.directory.iterdir())


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "/h/.local/state"), ("/state", "/state"), ("state", "/h/.local/state"), ("", "/h/.local/state")],
)
def test_records_are_kept_below_the_state_home(given: str | None, expected: str) -> None:
    environment = {} if given is None else {"XDG_STATE_HOME": given}
    assert default_directory(environment, Path("/h")) == Path(expected) / "manifold" / "operations"


def test_nobody_else_can_read_what_is_kept(folder: RecordFolder) -> None:
    old = os.umask(0)
    try:
        folder.begin(RUN)
        path = folder.write(record_of(RUN, whole_run(), Outcome.OK))
    finally:
        os.umask(old)
    assert [_mode(each) for each in folder.directory.iterdir()] == [0o600, 0o600]
    assert _mode(folder.directory) == _mode(folder.directory.parent) == 0o700
    assert load(path)["id"] == RUN


def test_an_event_is_in_the_journal_as_soon_as_it_is_noted(folder: RecordFolder) -> None:
    journal = folder.begin(RUN)
    for number, each in enumerate(whole_run(), 1):
        journal.append(each)
        (found,) = folder.journals()
        assert found.events == whole_run()[:number]
    journal.remove()
    assert _names(folder) == []


def test_a_line_that_did_not_fit_does_not_spoil_the_next(folder: RecordFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = folder.begin(RUN)
    first, second, third = whole_run()[:3]
    journal.append(first)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:20]))
        with pytest.raises(OSError, match="No space left"):
            journal.append(second)
    journal.append(third)
    (found,) = folder.journals()
    assert (found.events, found.lost_events) == ([first, third], 1)


def test_a_record_that_cannot_be_written_leaves_nothing(folder: RecordFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.begin(RUN).remove()

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        folder.write(record_of(RUN, whole_run(), Outcome.OK))
    assert _names(folder) == []


def test_the_journal_of_a_dead_run_is_closed(folder: RecordFolder) -> None:
    _journal(folder, GONE)
    assert folder.close_abandoned() == [RUN]
    assert _names(folder) == [f"{RUN}.json"]
    record = load(folder.directory / f"{RUN}.json")
    validate(record)
    assert record["outcome"] == "interrupted"


def test_a_run_whose_end_was_journalled_keeps_its_outcome(folder: RecordFolder) -> None:
    _journal(folder, GONE, events=11)
    folder.close_abandoned()
    assert load(folder.directory / f"{RUN}.json")["outcome"] == "failed"


def test_a_living_run_is_left_alone(folder: RecordFolder) -> None:
    path = _journal(folder, _owner.owner())
    assert folder.close_abandoned() == []
    assert path.exists()


@pytest.mark.parametrize(("days", "closed"), [(6, []), (8, [RUN])])
def test_a_run_of_another_machine_is_given_a_week(folder: RecordFolder, days: int, closed: list[str]) -> None:
    path = _journal(folder, FOREIGN)
    at = path.stat().st_mtime - days * 24 * 3600
    os.utime(path, (at, at))
    assert folder.close_abandoned() == closed


def test_a_restart_ends_every_run(folder: RecordFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_owner, "_identity", lambda: "0a1b2c3d")
    machine = _owner.this_boot().machine
    _journal(folder, FOREIGN, machine=machine, boot="before")
    _journal(folder, FOREIGN, RUN[:-1] + "e", machine=machine, boot=_owner.this_boot().start)
    _journal(folder, FOREIGN, RUN[:-1] + "f", machine="another", boot="before")
    assert folder.close_abandoned() == [RUN]


def test_a_record_is_not_replaced_by_a_journal(folder: RecordFolder) -> None:
    """A run was killed after it had put its record in place, before it removed the journal."""
    folder.directory.mkdir(parents=True)
    folder.write(record_of(RUN, whole_run("ok"), Outcome.OK))
    _journal(folder, GONE)
    assert folder.close_abandoned() == []
    assert _names(folder) == [f"{RUN}.json"]
    assert load(folder.directory / f"{RUN}.json")["outcome"] == "ok"


def test_what_was_half_written_by_a_dead_run_is_removed(folder: RecordFolder) -> None:
    folder.directory.mkdir(parents=True)
    ours = folder.directory / f".{RUN}.{_owner.owner()}.part"
    for path in (ours, folder.directory / f".{RUN}.{GONE}.part", folder.directory / "notes.txt"):
        path.touch()
    folder.close_abandoned()
    assert _names(folder) == [ours.name, "notes.txt"]


def test_one_journal_that_cannot_be_read_does_not_hide_the_others(folder: RecordFolder, warnings: list[str]) -> None:
    _journal(folder, GONE)
    (folder.directory / f"{RUN[:-1]}e.{GONE}.journal").mkdir()
    assert folder.close_abandoned() == [RUN]
    assert [f"{RUN[:-1]}e" in warning for warning in warnings] == [True]


@pytest.mark.parametrize(
    ("keep", "days", "left"),
    [(None, None, 5), (2, None, 2), (9, None, 5), (None, 2.5, 3), (1, 2.5, 1), (None, 0.5, 1), (1, 0.1, 0)],
)
def test_old_records_go(folder: RecordFolder, keep: int | None, days: float | None, left: int) -> None:
    folder.directory.mkdir(parents=True)
    for age in range(5):
        (folder.directory / f"2026-01-{14 - age}-120000-00000000.json").write_text("{}")
    (folder.directory / "2020-01-01.json").write_text("of somebody else")
    folder.expire(keep, days, datetime.datetime(2026, 1, 14, 17))
    assert [run[:10] for run, _path in folder.records()] == [f"2026-01-{14 - age}" for age in range(left)][::-1]
    assert (folder.directory / "2020-01-01.json").exists()


def test_a_journal_reads_back_as_written(folder: RecordFolder) -> None:
    path = _journal(folder, GONE, events=11)
    assert read_events(path.read_text())[0][1:] == whole_run()[1:]
    assert json.loads(path.read_text().splitlines()[0])["event"] == "start"
