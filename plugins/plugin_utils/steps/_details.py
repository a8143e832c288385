# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task's result says to a reader: why it failed, or what it was asked to print."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._no_log import is_hidden
from ._text import clean_lines

Result = Mapping[str, Any]
Dump = Callable[[Result], str]
"""Writes a result out, in the format that the user chose."""

_SAYS_NOTHING = "non-zero return code"
"""What a message of a command comes down to that exited with a status of its own, whatever the version of Ansible."""
_LONG = 70
"""Characters above which a value is laid out over several lines."""
_OUTPUTS = ("stderr", "module_stderr", "stdout", "module_stdout")
_NOT_VARIABLES = {
    "changed",
    "failed",
    "skipped",
    "invocation",
    "skip_reason",
    "ansible_loop_var",
    "ansible_index_var",
    "ansible_loop",
    "item",
    "warnings",
    "deprecations",
    "exception",
    "censored",
    "attempts",
    "retries",
}


def status_of(result: Result) -> str:
    """Return how a failed command ended, such as ``exit status 2``; empty if there is nothing to say."""
    code = result.get("rc")
    return f"exit status {code}" if isinstance(code, int) and code != 0 and not is_hidden(result) else ""


def why_failed(result: Result, tail: int) -> list[str]:
    """Return the reason of a failure: the message, and the last lines of what was printed if that says more."""
    if is_hidden(result):
        return ["no_log hides the reason"]
    message = _message(result)
    lines = clean_lines(message.strip()) if message else []
    if result.get("assertion") is not None:
        lines += clean_lines(f"assertion: {result['assertion']}")
    if not message or _is_command(result):
        lines += _printed(result, message, tail)
    return lines or ([] if status_of(result) else ["it says nothing about why"])


def printed_by_debug(result: Result, dump: Dump) -> list[str]:
    """Return what ``debug`` was asked to show."""
    if is_hidden(result):
        return []
    if "msg" in result:
        return _value_lines("", result["msg"], dump)
    return [
        line
        for name, value in result.items()
        if name not in _NOT_VARIABLES and not name.startswith("_")
        for line in _value_lines(f"{name}: ", value, dump)
    ]


def dumped(result: Result, dump: Dump) -> list[str]:
    """Return all of a result that may be shown, for those who asked for it."""
    return [] if is_hidden(result) else clean_lines(dump(result).strip("\n"))


def _message(result: Result) -> str:
    message = str(result.get("msg") or result.get("reason") or "")
    return "" if _is_command(result) and _SAYS_NOTHING in message else message


def _is_command(result: Result) -> bool:
    return isinstance(result.get("rc"), int) and result["rc"] != 0


def _printed(result: Result, message: str, tail: int) -> list[str]:
    """Return the last lines of the first output that holds anything, and how many are left out."""
    for name in _OUTPUTS:
        value = result.get(name)
        lines = [line for line in clean_lines(value) if line.strip()] if isinstance(value, str) else []
        lines = [line for line in lines if line not in message]
        if lines and tail:
            left_out = len(lines) - tail
            head = [f"({left_out} more lines of {name} above)"] if left_out > 0 else []
            return [*head, *(f"| {line}" for line in lines[-tail:])]
    return []


def _value_lines(label: str, value: Any, dump: Dump) -> list[str]:
    if isinstance(value, str):
        first, *rest = clean_lines(value)
        return [f"{label}{first}", *rest]
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value) and not label:
        return [line for each in value for line in clean_lines(each)]
    if isinstance(value, (dict, list)):
        named = {label.removesuffix(": ") or "msg": value}
        text = dump(named)
        return dumped({**named, "_ansible_verbose_always": True} if len(text) > _LONG else named, dump)
    return [f"{label}{value}"]
