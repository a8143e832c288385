# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened in a run, event by event, as its journal keeps it: one JSON object a line."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


class EventKind(enum.Enum):
    """What an event tells."""

    START = "start"
    BEGUN = "begun"
    """One of our tasks began on a host."""
    OPERATION = "operation"
    """One of our tasks, or an item of its loop, has a result."""
    FAILURE = "failure"
    """Any task failed on a host."""
    NO_HOSTS = "no_hosts"
    END = "end"


_NEEDED: dict[EventKind, dict[str, type | tuple[type, ...]]] = {
    EventKind.START: {"playbook": str, "check_mode": bool},
    EventKind.BEGUN: {"key": str, "task": str, "host": str, "action": str, "check_mode": bool},
    EventKind.OPERATION: {"key": str, "last": bool, "operation": (dict, type(None))},
    EventKind.FAILURE: {"task": str, "host": str, "action": str, "unreachable": bool, "ignored": bool},
    EventKind.NO_HOSTS: {},
    EventKind.END: {"outcome": str},
}


@dataclass(frozen=True)
class Event:
    """One event. ``time`` is ISO 8601 with the offset from UTC."""

    kind: EventKind
    time: str
    data: Mapping[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """Return the event as a line of a journal."""
        return json.dumps({"event": self.kind.value, "time": self.time, **self.data}) + "\n"


def now() -> str:
    """Return the time, as events and records tell it."""
    return datetime.datetime.now().astimezone().isoformat(timespec="milliseconds")


def read_events(text: str) -> tuple[list[Event], int]:
    """Return the events of a journal, and how many of its lines are none: a process was killed while it wrote one."""
    lines = [line for line in text.split("\n") if line]
    events = [event for event in map(_parse, lines) if event is not None]
    return events, len(lines) - len(events)


def _parse(line: str) -> Event | None:
    try:
        data = json.loads(line)
        kind = EventKind(data.pop("event"))
        time = data.pop("time")
        datetime.datetime.fromisoformat(time)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    complete = all(isinstance(data.get(name), kinds) for name, kinds in _NEEDED[kind].items())
    return Event(kind, time, data) if complete else None


def first(events: Iterable[Event], kind: EventKind) -> Event | None:
    """Return the first event of a kind."""
    return next((event for event in events if event.kind is kind), None)
