# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands short lists to where they are read as a part of the script.

A pod's step that reads a list needs a second connection, whose end tells it that nobody is there any more; without a
list its own input tells that. Each connection takes about 0.1 s of a processor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ..streams._shell import quote
from ..streams._spec import Step

LONGEST = 16 * 1024
"""Bytes of a list in quotes that are put into a script: it becomes one argument of a program, of at most 128 KiB."""

_READING = "LC_ALL=C\n{printing} | {{\n{script}}}\n"


def inlined(steps: Sequence[Step], is_list: Callable[[Step], bool], takes: Callable[[Step], bool]) -> list[Step]:
    """Return the steps, in which those that read a short list have it in their script.

    ``is_list`` tells whether a step prints a list from a file, its last argument; ``takes`` whether one may get it so.
    """
    short = {step.name: text for step in steps if is_list(step) and (text := _printing(step)) is not None}
    done = [_with(step, short[step.input]) if step.input in short and takes(step) else step for step in steps]
    read = {step.input for step in done}
    return [step for step in done if step.name not in short or step.name in read]


def _printing(step: Step) -> str | None:
    """Return the commands that print the list, None if it is too long."""
    path = Path((step.argv or ())[-1])
    if path.stat().st_size > LONGEST:
        return None
    *ended, rest = path.read_bytes().split(b"\0")
    words = [quote(part.decode(errors="surrogateescape")) for part in (*ended, rest)]
    commands = [" ".join(["printf '%s\\0'", *words[:-1]])] if ended else []
    commands += [f"printf %s {words[-1]}"] if rest or not ended else []
    text = "; ".join(commands)
    return f"{{ {text}; }}" if len(text) <= LONGEST else None


def _with(step: Step, printing: str) -> Step:
    return replace(step, input=None, command=_READING.format(printing=printing, script=step.command))
