# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils._owner import owner
from ansible_collections.manifold.core.plugins.plugin_utils.operations._files import Journalled, RecordFolder
from ansible_collections.manifold.core.plugins.plugin_utils.operations._query import (
    Query,
    QueryError,
    find,
    parse_query,
    schema_path,
)
from ansible_collections.manifold.core.plugins.plugin_utils.operations._record import Outcome, record_of
from hypothesis import given
from hypothesis import strategies as st

from record_schema import SCHEMA_FILE
from unit.runs import JSON, RUN, whole_run

RECORD = record_of(RUN, whole_run(), Outcome.OK)


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, warnings: list[str]) -> RecordFolder:
    return RecordFolder(tmp_path, warnings.append)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ({}, True),
        ({"id": RUN}, True),
        ({"id": "other"}, False),
        ({"playbook": "backup"}, True),
        ({"playbook": "backup.yml"}, True),
        ({"playbook": "/p/backup.yml"}, True),
        ({"playbook": "/p/*"}, True),
        ({"playbook": "ackup"}, False),
        ({"outcome": "failed"}, True),
        ({"outcome": "ok"}, False),
        ({"context": "pod"}, True),
        ({"context": "po"}, False),
        ({"since": "2026-01-14T17:02:34+01:00"}, True),
        ({"since": "2026-01-14T16:02:35+00:00"}, False),
        ({"until": "2026-01-14T16:02:34Z"}, True),
        ({"until": "2026-01-14T17:02:33+01:00"}, False),
        ({"since": "2026-01-13", "until": "2026-01-15"}, True),
        ({"outcome": "failed", "context": "elsewhere"}, False),
    ],
)
def test_a_record_is_wanted_if_everything_fits(arguments: dict[str, Any], wanted: bool) -> None:
    assert parse_query(arguments).wants(RECORD) is wanted


def test_a_date_includes_its_whole_day() -> None:
    query = parse_query({"since": "2026-01-14", "until": "2026-01-14"})
    assert query.since and query.until
    assert (query.until - query.since).total_seconds() > 86399


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"since": "yesterday"}, "since: 'yesterday' is no time"),
        ({"until": "2026-13-01"}, "until: '2026-13-01' is no time"),
        ({"since": "0001-01-01"}, "since: '0001-01-01' is no time"),
        ({"limit": 0}, "limit: 0 is not a number of records"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_query(arguments)


def test_the_newest_come_first(folder: RecordFolder, warnings: list[str]) -> None:
    runs = [f"2026-01-14-17023{second}-00000000" for second in (5, 7, 6)]
    for run in runs:
        folder.write({**RECORD, "id": run, "started": f"2026-01-14T17:02:{run[15:17]}+01:00"})
    found = find(folder, Query(limit=2), warnings.append)
    assert [each["id"] for each in found] == [runs[1], runs[2]]
    assert warnings == []


def test_a_journal_counts_until_there_is_a_record(folder: RecordFolder, warnings: list[str]) -> None:
    for whose in (owner(), "00000000-1-1"):
        (folder.directory / f"{RUN}.{whose}.journal").write_text(whole_run()[0].line())
    (running,) = find(folder, Query(), warnings.append)
    assert running["outcome"] == "running"
    folder.write(RECORD)
    assert find(folder, Query(), warnings.append) == [RECORD]


def test_a_run_that_ends_while_records_are_read_is_not_lost(tmp_path: Path, warnings: list[str]) -> None:
    class Ending(RecordFolder):
        def journals(self) -> Iterator[Journalled]:
            yield from list(super().journals())
            self.write(RECORD)

    (tmp_path / f"{RUN}.{owner()}.journal").write_text(whole_run()[0].line())
    assert find(Ending(tmp_path, warnings.append), Query(), warnings.append) == [RECORD]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no whole JSON document"),
        (json.dumps(RECORD)[:-1], "no whole JSON document"),
        ("[" * 100_000, "no whole JSON document"),
        ("[]", "no JSON object"),
        (json.dumps({**RECORD, "version": 2}), "it has version 2, and this collection knows versions up to 1"),
        (json.dumps({**RECORD, "operations": None}), "its field 'operations' is missing or of another type"),
        (json.dumps({**RECORD, "id": "other"}), "it says it is the record of other"),
        (json.dumps({**RECORD, "started": "noon"}), "its field 'started' is no time"),
    ],
    ids=["empty", "torn", "deep", "list", "later", "field", "id", "started"],
)
def test_a_broken_file_is_named_and_the_others_are_read(
    folder: RecordFolder, warnings: list[str], text: str, cause: str
) -> None:
    other = {**RECORD, "id": RUN[:-1] + "e"}
    folder.write(other)
    (folder.directory / f"{RUN}.json").write_text(text)
    assert find(folder, Query(), warnings.append) == [other]
    (warning,) = warnings
    assert str(folder.directory / f"{RUN}.json") in warning and cause in warning


@given(changes=st.dictionaries(st.sampled_from(sorted(RECORD)), JSON), query=st.sampled_from(["*", None]))
def test_whatever_stands_in_a_file_it_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], query: str | None
) -> None:
    warnings: list[str] = []
    folder = RecordFolder(tmp_path_factory.mktemp("log"), warnings.append)
    (folder.directory / f"{RUN}.json").write_text(json.dumps({**RECORD, **changes}))
    found = find(folder, Query(playbook=query, context="pod"), warnings.append)
    assert len(found) + len(warnings) <= 1


def test_the_schema_is_where_it_is_said_to_be() -> None:
    assert schema_path() == SCHEMA_FILE
