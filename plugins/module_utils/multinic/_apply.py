# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a plan, group by group; a group that fails is undone alone and the others go on."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.manifold.core.plugins.module_utils.multinic import _files as files
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import observe_links
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Group, Plan, Target
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import (
    Command,
    Move,
    RemoveFile,
    Step,
    WriteFile,
    link_steps,
    state_of,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System
from ansible_collections.manifold.core.plugins.module_utils.multinic._view import View


@dataclass(frozen=True)
class Failure:
    """A target that could not be changed, and why."""

    target: Target
    reason: str


def apply(system: System, plan: Plan) -> tuple[Failure, ...]:
    """Carry out a plan; return what did not work, which is as it was before (or its reason says that it is not)."""
    failures: list[Failure] = []
    for group in plan.groups:
        reason = _attempt(system, group, plan.before)
        if reason is not None:
            failures += [Failure(target, reason) for target in group.targets]
    return tuple(failures)


def perform(system: System, step: Step) -> None:
    """Take one step. :raises NodeError: it did not work; the text names the step."""
    if isinstance(step, Command):
        system.checked(step.argv)
        return
    try:
        if isinstance(step, WriteFile):
            files.write(system.path(step.file.path), step.file.content.encode(), step.file.mode)
        else:
            files.remove(system.path(step.path))
    except OSError as exc:
        raise NodeError(f"{step}: {exc.strerror or exc}") from exc


def _attempt(system: System, group: Group, before: View) -> str | None:
    """Take the steps of a group; after a failure undo them and return the reason."""
    try:
        for step in group.steps:
            perform(system, step)
    except NodeError as exc:
        problems = _undo(system, group, before)
        undone = f"; undoing it failed as well: {'; '.join(problems)}" if problems else ""
        return f"{exc}{undone}"
    return None


def _undo(system: System, group: Group, before: View) -> list[str]:
    """Make the links and files of a group what they were; return what did not work."""
    problems: list[str] = []
    for step in [*_file_steps(group, before), *_link_steps(system, group, problems)]:
        try:
            perform(system, step)
        except NodeError as exc:
            problems.append(str(exc))
    return problems


def _file_steps(group: Group, before: View) -> list[Step]:
    """Return the steps that put files back."""
    steps: list[Step] = []
    for step in group.steps:
        if isinstance(step, Command):
            continue
        path = step.file.path if isinstance(step, WriteFile) else step.path
        old = before.files.get(path)
        steps.append(RemoveFile(path) if old is None else WriteFile(ConfigFile(path, old[1], old[0])))
    return steps


def _link_steps(system: System, group: Group, problems: list[str]) -> list[Step]:
    """Return the steps that make links what they were, from what they are now."""
    try:
        links = observe_links(system)
    except NodeError as exc:
        problems.append(str(exc))
        return []
    was = {target.move.link.index: target.move.link for target in group.targets if target.move is not None}
    moves = [Move(link, state_of(was[link.index])) for link in links if link.index in was]
    return link_steps(moves, {link.name for link in links})
