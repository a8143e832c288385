# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's objects as plain values. What is private of ansible-core, and read here, is in this file only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatch
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError
from ansible.playbook.block import Block
from ansible.playbook.handler import Handler
from ansible.playbook.task_include import TaskInclude

from .._no_log import is_hidden
from ._describe import describe, resolves, short_action
from ._events import HostSummary, ItemEnded, PlayStarted, Status, TaskEnded, TasksFound, TaskStarted
from ._plan import Planned
from ._text import Symbols

_LABELS = ("name", "id", "key", "path", "dest")


class Playbook:
    """What is known of the tasks of a play before they run."""

    def __init__(self) -> None:
        self._play: Any = None
        self._variables: Mapping[str, Any] = {}
        self._start_at: str | None = context.CLIARGS.get("start_at_task")

    def begin(self, play: Any) -> PlayStarted:
        """Return the beginning of a play, with the tasks that it will run unless something else happens."""
        self._play = play
        self._variables = play.get_variable_manager().get_vars(play=play)
        tasks = list(self._flatten(play.compile()))
        if self._start_at is not None:
            matching = [place for place, task in enumerate(tasks) if self._is_start(task)]
            tasks = tasks[matching[0] :] if matching else []
            self._start_at = None if matching else self._start_at
        return PlayStarted(play.get_name().strip(), tuple(map(_planned, tasks)), bool(play.check_mode))

    def found(self, host: str, task: Any) -> TasksFound:
        """Return what becomes known when a host comes upon a task that was not."""
        tasks, after = ([task], None) if isinstance(task, Handler) else self._section(task)
        if all(each._uuid != task._uuid for each in tasks):
            tasks = [task]
        return TasksFound(host, _planned(task), tuple(map(_planned, tasks)), after)

    def _section(self, task: Any) -> tuple[list[Any], str | None]:
        """Return the rescue, the always or the block of an include that a task is in, and what that stands behind."""
        child, root, parent = task, task, task._parent
        while parent is not None:
            if isinstance(parent, Block):
                for section in (parent.rescue, parent.always):
                    if _holds(section, child):
                        return list(self._flatten(section)), parent._uuid
                child = parent
                root = parent if parent.block else root
            elif not parent.statically_loaded:
                return list(self._flatten([root])), parent._uuid
            parent = parent._parent
        return [task], None  # such as the gathering of facts

    def _flatten(self, tasks: Iterable[Any]) -> Iterator[Any]:
        """Yield the tasks that run if nothing fails, without those that the chosen tags leave out."""
        for task in tasks:
            if isinstance(task, Block):
                yield from self._flatten(task.block)
            elif not task.implicit and short_action(task.action) != "meta" and self._is_tagged(task):
                yield task

    def _is_tagged(self, task: Any) -> bool:
        try:
            return bool(task.evaluate_tags(self._play.only_tags, self._play.skip_tags, all_vars=self._variables))
        except AnsibleError:  # a tag made of variables that only the include has
            return True

    def _is_start(self, task: Any) -> bool:
        wanted = self._start_at or ""
        return any(name and (name == wanted or fnmatch(name, wanted)) for name in (task.name, task.get_name()))


def started(host: Any, task: Any, symbols: Symbols) -> TaskStarted:
    """Return the start of a task; its arguments are shown as the playbook has them, with expressions unresolved."""
    action = short_action(task.action)
    return TaskStarted(
        host.get_name(),
        task._uuid,
        task.get_name().strip(),
        action if task.no_log else describe(task.action, task.args, symbols),
        prompts=action == "pause",
        reports=action.startswith("manifold.core."),
    )


def ended(result: Any, status: Status, symbols: Symbols, *, ignored: bool = False) -> TaskEnded:
    """Return the end of a task on a host."""
    task = result.task
    return TaskEnded(
        result.host.get_name(),
        task._uuid,
        task.get_name().strip(),
        status,
        result.result,
        what=_what(result, symbols),
        place=_place(result, symbols),
        changed=bool(result.result.get("changed")),
        ignored=ignored,
        rescued=status is Status.FAILED and not ignored and is_rescued(task),
        handler=isinstance(task, Handler),
        debug=short_action(task.action) == "debug",
        check_mode=bool(task.check_mode),
        path=task.get_path(),
    )


def included(host: Any, included_file: Any) -> TaskEnded:
    """Return the end of an include: what it names has been loaded."""
    task = included_file._task
    name = str(included_file._filename).rpartition("/")[2]
    return TaskEnded(
        host.get_name(),
        task._uuid,
        task.get_name().strip(),
        Status.OK,
        what=f"{short_action(task.action)} {name}",
        include=True,
        handler=isinstance(task, Handler),
        check_mode=bool(task.check_mode),
        path=task.get_path(),
    )


def is_include(task: Any) -> bool:
    """Return whether a task is an include that is loaded as the play runs."""
    return isinstance(task, TaskInclude)


def item_ended(result: Any, status: Status) -> ItemEnded:
    """Return the end of one item of a loop."""
    if status is Status.FAILED and result.is_unreachable():
        status = Status.UNREACHABLE
    return ItemEnded(result.host.get_name(), result.task._uuid, _label(result.result), status, result.result)


def summaries(stats: Any) -> tuple[HostSummary, ...]:
    """Return what became of each host."""
    found = []
    for name in sorted(stats.processed):
        counts = stats.summarize(name)
        found.append(
            HostSummary(
                name,
                ok=counts["ok"],
                changed=counts["changed"],
                unreachable=counts["unreachable"],
                failed=counts["failures"],
                skipped=counts["skipped"],
                rescued=counts["rescued"],
                ignored=counts["ignored"],
            )
        )
    return tuple(found)


def is_rescued(task: Any) -> bool:
    """Return whether a block around a task has a rescue for its failure."""
    child, parent = task, task._parent
    while parent is not None:
        if isinstance(parent, Block):
            if parent.rescue and _holds(parent.block, child):
                return True
            child = parent
        elif not parent.statically_loaded:
            child = parent
        parent = parent._parent
    return False


def _holds(tasks: Iterable[Any], child: Any) -> bool:
    return any(task._uuid == child._uuid for task in tasks or [])


def _planned(task: Any) -> Planned:
    ancestors, parent = [], task._parent
    while parent is not None:
        ancestors.append(parent._uuid)
        parent = parent._parent
    return Planned(task._uuid, tuple(reversed(ancestors)), task.get_path() or "")


def _what(result: Any, symbols: Symbols) -> str | None:
    """Return what a task did, now that its arguments are resolved; None to keep what was known before."""
    task = result.task
    if task.no_log or is_hidden(result.result):
        return short_action(task.action)
    if task.loop or not (resolves(task.action) or C.DISPLAY_ARGS_TO_STDOUT):
        return None
    return describe(task.action, task.args, symbols)


def _place(result: Any, symbols: Symbols) -> str | None:
    """Return where a task ran, if that is not its host: the delegate, and the host too if each has its own turn."""
    host, delegate = result.host.get_name(), result.task.delegate_to
    if not delegate or delegate == host or "{{" in str(delegate):
        return None
    return str(delegate) if result.task.run_once is True else f"{host} {symbols.arrow} {delegate}"


def _label(result: Mapping[str, Any]) -> str | None:
    """Return what an item is called. Of a mapping only its name is shown: other keys may be secrets."""
    if is_hidden(result):
        return None
    label = result.get("_ansible_item_label", result.get("item"))
    if isinstance(label, Mapping):
        label = next((label[key] for key in _LABELS if isinstance(label.get(key), (str, int))), None)
    return None if label is None or isinstance(label, (list, tuple)) else str(label)
