# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task does, in a few words, from its module and its arguments.

Arguments of modules that do not run commands are never shown: which of them are secret, only the module knows.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ._text import Symbols, one_line

_BUILTIN = ("ansible.builtin.", "ansible.legacy.")
_COMMANDS = {"command", "shell", "raw", "script", "ansible.windows.win_command", "ansible.windows.win_shell"}
_PIPELINE = {"manifold.core.pipeline", "pipeline"}
_TRANSFER = {"manifold.core.transfer", "transfer"}
_INCLUDES = {"include_tasks": ("_raw_params", "file"), "include_role": ("name", "role")}
_EXPRESSION = re.compile(r"{{.*?}}", re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def short_action(action: str) -> str:
    """Return a module's name as people write it: without ``ansible.builtin``."""
    for prefix in _BUILTIN:
        if action.startswith(prefix):
            return action[len(prefix) :]
    return action


def describe(action: str, arguments: Mapping[str, Any], symbols: Symbols) -> str:
    """Return a task's command, chain of steps, or module; it is one line."""
    module = short_action(action)
    if module in _COMMANDS:
        return one_line(_command(arguments)) or module
    if action in _PIPELINE:
        return _chain(arguments.get("steps"), symbols) or "pipeline"
    if action in _TRANSFER:
        src, dest = _end(arguments.get("src")), _end(arguments.get("dest"))
        return one_line(f"{src} {symbols.arrow} {dest}") if src and dest else "transfer"
    for key in _INCLUDES.get(module, ()):
        if isinstance(arguments.get(key), str):
            return one_line(f"{module} {arguments[key]}")
    return module


def resolves(action: str) -> bool:
    """Return whether what is shown of an action can be shown with its expressions resolved, whatever they hold.

    Of a pipeline only programs' names, contexts and files are shown; a command line may hold a secret anywhere. Of a
    transfer only its ends are.
    """
    return action in _PIPELINE or action in _TRANSFER


def _end(end: Any) -> str:
    """Return an end of a transfer as a user writes it, without the context where that is this machine."""
    if isinstance(end, Mapping):
        place = str(end.get("pod") or "") + (f"/{end['container']}" if end.get("container") else "")
        end = ":".join(str(each) for each in (end.get("context"), place, end.get("path")) if each)
    return end.removeprefix("local:") if isinstance(end, str) else ""


def _command(arguments: Mapping[str, Any]) -> str:
    argv = arguments.get("argv")
    if isinstance(argv, Sequence) and not isinstance(argv, str):
        return " ".join(_quoted(str(word)) for word in argv)
    return str(arguments.get("_raw_params") or arguments.get("cmd") or "")


def _quoted(word: str) -> str:
    return word if "{{" in word else shlex.quote(word)


def _chain(steps: Any, symbols: Symbols) -> str:
    """Return the steps of a pipeline: ``tar @k8s-prod | zstd | → backup-server:/backups/x``."""
    if not isinstance(steps, Sequence) or isinstance(steps, str):
        return ""
    chain, before = "", ""
    for step in steps:
        if not isinstance(step, Mapping):
            return ""
        follows = step.get("input") in (None, before)
        chain += (" | " if follows else ", ") if chain else ""
        chain += _step(step, symbols)
        before = str(step.get("name", ""))
    return one_line(chain)


def _step(step: Mapping[str, Any], symbols: Symbols) -> str:
    context = str(step.get("context") or "")
    elsewhere = context not in ("", "local")
    for key, sign in (("src", ""), ("dest", f"{symbols.arrow} ")):
        if step.get(key):
            return f"{sign}{context}:{step[key]}" if elsewhere else f"{sign}{step[key]}"
    program = "kubectl" if step.get("kubectl") else _program(step)
    return f"{program} @{context}" if elsewhere else program


def _program(step: Mapping[str, Any]) -> str:
    argv = step.get("argv")
    if isinstance(argv, Sequence) and not isinstance(argv, str) and argv:
        return str(argv[0])
    return first_word(str(step.get("command") or ""))


def first_word(command: str) -> str:
    """Return the program that a command line begins with, never a value that is assigned before it."""
    expressions: list[str] = []

    def stand_in(match: re.Match[str]) -> str:
        expressions.append(match.group())
        return f"\x00{len(expressions) - 1}\x00"

    try:
        words = shlex.split(_EXPRESSION.sub(stand_in, command))
    except ValueError:
        return "sh"
    word = next((word for word in words if not _ASSIGNMENT.match(word)), "sh")
    return re.sub("\x00(\\d+)\x00", lambda match: expressions[int(match.group(1))], word)
