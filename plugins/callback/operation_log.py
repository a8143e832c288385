# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and the record of a run: what a callback is told in, events out."""

from __future__ import annotations

DOCUMENTATION = r"""
name: operation_log
type: notification
short_description: Keep one JSON record of each run
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - Writes one JSON file per run with its playbook, its outcome, the contexts that were used, what was transferred, and
    the id and the result of each task of this collection. C(docs/schema/operation.json) of the collection is its JSON
    Schema, and M(manifold.core.operation_info) reads, filters and lists the records.
  - The run is journalled as it goes on. The record of a run that was killed is made from its journal by the next run
    in the same directory, with the outcome V(interrupted).
  - Files have the mode 0600. A directory that is missing is made with the mode 0700.
  - A task with C(no_log) appears with its name, its host and its outcome only. Of other tasks the fields that the
    schema names are kept. In their texts is masked what a variable holds whose name is that of a secret, what comes
    from a vault, and what the environment of the task holds.
  - A record never breaks a play. What cannot be written is a warning.
requirements:
  - It must be enabled, for instance with C(callbacks_enabled=manifold.core.operation_log) in C(ansible.cfg).
options:
  directory:
    description:
      - Where records are kept. Several runs may use one directory at once.
      - By default C(manifold/operations) below E(XDG_STATE_HOME), which itself is C(~/.local/state) if not set.
    type: path
    env:
      - name: MANIFOLD_OPERATION_LOG_DIRECTORY
    ini:
      - section: callback_operation_log
        key: directory
  keep_records:
    description: How many records stay when a run has ended, the newest. V(0) for no limit.
    type: int
    default: 1000
    env:
      - name: MANIFOLD_OPERATION_LOG_KEEP_RECORDS
    ini:
      - section: callback_operation_log
        key: keep_records
  keep_days:
    description: For how many days a record stays; older ones are removed when a run has ended. V(0) for no limit.
    type: float
    default: 0
    env:
      - name: MANIFOLD_OPERATION_LOG_KEEP_DAYS
    ini:
      - section: callback_operation_log
        key: keep_days
seealso:
  - module: manifold.core.operation_info
"""

import atexit
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase

from ..plugin_utils.operations import _ansible as facts
from ..plugin_utils.operations._files import RecordFolder, default_directory
from ..plugin_utils.operations._record import OperationOutcome, Outcome
from ..plugin_utils.operations._recorder import Recorder, Retention
from ..plugin_utils.operations._reduce import operation_of

_Method = Callable[..., None]


def _guarded(method: _Method) -> _Method:
    """Let a defect of ours cost the record, never the play or more than one warning."""

    @functools.wraps(method)
    def call(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as exc:
            if not self.flawed:
                self.warn(f"the record of this run is not complete: {type(exc).__name__} in {method.__name__}")
            self.flawed = True

    return call


class CallbackModule(CallbackBase):
    """Turns what Ansible tells into events of a record."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "manifold.core.operation_log"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self.flawed = False
        self._recorder: Recorder | None = None
        self._secrets = facts.SecretFinder()
        self._looping: set[str] = set()
        self._failures = 0
        self._pid = os.getpid()

    def warn(self, text: str) -> None:
        """Show a warning of this plugin."""
        self._display.warning(f"operation_log: {text}")

    def set_play_context(self, play_context: Any) -> None:
        """Learn the passwords that were asked for."""
        self._secrets.add_passwords(play_context)

    @_guarded
    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Begin a record for each playbook of the command line."""
        self._end(Outcome.INTERRUPTED)
        directory = self.get_option("directory")
        folder = RecordFolder(Path(directory or default_directory(os.environ, Path.home())), self.warn)
        retention = Retention(self.get_option("keep_records") or None, self.get_option("keep_days") or None)
        recorder = Recorder(folder, retention, self.warn)
        path = str(Path(playbook._file_name).absolute())
        if recorder.start(path, bool(context.CLIARGS.get("check", False))):
            self._recorder = recorder
            atexit.unregister(self._leave)
            atexit.register(self._leave)

    @_guarded
    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Know whose variables hold secrets."""
        self._secrets.enter(play)

    @_guarded
    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Note a play without hosts."""
        if self._recorder:
            self._recorder.no_hosts()

    @_guarded
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note that a task of ours begins."""
        if self._recorder and facts.is_ours(task):
            name = self._secrets.scrubber(host, task, {}).name(str(task.get_name()))
            key, action = facts.key_of(host, task), facts.action_of(task)
            self._recorder.begun(key, name, host.get_name(), action, bool(task.check_mode))

    @_guarded
    def v2_runner_on_ok(self, result: Any) -> None:
        """Note a success."""
        self._ended(result, OperationOutcome.OK)

    @_guarded
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note a failure."""
        self._ended(result, OperationOutcome.FAILED, ignore_errors)
        self._failed(result, False, ignore_errors)

    @_guarded
    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that a host cannot be reached."""
        self._ended(result, OperationOutcome.UNREACHABLE)
        self._failed(result, True, bool(result.task.ignore_unreachable))

    @_guarded
    def v2_runner_on_skipped(self, result: Any) -> None:
        """Note that a condition did not hold."""
        self._ended(result, OperationOutcome.SKIPPED)

    @_guarded
    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Note the success of an item."""
        self._ended(result, OperationOutcome.OK, item=True)

    @_guarded
    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Note the failure of an item."""
        self._ended(result, OperationOutcome.FAILED, bool(result.task.ignore_errors), item=True)

    @_guarded
    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """Note that a condition did not hold for an item."""
        self._ended(result, OperationOutcome.SKIPPED, item=True)

    @_guarded
    def v2_runner_retry(self, result: Any) -> None:
        """Note an attempt that ``until`` repeats."""
        self._note(result, OperationOutcome.RETRIED, False, last=False)

    @_guarded
    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Put the record in place."""
        failures = sum(stats.failures.values()) + sum(stats.dark.values())
        # Ansible counts on over all playbooks of a command line
        self._end(Outcome.FAILED if failures > self._failures else Outcome.OK)
        self._failures = failures

    def _ended(self, result: Any, outcome: OperationOutcome, ignored: bool = False, item: bool = False) -> None:
        key = facts.key_of(result.host, result.task)
        if item:
            self._looping.add(key)
            self._note(result, outcome, ignored, last=False)
        elif key in self._looping:
            self._looping.discard(key)  # each item was noted
            if self._recorder and facts.is_ours(result.task):
                self._recorder.operation(key, None, last=True)
        else:
            self._note(result, outcome, ignored, last=True)

    def _note(self, result: Any, outcome: OperationOutcome, ignored: bool, last: bool) -> None:
        if self._recorder and facts.is_ours(result.task):
            scrubber = self._secrets.scrubber(result.host, result.task, result.result)
            operation = operation_of(facts.task_run(result, outcome, ignored), scrubber)
            self._recorder.operation(facts.key_of(result.host, result.task), operation, last)

    def _failed(self, result: Any, unreachable: bool, ignored: bool) -> None:
        if self._recorder:
            name = self._secrets.scrubber(result.host, result.task, {}).name(str(result.task.get_name()))
            action = facts.action_of(result.task)
            self._recorder.failure(name, result.host.get_name(), action, unreachable, ignored)

    def _leave(self) -> None:
        """End the record of a run whose end Ansible told nobody of, such as one that was cancelled."""
        if os.getpid() == self._pid:
            self._end(Outcome.INTERRUPTED)

    def _end(self, outcome: Outcome) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder:
            recorder.end(outcome)
