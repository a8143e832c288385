# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows a run as numbered steps; see plugin_utils/steps for what it shows."""

from __future__ import annotations

DOCUMENTATION = r"""
name: steps
type: stdout
short_description: Shows a run as numbered steps, one line for each task and host
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - >-
    Shows each task on each host as one line, such as C([2/5] push: (local) docker push … ✓ (23s\)). The line has the
    number of the step, the name of the task, where it ran, what it did, how it ended and how long it took.
  - The second number is how many tasks of the play are known so far. It grows when an include is loaded, when a
    C(rescue) or C(always) is entered, and when a handler runs.
  - Below a task that failed stand its message and the last lines that it printed.
  - >-
    For commands the command line is shown as it stands in the playbook, with expressions such as C({{ password }}) not
    resolved. The setting C(display_args_to_stdout) of ansible-core resolves them. Of a M(manifold.core.pipeline) the
    programs, contexts and files are shown, of other modules only their names, and with C(no_log) nothing else of any.
  - On a terminal the last line shows what runs now.
requirements:
  - Set C(stdout_callback = manifold.core.steps) in the section C([defaults]) of C(ansible.cfg), or
    E(ANSIBLE_STDOUT_CALLBACK).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  symbols:
    description:
      - V(unicode) marks with C(✓) and C(✗), V(ascii) with C(ok) and C(FAILED).
      - V(auto) is V(unicode) if the encoding of the output has these signs.
    type: str
    choices: [auto, unicode, ascii]
    default: auto
    env:
      - name: ANSIBLE_CALLBACK_STEPS_SYMBOLS
    ini:
      - section: callback_steps
        key: symbols
  output_lines:
    description:
      - How many of the last lines that a command printed on standard error are shown when it fails; of standard output
        if there are none.
    type: int
    default: 10
    env:
      - name: ANSIBLE_CALLBACK_STEPS_OUTPUT_LINES
    ini:
      - section: callback_steps
        key: output_lines
  show_running:
    description:
      - Whether the last line of a terminal shows what runs now. It never does with C(-vvv), or where the output is no
        terminal.
    type: bool
    default: true
    env:
      - name: ANSIBLE_CALLBACK_STEPS_SHOW_RUNNING
    ini:
      - section: callback_steps
        key: show_running
notes:
  - What a command does is shortened so that its line fits the terminal. Without one, E(COLUMNS) or else 120 columns
    are taken.
"""

import os
import shutil
import sys
import time
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase

from ..plugin_utils._no_log import is_hidden
from ..plugin_utils.steps import _ansible as edge
from ..plugin_utils.steps import _text
from ..plugin_utils.steps._events import DiffShown, Event, Retried, RunEnded, Said, Status
from ..plugin_utils.steps._screen import Screen
from ..plugin_utils.steps._view import Line, Settings, Style, View

_COLUMNS = 120
"""The width of an output that is no terminal."""
_COLORS = {
    Style.PLAY: C.COLOR_HIGHLIGHT,
    Style.OK: C.COLOR_OK,
    Style.CHANGED: C.COLOR_CHANGED,
    Style.SKIPPED: C.COLOR_SKIP,
    Style.FAILED: C.COLOR_ERROR,
    Style.UNREACHABLE: C.COLOR_UNREACHABLE,
    Style.IGNORED: C.COLOR_WARN,
    Style.DETAIL: C.COLOR_VERBOSE,
}


class CallbackModule(CallbackBase):
    """The edge between Ansible's events and the view."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "manifold.core.steps"

    def __init__(self) -> None:
        super().__init__()
        self._playbook = edge.Playbook()

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        """Read the settings, and be ready to show."""
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self._symbols = _text.choose(self.get_option("symbols"), sys.stdout.encoding)
        self._view = View(self._settings(), time.monotonic)
        terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb" and self._display.verbosity < 3
        self._screen = Screen(self, live=terminal)
        self._shows_running = terminal and self.get_option("show_running")

    def _settings(self) -> Settings:
        return Settings(
            symbols=self._symbols,
            width=lambda: shutil.get_terminal_size((_COLUMNS, 24)).columns,
            dump=self._dump_results,
            verbosity=self._display.verbosity,
            tail=max(0, self.get_option("output_lines")),
            show_ok=self.get_option("display_ok_hosts"),
            show_skipped=self.get_option("display_skipped_hosts"),
            # an option since ansible-core 2.21
            show_includes=not self.has_option("display_included_hosts") or self.get_option("display_included_hosts"),
            show_start=self.get_option("show_per_host_start"),
            mark_check_mode=self.get_option("check_mode_markers"),
            show_path_on_failure=self.get_option("show_task_path_on_failure"),
            failures_to_stderr=self.get_option("display_failed_stderr"),
        )

    def line(self, line: Line) -> None:
        """Write a line, as the screen asks for it."""
        self._display.display(line.text, color=_COLORS.get(line.style), stderr=line.error)

    def in_place(self, text: str) -> None:
        """Write to the terminal alone, as the screen asks for it."""
        self._display.display(text, screen_only=True, newline=False)
        sys.stdout.flush()

    def _tell(self, event: Event) -> None:
        lines = self._view.handle(event)
        self._screen.show(lines, self._view.status() if self._shows_running else "")

    def _warn(self, result: Any) -> None:
        """Show warnings as every callback does; with -v also the error with its place in the playbook."""
        if any(result.result.get(key) for key in ("warnings", "deprecations", "exception")):
            self._screen.clear()
        if self._display.verbosity and not is_hidden(result.result) and not result.task.no_log:
            self._handle_warnings_and_exception(result)
        else:
            self._handle_warnings(result.result)

    def _ended(self, result: Any, status: Status, ignored: bool = False) -> None:
        self._warn(result)
        self._tell(edge.ended(result, status, self._symbols, ignored=ignored))

    def _item_ended(self, result: Any, status: Status) -> None:
        self._warn(result)
        self._tell(edge.item_ended(result, status))

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play, or the next batch of its hosts, begins."""
        self._tell(self._playbook.begin(play))

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """A host starts a task."""
        if not self._view.knows(task._uuid):
            self._view.handle(self._playbook.found(host.get_name(), task))
        self._tell(edge.started(host, task, self._symbols))

    def v2_runner_on_ok(self, result: Any) -> None:
        """A task succeeded; an include has only said what is to be loaded."""
        if not edge.is_include(result.task):
            self._ended(result, Status.OK)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A task failed, whether or not that is ignored."""
        self._ended(result, Status.FAILED, ignore_errors)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """A task's condition did not hold."""
        self._ended(result, Status.SKIPPED)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """A host could not be reached."""
        self._ended(result, Status.UNREACHABLE, bool(result.task.ignore_unreachable))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """An item of a loop succeeded."""
        self._item_ended(result, Status.OK)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """An item of a loop failed, or its host could not be reached."""
        self._item_ended(result, Status.FAILED)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """An item of a loop was skipped."""
        self._item_ended(result, Status.SKIPPED)

    def v2_runner_retry(self, result: Any) -> None:
        """One of several attempts was not enough."""
        done = result.result
        self._tell(
            Retried(result.host.get_name(), result.task._uuid, done.get("attempts", 1), done.get("retries", 1), done)
        )

    def v2_runner_on_async_poll(self, result: Any) -> None:
        """A task in the background is still running."""
        if self._display.verbosity:
            job = result.result.get("ansible_job_id")
            self._tell(Said(f"{result.host.get_name()}: job {job} is still running"))

    def v2_on_file_diff(self, result: Any) -> None:
        """A task changed something and can show it; its line comes afterwards."""
        if result.result.get("diff") and result.result.get("changed"):
            text = self._get_diff(result.result["diff"])
            if text:
                self._tell(DiffShown(result.host.get_name(), result.task._uuid, text))

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """A file or a role was loaded."""
        for host in included_file._hosts:
            if self._view.runs(host.get_name(), included_file._task._uuid):
                self._tell(edge.included(host, included_file))

    def v2_playbook_on_notify(self, handler: Any, host: Any) -> None:
        """A task asks for a handler."""
        if self._display.verbosity > 1:
            self._tell(Said(f"{host.get_name()}: handler {handler.get_name()} will run"))

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """The hosts of a play are not in the inventory."""
        self._tell(Said("skipped: no hosts matched", important=True))

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Every host failed."""
        self._tell(Said("no hosts left", important=True))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """All plays are over."""
        self._tell(RunEnded(edge.summaries(stats), bool(context.CLIARGS.get("check"))))
        if stats.custom and self.get_option("show_custom_stats"):
            for name in sorted(stats.custom):
                label = "run" if name == "_run" else name
                self._tell(Said(f"{label}: {self._dump_results(stats.custom[name]).strip()}"))
