# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible knows of a task that a record needs: who ran, where, how it ended, and which secrets were near it.

The one place of this domain that knows Ansible's variables and the private tags of its strings; it is tested on every
ansible-core that the collection supports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible._internal._datatag._tags import Origin, VaultedValue
from ansible.parsing.vault import EncryptedString
from ansible.plugins.loader import callback_loader
from ansible.template import Templar

from .._no_log import is_hidden
from ._record import OperationOutcome
from ._reduce import TaskRun
from ._scrub import Scrubber, Silencer
from ._secrets import secrets_in

_OURS = "manifold.core."
_ATTEMPTS = 3
_CALLBACK = "manifold.core.operation_log"


def configured_directory() -> str | None:
    """Return the directory that the callback is configured to write to, whether or not it is enabled."""
    callback = callback_loader.get(_CALLBACK)
    callback.set_options()
    directory: str | None = callback.get_option("directory")
    return directory


def action_of(task: Any) -> str:
    """Return the full name of a task's action."""
    return str(getattr(task, "resolved_action", None) or task.action)


def is_ours(task: Any) -> bool:
    """Return whether a task is one of this collection."""
    return action_of(task).startswith(_OURS)


def key_of(host: Any, task: Any) -> str:
    """Return what tells a task on a host from every other of the run."""
    return f"{task._uuid} {host.get_name()}"


def hides(result: Any) -> bool:
    """Return whether a result is hidden by ``no_log``."""
    return bool(result.task.no_log) or is_hidden(result.result)


def task_run(result: Any, outcome: OperationOutcome, ignored: bool) -> TaskRun:
    """Return what a callback is told of a task."""
    task = result.task
    return TaskRun(
        action=action_of(task),
        task=str(task.get_name()),
        host=result.host.get_name(),
        outcome=outcome,
        delegated_to=str(task.delegate_to) if task.delegate_to else None,
        check_mode=bool(task.check_mode),
        no_log=hides(result),
        ignored=ignored,
        result=result.result,
    )


class SecretFinder:
    """Finds the secrets that a text of a task may quote."""

    def __init__(self) -> None:
        self._play: Any = None
        self._prompted: set[str] = set()
        self._known: set[str] = set()
        self._vault_files: dict[str, bool] = {}

    def enter(self, play: Any) -> None:
        """Begin with a play."""
        self._play = play
        self._prompted = {each["name"] for each in play.vars_prompt or [] if each.get("private", True)}

    def add_passwords(self, play_context: Any) -> None:
        """Take note of what was asked for at the command line (``--ask-pass``, ``--ask-become-pass``)."""
        for value in (play_context.password, play_context.become_pass):
            if value:
                self._known.add(str(value))

    def scrubber(self, host: Any, task: Any, result: Mapping[str, Any]) -> Scrubber:
        """Return what takes the secrets of a task, its host and the contexts of its steps out of texts."""
        for _attempt in range(_ATTEMPTS):
            try:
                return self._scrubber(host, task, result)
            except Exception:  # variables may change under our hands, and a plugin of a user may raise anything
                continue
        return Silencer()

    def _scrubber(self, host: Any, task: Any, result: Mapping[str, Any]) -> Scrubber:
        environments = list(_environments(task))
        for each, of_task in self._hosts(host, task, result):
            variables = self._play.get_variable_manager().get_vars(play=self._play, host=each, task=of_task)
            self._known |= self._secrets_of(variables, environments)
        values = {str(value) for environment in environments for value in environment.values()}
        return Scrubber(self._known, values)

    def _secrets_of(self, variables: Mapping[str, Any], environments: Iterable[Mapping[str, Any]]) -> set[str]:
        templar = Templar(loader=self._play.get_loader(), variables=variables)

        def resolve(value: Any) -> Any:
            try:
                return str(value) if isinstance(value, EncryptedString) else templar.template(value)
            except Exception:  # the task could not use it either
                return None

        found = set(secrets_in(variables, resolve, self._is_vaulted))
        for environment in environments:
            found |= set(secrets_in(environment, resolve, self._is_vaulted))
        return found | {str(value) for name, value in variables.items() if name in self._prompted}

    def _hosts(self, host: Any, task: Any, result: Mapping[str, Any]) -> Iterable[tuple[Any, Any]]:
        """Return the hosts whose secrets may be quoted, each with the task if its variables reach there."""
        inventory = self._play.get_variable_manager()._inventory
        steps = [*_steps(result), *_steps(task.args)]
        named = {str(step.get("context")) for step in steps} | {str(task.delegate_to), *_contexts(task.args)}
        known = [inventory.get_host(name) for name in sorted(named - {host.get_name()})]
        return [(host, task), *((each, None) for each in known if each is not None)]

    def _is_vaulted(self, value: Any) -> bool:
        if isinstance(value, EncryptedString) or VaultedValue.is_tagged_on(value):
            return True
        origin = Origin.get_tag(value) if isinstance(value, str) else None
        return origin is not None and origin.path is not None and self._is_vault_file(origin.path)

    def _is_vault_file(self, path: str) -> bool:
        if path not in self._vault_files:
            try:
                with Path(path).open("rb") as stream:
                    self._vault_files[path] = stream.read(14) == b"$ANSIBLE_VAULT"
            except OSError:
                self._vault_files[path] = False
        return self._vault_files[path]


def _steps(source: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    steps = source.get("steps") if isinstance(source, Mapping) else None
    return [step for step in steps if isinstance(step, Mapping)] if isinstance(steps, list) else []


def _contexts(arguments: Any) -> list[str]:
    """Return the contexts of the ends of a transfer, ``context:path`` or mappings."""
    if not isinstance(arguments, Mapping):
        return []
    ends = [arguments.get(key) for key in ("src", "dest")]
    return [
        str(end.get("context")) if isinstance(end, Mapping) else end.partition(":")[0]
        for end in ends
        if isinstance(end, (str, Mapping))
    ]


def _environments(task: Any) -> Iterable[Mapping[str, Any]]:
    given = task.environment if isinstance(task.environment, list) else [task.environment]
    of_steps = (step.get("environment") for step in _steps(task.args))
    return [each for each in (*given, *of_steps) if isinstance(each, Mapping)]
