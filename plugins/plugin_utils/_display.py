# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows progress through Ansible: in place on a terminal, else a line every few seconds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible.utils.display import Display

from ._linux import writes_to_terminal
from .operations._progress import Meter

_TERMINAL_SECONDS = 0.5
_LINES_SECONDS = 5.0
_CLEAR = "\r\x1b[K"


class Mode(Enum):
    """Where progress is shown."""

    AUTO = "auto"
    """In place if the play has one host and Ansible writes to a terminal, else in lines."""
    TERMINAL = "terminal"
    """In one line that is written over."""
    LINES = "lines"
    """A new line each time."""
    NONE = "none"
    """Nowhere."""


def make_meter(action: Any, task_vars: Mapping[str, Any]) -> Meter | None:
    """Return the meter of a task as the variables and the environment ask for it, None for no progress.

    Several hosts at once write lines that begin with the host's name: only whole lines can share a terminal. Raises
    AnsibleError for a setting that is none.
    """

    def setting(name: str) -> Any:
        given = task_vars.get(f"manifold_{name}")
        return os.environ.get(f"MANIFOLD_{name.upper()}") if given is None else action._templar.template(given)

    host = task_vars.get("inventory_hostname", "localhost")
    mode = _mode(setting("progress"), alone=len(task_vars.get("ansible_play_batch") or [host]) <= 1)
    interval = _interval(setting("progress_interval"), mode)
    if mode is Mode.NONE or action._task.no_log:
        return None
    display = Display()
    if mode is Mode.LINES:
        return Meter(lambda text: display.display(f"{host}: {text}"), bytes_to_human, interval)
    width = max(20, display.columns - 1)

    def show(text: str) -> None:
        display.display(f"\r{text[:width]}\x1b[K", screen_only=True, newline=False)

    return Meter(show, bytes_to_human, interval, lambda: display.display(_CLEAR, screen_only=True, newline=False))


def _mode(asked: Any, *, alone: bool) -> Mode:
    try:
        mode = Mode.AUTO if asked is None else Mode(str(asked).lower())
    except ValueError as exc:
        known = ", ".join(each.value for each in Mode)
        raise AnsibleError(f"manifold_progress: '{asked}' is none of {known}") from exc
    if mode is not Mode.AUTO:
        return mode
    # a worker has no terminal of its own; its parent is ansible-playbook
    return Mode.TERMINAL if alone and writes_to_terminal(os.getppid()) else Mode.LINES


def _interval(asked: Any, mode: Mode) -> float:
    if asked is None:
        return _TERMINAL_SECONDS if mode is Mode.TERMINAL else _LINES_SECONDS
    try:
        seconds = float(asked)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise AnsibleError(f"manifold_progress_interval: '{asked}' is not a number of seconds above 0")
    return seconds
