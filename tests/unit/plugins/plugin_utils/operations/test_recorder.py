# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.operations._files import RecordFolder, load
from ansible_collections.manifold.core.plugins.plugin_utils.operations._record import Outcome
from ansible_collections.manifold.core.plugins.plugin_utils.operations._recorder import Recorder, Retention
from ansible_collections.manifold.core.plugins.plugin_utils.operations._reduce import operation_of
from ansible_collections.manifold.core.plugins.plugin_utils.operations._scrub import Scrubber

from record_schema import validate
from unit.runs import PIPELINE, ran


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def recorder(tmp_path: Path, warnings: list[str]) -> Recorder:
    return Recorder(RecordFolder(tmp_path / "log", warnings.append), Retention(records=1), warnings.append)


def _run(recorder: Recorder) -> None:
    assert recorder.start("/p/backup.yml", check_mode=True)
    recorder.begun("1", "Back up", "localhost", PIPELINE, check_mode=True)
    recorder.operation("1", operation_of(ran(check_mode=True), Scrubber()), last=True)
    recorder.failure("Back up", "localhost", PIPELINE, unreachable=False, ignored=True)


def _record(tmp_path: Path) -> dict[str, Any]:
    (path,) = (tmp_path / "log").iterdir()
    record: dict[str, Any] = load(path)
    validate(record)
    return record


def test_a_run_is_journalled_and_then_recorded(recorder: Recorder, tmp_path: Path, warnings: list[str]) -> None:
    _run(recorder)
    (journal,) = (tmp_path / "log").iterdir()
    assert journal.suffix == ".journal"
    assert journal.read_text().count("\n") == 4
    recorder.end(Outcome.OK)
    record = _record(tmp_path)
    assert (record["outcome"], record["check_mode"], len(record["operations"])) == ("ok", True, 1)
    assert warnings == []


def test_what_does_not_fit_is_told_once_and_the_record_is_whole(
    recorder: Recorder, tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        _run(recorder)
    recorder.end(Outcome.OK)
    assert [warning.rpartition(": ")[2] for warning in warnings] == ["No space left on device"]
    record = _record(tmp_path)
    assert len(record["operations"]) == 1 and record["lost_events"] == 0


def test_a_record_that_cannot_be_written_leaves_its_journal(
    recorder: Recorder, tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _run(recorder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        recorder.end(Outcome.FAILED)
    assert "cannot be written: No space left on device" in warnings[0]
    (journal,) = RecordFolder(tmp_path / "log", warnings.append).journals()
    assert journal.record(Outcome.INTERRUPTED)["outcome"] == "failed", "the end was journalled"


def test_a_directory_in_the_way_of_a_file_is_told_once(tmp_path: Path, warnings: list[str]) -> None:
    (tmp_path / "log").write_text("a file")
    recorder = Recorder(RecordFolder(tmp_path / "log", warnings.append), Retention(), warnings.append)
    assert not recorder.start("/p/backup.yml", check_mode=False)
    assert len(warnings) == 1 and "records cannot be kept there" in warnings[0]


def test_a_journal_that_somebody_removed_costs_one_warning(
    recorder: Recorder, tmp_path: Path, warnings: list[str]
) -> None:
    recorder.start("/p/backup.yml", check_mode=False)
    for path in (tmp_path / "log").iterdir():
        path.unlink()
    recorder.no_hosts()
    recorder.no_hosts()
    recorder.end(Outcome.OK)
    assert len(warnings) == 1
    assert _record(tmp_path)["outcome"] == "no_hosts"
