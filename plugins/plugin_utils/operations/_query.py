# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading records back: which of them are asked for, and which files are none."""

from __future__ import annotations

import datetime
import fnmatch
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .._owner import this_boot
from ._files import RecordFolder, load
from ._record import VERSION, Outcome, Record

_TEXT = (str, type(None))
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "version": int,
    "id": str,
    "playbook": _TEXT,
    "started": _TEXT,
    "finished": _TEXT,
    "last_event": _TEXT,
    "outcome": str,
    "check_mode": (bool, type(None)),
    "contexts_used": list,
    "transfers": list,
    "operations": list,
    "failed_tasks": list,
    "lost_events": int,
}


class QueryError(ValueError):
    """What is asked for makes no sense; the text names the option."""


@dataclass(frozen=True)
class Query:
    """Which records are wanted; None means any."""

    id: str | None = None
    playbook: str | None = None
    """A path or a file name, with or without its extension; may hold ``*``."""
    outcome: str | None = None
    context: str | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    limit: int | None = None

    def wants(self, record: Record) -> bool:
        """Return whether a record is asked for, ``limit`` aside."""
        started = _moment(record)
        return (
            self.id in (None, record["id"])
            and self.outcome in (None, record["outcome"])
            and (self.playbook is None or _is_playbook(record["playbook"], self.playbook))
            and (self.context is None or self.context in _contexts(record))
            and (self.since is None or started >= self.since)
            and (self.until is None or started <= self.until)
        )


def parse_query(arguments: dict[str, Any]) -> Query:
    """Return the query of a task's arguments; raise QueryError."""
    limit = arguments.get("limit")
    if limit is not None and limit < 1:
        raise QueryError(f"limit: {limit} is not a number of records; use 1 or more, or leave it out for all")
    return Query(
        **{name: arguments.get(name) for name in ("id", "playbook", "outcome", "context")},
        since=_time(arguments.get("since"), "since", datetime.time.min),
        until=_time(arguments.get("until"), "until", datetime.time.max),
        limit=limit,
    )


def find(folder: RecordFolder, query: Query, warn: Any) -> list[Record]:
    """Return the records that are asked for, the newest first; ``warn`` is told of files that are none.

    Raises OSError if the folder cannot be read.
    """
    # journals first: one that is finished in between is then found as a record
    records = {record["id"]: record for record in [*_journalled(folder), *_finished(folder, warn)]}
    wanted = [record for record in records.values() if query.wants(record)]
    return sorted(wanted, key=lambda record: (_moment(record), record["id"]), reverse=True)[: query.limit]


def _journalled(folder: RecordFolder) -> Iterator[Record]:
    boot, now = this_boot(), time.time()
    for journal in folder.journals():
        yield journal.record(Outcome.INTERRUPTED if journal.is_abandoned(boot, now) else Outcome.RUNNING)


def _finished(folder: RecordFolder, warn: Any) -> Iterator[Record]:
    for run, path in folder.records():
        try:
            record = load(path)
        except FileNotFoundError:
            continue  # its time had come
        except (OSError, ValueError, RecursionError) as exc:
            warn(f"{path}: not read as a record: {_cause(exc)}")
            continue
        flaw = _flaw(record, run)
        if flaw:
            warn(f"{path}: not read as a record: {flaw}")
        else:
            yield record


def _cause(exc: Exception) -> str:
    return str(exc.strerror) if isinstance(exc, OSError) else f"it is no whole JSON document ({exc})"


def _flaw(record: Any, run: str) -> str | None:
    """Return what keeps a JSON document from being the record of a run."""
    if not isinstance(record, dict):
        return "it is no JSON object"
    version = record.get("version")
    if isinstance(version, int) and version > VERSION:
        return f"it has version {version}, and this collection knows versions up to {VERSION}"
    wrong = [name for name, kinds in _FIELDS.items() if not isinstance(record.get(name, ...), kinds)]
    if wrong:
        return f"its field '{wrong[0]}' is missing or of another type"
    if record["id"] != run:
        return f"it says it is the record of {record['id']}"
    return None if _started(record) or record["started"] is None else "its field 'started' is no time"


def _started(record: Record) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(record["started"]).astimezone()
    except (ValueError, TypeError):
        return None


def _moment(record: Record) -> datetime.datetime:
    """Return when a run was started; if its journal lost that, what its id says."""
    try:
        return _started(record) or datetime.datetime.strptime(record["id"][:17], "%Y-%m-%d-%H%M%S").astimezone()
    except ValueError:
        return datetime.datetime.fromtimestamp(0).astimezone()


def _time(text: str | None, option: str, of_day: datetime.time) -> datetime.datetime | None:
    if not text:
        return None
    try:
        if len(text) == len("2026-01-14"):
            return datetime.datetime.combine(datetime.date.fromisoformat(text), of_day).astimezone()
        return datetime.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise QueryError(f"{option}: '{text}' is no time; write 2026-01-14 or 2026-01-14T17:02:34+01:00") from None


def _is_playbook(recorded: str | None, wanted: str) -> bool:
    if recorded is None:
        return False
    path = PurePath(recorded)
    return any(fnmatch.fnmatchcase(name, wanted) for name in (recorded, path.name, path.stem))


def _contexts(record: Record) -> Iterable[Any]:
    return [each.get("name") for each in record["contexts_used"] if isinstance(each, dict)]


def schema_path() -> Path:
    """Return where the JSON Schema of a record is in the installed collection."""
    return Path(__file__).resolve().parents[3] / "docs" / "schema" / "operation.json"
