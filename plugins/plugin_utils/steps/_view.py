# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events in, lines out: what a user sees of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from .._no_log import is_hidden
from ._details import Dump, dumped, printed_by_debug, status_of, why_failed
from ._events import (
    DiffShown,
    Event,
    HostSummary,
    ItemEnded,
    PlayStarted,
    Retried,
    RunEnded,
    Said,
    Status,
    TaskEnded,
    TasksFound,
    TaskStarted,
)
from ._plan import Plan
from ._text import Symbols, columns, cut, duration, one_line, shorten

_INDENT = "      "
_NAMED_FAILURES = 3
"""How many failed tasks of a host the recap names."""


class Style(Enum):
    """What a line means, for its colour."""

    PLAIN = auto()
    PLAY = auto()
    OK = auto()
    CHANGED = auto()
    SKIPPED = auto()
    FAILED = auto()
    UNREACHABLE = auto()
    IGNORED = auto()
    DETAIL = auto()


@dataclass(frozen=True)
class Line:
    """A line for the screen."""

    text: str
    style: Style = Style.PLAIN
    error: bool = False
    """Whether it belongs to standard error."""


@dataclass(frozen=True)
class Settings:
    """How the user wants it."""

    symbols: Symbols
    width: Callable[[], int]
    """Columns of the terminal, asked for each line."""
    dump: Dump
    verbosity: int = 0
    tail: int = 10
    """How many lines of its output a failed command is quoted with."""
    show_ok: bool = True
    show_skipped: bool = True
    show_includes: bool = True
    show_start: bool = False
    mark_check_mode: bool = False
    show_path_on_failure: bool = False
    failures_to_stderr: bool = False


@dataclass
class _Running:
    """A task on a host, from its start to its end."""

    head: TaskStarted
    entry: str
    started: float
    items: list[ItemEnded] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)
    attempt: int = 1


class View:
    """One run as its user sees it.

    :param clock: seconds, from any beginning.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._began = clock()
        self._plan = Plan()
        self._plays = 0
        self._check_mode = False
        self._running: dict[tuple[str, str], _Running] = {}
        self._failures: dict[str, list[str]] = {}

    def knows(self, task: str) -> bool:
        """Return whether a task has a number; if not, an event has to tell about it before it starts."""
        return self._plan.knows(task)

    def runs(self, host: str, task: str) -> bool:
        """Return whether a host is at a task."""
        return (host, task) in self._running

    def handle(self, event: Event) -> list[Line]:
        """Take an event in and return the lines to write for it."""
        match event:
            case PlayStarted():
                return self._play(event)
            case TasksFound(host, task, tasks, after):
                self._plan.found(host, task, tasks, after)
            case TaskStarted():
                return self._start(event)
            case Retried():
                return self._retry(event)
            case ItemEnded():
                if running := self._running.get((event.host, event.task)):
                    running.items.append(event)
            case DiffShown():
                if running := self._running.get((event.host, event.task)):
                    running.diffs.append(event.text)
            case TaskEnded():
                return self._end(event)
            case Said(text, important):
                return [Line(text, Style.SKIPPED if important else Style.DETAIL)]
            case RunEnded():
                return self._recap(event)
        return []

    def status(self) -> str:
        """Return what runs now, in one line of the terminal; empty if nothing does or somebody else writes there."""
        running = list(self._running.values())
        if not running or any(each.head.prompts for each in running):
            return ""
        if len(running) > 1 and any(each.head.reports for each in running):
            return ""
        latest = running[-1]
        others = [each.head.host for each in running if each.head.task == latest.head.task]
        hosts = ", ".join(others[:3]) + (f", +{len(others) - 3}" if len(others) > 3 else "")
        done = f"{_count(latest.items)} done" if latest.items else ""
        again = f"attempt {latest.attempt}" if latest.attempt > 1 else ""
        so_far = ", ".join(filter(None, [done, again]))
        text = self._line(latest.entry, latest.head.name, hosts, latest.head.what, f"({so_far})" if so_far else "")
        return cut(text, max(1, self._settings.width() - 1))

    def _play(self, event: PlayStarted) -> list[Line]:
        self._plan = Plan(event.tasks)
        self._running.clear()
        self._check_mode = event.check_mode
        self._plays += 1
        note = " (check mode)" if event.check_mode else ""
        before = [Line("")] if self._plays > 1 else []
        return [*before, Line(f"{one_line(event.name)}{note}", Style.PLAY)]

    def _start(self, event: TaskStarted) -> list[Line]:
        entry = self._plan.start(event.host, event.task)
        self._running[event.host, event.task] = _Running(event, entry, self._clock())
        if not self._settings.show_start:
            return []
        return [Line(self._line(entry, event.name, event.host, event.what, "started"), Style.DETAIL)]

    def _retry(self, event: Retried) -> list[Line]:
        running = self._running.get((event.host, event.task))
        if running is None:
            return []
        running.attempt = event.attempt + 1
        if not self._settings.verbosity:
            return []
        result = f"attempt {event.attempt} of {event.attempts} was not enough"
        lines = [Line(self._line(running.entry, running.head.name, event.host, "", result), Style.DETAIL)]
        if self._settings.verbosity > 1:
            lines += self._below(dumped(event.result, self._settings.dump), Style.DETAIL)
        return lines

    def _end(self, event: TaskEnded) -> list[Line]:
        running = self._running.pop((event.host, event.task), None)
        if running is None:  # an include that was loaded and then found to be wrong
            entry = self._plan.start(event.host, event.task) if self.knows(event.task) else ""
            head = TaskStarted(event.host, event.task, event.name, event.what or "")
            running = _Running(head, entry, self._clock())
        failed = event.status in (Status.FAILED, Status.UNREACHABLE)
        if failed and not event.ignored and not event.rescued:
            self._failures.setdefault(event.host, []).append(one_line(event.name))
        if not self._is_shown(event, running):
            return []
        error = failed and self._settings.failures_to_stderr
        style = _style(event)
        what = running.head.what if event.what is None else event.what
        name = f"handler {event.name}" if event.handler else event.name
        place = event.place or event.host
        lines = [Line(self._line(running.entry, name, place, what, self._outcome(event, running)), style)]
        lines += self._details(event, running, Style.PLAIN if event.status is Status.OK else style)
        return [Line(line.text, line.style, error) for line in lines]

    def _is_shown(self, event: TaskEnded, running: _Running) -> bool:
        if event.status is Status.SKIPPED:
            return self._settings.show_skipped
        if event.include and event.status is Status.OK:
            return self._settings.show_includes and self._settings.show_ok
        if event.status is Status.OK and not event.changed and not running.diffs:
            return self._settings.show_ok
        return True

    def _outcome(self, event: TaskEnded, running: _Running) -> str:
        """Return how it ended: ``✓ (23s)``, ``✗ ignored (2s) exit status 1``."""
        symbols = self._settings.symbols
        notes = self._notes(event, running)
        if event.status is Status.SKIPPED:
            return f"{symbols.skipped} skipped" + (f" ({notes})" if notes else "")
        took = duration(self._clock() - running.started)
        within = f"({', '.join(filter(None, [took, notes]))})"
        if event.status is Status.OK:
            return f"{symbols.ok} {within}"
        words = [symbols.failed]
        words += ["unreachable"] if event.status is Status.UNREACHABLE else []
        words += ["ignored"] if event.ignored else []
        words += [within, *filter(None, [status_of(event.result)])]
        return " ".join(words) + (", rescue follows" if event.rescued else "")

    def _notes(self, event: TaskEnded, running: _Running) -> str:
        notes = []
        attempts = event.result.get("attempts")
        if isinstance(attempts, int) and attempts > 1:
            notes.append(f"{attempts} attempts")
        if running.items and event.status is not Status.SKIPPED:
            notes.append(_count(running.items))
        if event.check_mode and (self._settings.mark_check_mode or not self._check_mode):
            notes.append("check mode")
        elif self._check_mode and not event.check_mode:
            notes.append("not in check mode")
        return ", ".join(notes)

    def _details(self, event: TaskEnded, running: _Running, style: Style) -> list[Line]:
        """Return what stands below a task's line."""
        lines: list[str] = []
        failed = event.status in (Status.FAILED, Status.UNREACHABLE)
        verbose = self._settings.verbosity > 0
        if event.path and (self._settings.verbosity > 1 or (failed and self._settings.show_path_on_failure)):
            lines.append(f"at {event.path}")
        if event.debug and event.status is Status.OK:
            for result in [item.result for item in running.items if item.status is Status.OK] or [event.result]:
                lines += printed_by_debug(result, self._settings.dump)
        for number, item in enumerate(running.items, 1):
            lines += self._item(number, item, verbose and not event.debug)
        bad = any(item.status in (Status.FAILED, Status.UNREACHABLE) for item in running.items)
        if failed and not bad:
            lines += why_failed(event.result, self._settings.tail)
        if verbose and not event.debug and not running.items and not event.result.get("_ansible_verbose_override"):
            lines += dumped(event.result, self._settings.dump)
        diffs = [text for diff in running.diffs for text in diff.rstrip("\n").split("\n")]
        return [*self._below(lines, style), *self._below(diffs, Style.PLAIN)]

    def _item(self, number: int, item: ItemEnded, verbose: bool) -> list[str]:
        """Return what is said of one item: why it failed, and everything for those who ask for it."""
        failed = item.status in (Status.FAILED, Status.UNREACHABLE)
        if not failed and not verbose:
            return []
        label = f"item {number}" if item.label is None or is_hidden(item.result) else f"item {one_line(item.label)}"
        ending = status_of(item.result) or item.status.value
        lines = [f"{label}: {ending}"]
        if failed:
            lines += [f"  {line}" for line in why_failed(item.result, self._settings.tail)]
        if verbose:
            lines += [f"  {line}" for line in dumped(item.result, self._settings.dump)]
        return lines

    def _below(self, lines: list[str], style: Style) -> list[Line]:
        return [Line(f"{_INDENT}{text}".rstrip(), style) for text in lines]

    def _line(self, entry: str, name: str, place: str, what: str, outcome: str) -> str:
        """Return a step's line; what it does is shortened to what the terminal has room for."""
        number = f"[{self._plan.number(entry)}/{self._plan.total}] " if entry else ""
        head = f"{number}{one_line(name)}: ({place})"
        tail = f" {outcome}" if outcome else ""
        if not what or what == name:
            return head + tail
        room = self._settings.width() - columns(head) - columns(tail) - 1
        short = shorten(what, room, self._settings.symbols.ellipsis)
        return f"{head} {short}{tail}" if short else head + tail

    def _recap(self, event: RunEnded) -> list[Line]:
        note = ", check mode" if event.check_mode else ""
        lines = [Line(""), Line(f"Recap ({duration(self._clock() - self._began)}{note})", Style.PLAY)]
        return lines + [self._summary(host) for host in event.hosts]

    def _summary(self, host: HostSummary) -> Line:
        bad = host.failed or host.unreachable
        counts: Mapping[str, int] = {
            "ok": host.ok,
            "changed": host.changed,
            "skipped": host.skipped,
            "rescued": host.rescued,
            "ignored": host.ignored,
            "unreachable": host.unreachable,
            "failed": host.failed,
        }
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing ran"
        names = self._failures.get(host.name, []) if bad else []
        more = f" and {len(names) - _NAMED_FAILURES} more" if len(names) > _NAMED_FAILURES else ""
        named = f": {', '.join(names[:_NAMED_FAILURES])}{more}" if names else ""
        mark = self._settings.symbols.failed if bad else self._settings.symbols.ok
        style = Style.FAILED if bad else Style.CHANGED if host.changed else Style.OK
        return Line(f"{mark} {host.name}: {told}{named}", style)


def _style(event: TaskEnded) -> Style:
    if event.ignored:
        return Style.IGNORED
    return {
        Status.FAILED: Style.FAILED,
        Status.UNREACHABLE: Style.UNREACHABLE,
        Status.SKIPPED: Style.SKIPPED,
        Status.OK: Style.CHANGED if event.changed else Style.OK,
    }[event.status]


def _count(items: list[ItemEnded]) -> str:
    """Return how many items there were, and how many of them did not end well or were not run."""
    failed = sum(item.status in (Status.FAILED, Status.UNREACHABLE) for item in items)
    skipped = sum(item.status is Status.SKIPPED for item in items)
    noun = "item" if len(items) == 1 else "items"
    told = f"{failed} of {len(items)} {noun} failed" if failed else f"{len(items)} {noun}"
    return f"{told}, {skipped} skipped" if skipped else told
