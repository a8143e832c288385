# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipeline is asked to do: its steps, read from what a user wrote and checked as a whole."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, BinaryIO

from .._nearest import nearest
from ._extents import Extent

CONTEXT_PARAMETERS = ("context", "pod", "container", "become", "become_user")
_COMMAND_ONLY = ("environment", "chdir", "ok_codes", "proof", "repeatable")
_SINK_ONLY = ("mode", "owner", "group", "create_parents")
_WHAT = ("command", "argv", "kubectl", "src", "dest")
_KEYS = ("name", "input", "buffer", *CONTEXT_PARAMETERS, *_WHAT, *_COMMAND_ONLY, *_SINK_ONLY)
_NOT_WITH_KUBECTL = ("pod", "container", "become", "become_user")
_SAID_BY_CONTEXT = tuple(
    f"--{option}" for option in ["kubeconfig", "context", "cluster", "server", "user", "username", "password", "token"]
)
"""Options of kubectl that would take a step elsewhere, or put a secret into an argument list."""
_MODE = re.compile(r"[0-7]{3,4}|[ugoa]*[-+=][rwxXst]*(,[ugoa]*[-+=][rwxXst]*)*")
_LONGEST = 120_000  # Linux takes 128 KiB (MAX_ARG_STRLEN), and quoting adds to it
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT])?(?:i?B)?", re.IGNORECASE)
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./+@%:,-]+")
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELL_WORDS = frozenset(("if", "for", "while", "until", "case", "exec", "eval", "set", "export", "test", "time", "."))


class StepKind(Enum):
    """What a step is."""

    COMMAND = "command"
    SOURCE = "source"
    """A file that is read."""
    SINK = "sink"
    """A file that is written."""


_KIND_OF = {
    "command": StepKind.COMMAND,
    "argv": StepKind.COMMAND,
    "kubectl": StepKind.COMMAND,
    "src": StepKind.SOURCE,
    "dest": StepKind.SINK,
}
"""The key that makes a step what it is."""


class SpecError(Exception):
    """A pipeline is not described correctly; the text names the step and says what to write instead."""


@dataclass(frozen=True)
class Step:
    """One step of a pipeline."""

    name: str
    kind: StepKind
    context: str | None = None
    """The context's name; None for the task's own host."""
    argv: tuple[str, ...] | None = None
    command: str | None = None
    """A line for ``sh -c``."""
    kubectl: tuple[str, ...] | None = None
    """The words behind ``kubectl``, which runs on the controller."""
    pod: str | None = None
    """The pod instead of the context's own, by its name or by a workload's."""
    container: str | None = None
    src: str | None = None
    dest: str | None = None
    input: str | None = None
    """The name of the step it reads from; None for the first."""
    buffer: int | None = None
    """Bytes of its input that may wait for it in memory."""
    mode: str | None = None
    owner: str | None = None
    group: str | None = None
    create_parents: bool = False
    bare: bool = False
    """Whether the program is run without a shell, and believed by its transport's exit status alone."""
    repeatable: bool = False
    """Whether running it twice does no harm."""
    environment: Mapping[str, str] = field(default_factory=dict)
    chdir: str | None = None
    become: bool | None = None
    become_user: str | None = None
    ok_codes: tuple[int, ...] = (0,)
    mtime: int | None = None
    """When a sink's file was changed last, in seconds since 1970; None for the time it is written."""
    output: BinaryIO | None = field(default=None, compare=False)
    """Where what a command prints goes, all of it, if no step reads it; what the file held before is cut off."""
    state: str | None = None
    """What has to be said of a source before and after it is read (_ranges.py), or the beginning of that."""
    extents: tuple[Extent, ...] | None = None
    """Which parts of its file a source prints, or a sink writes."""
    partial: str | None = None
    """Whose temporary a sink with extents writes to. It is the caller's to commit, and stays whatever happens."""
    counts: bool = True
    """Whether a command counts its input where the transport may lose the end of it; else somebody else has to see."""
    ends_alone: bool = False
    """Whether a command whose input is cut does no harm, and ends by itself; else it is ended with its connection."""
    sparse: bool = False
    """Whether a sink with extents makes holes of zeros."""

    @property
    def program(self) -> str | None:
        """The program that has to be there before anything starts, where it can be told from the command."""
        if self.argv:
            return self.argv[0]
        if self.command is None:
            return None
        words = self.command.split(None, 1)
        word = words[0] if words else ""
        return word if _PLAIN_WORD.fullmatch(word) and word not in _SHELL_WORDS else None


def parse_steps(raw: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Return the steps that a user described, each with its input; raise SpecError for the first thing that is wrong.

    A step's input stands before it, so the steps are a tree in order: what a step prints goes to every step that
    names it.
    """
    if not raw:
        raise SpecError(f"steps is empty; name at least one step, with one of {_listed(_WHAT)}")
    steps: list[Step] = []
    for number, values in enumerate(raw, start=1):
        step = _parse_step(number, values)
        if any(step.name == other.name for other in steps):
            raise SpecError(f"step '{step.name}': the name is used twice; give each step a name of its own")
        for other in steps:
            if step.dest is not None and _file(step) == _file(other):
                raise SpecError(f"step '{step.name}': it writes to the same file as step '{other.name}'")
        steps.append(_with_input(step, steps))
    return tuple(steps)


def check_repeatable(steps: Sequence[Step]) -> None:
    """Raise SpecError unless the steps may be run again: nothing is repeated that was not said to be harmless.

    A filter in the middle may; what a first command reads and what a last command does is only known to the user.
    """
    inputs = {step.input for step in steps}
    for step in steps:
        ends = step.input is None or step.name not in inputs
        if step.kind is StepKind.COMMAND and ends and not step.repeatable:
            raise SpecError(
                f"step '{step.name}': 'retries' would run its command again; say 'repeatable: true' on the step "
                "if that does no harm"
            )


def _with_input(step: Step, before: Sequence[Step]) -> Step:
    """Return the step with the input it names, or the step before it."""
    if not before:
        if step.kind is StepKind.SINK:
            raise SpecError(f"step '{step.name}': a sink ('dest') needs a step before it to read from")
        for key in ("input", "buffer"):
            if getattr(step, key) is not None:
                raise SpecError(f"step '{step.name}': the first step reads nothing, so '{key}' makes no sense")
        return step
    if step.kind is StepKind.SOURCE:
        raise SpecError(f"step '{step.name}': a file to read ('src') has no input; make it the first step")
    if step.input is None and before[-1].kind is StepKind.SINK:
        raise SpecError(
            f"step '{before[-1].name}': a sink ('dest') in the middle ends the stream before step "
            f"'{step.name}'; make it the last step, or say with 'input' what '{step.name}' reads from"
        )
    name = step.input or before[-1].name
    writer = next((other for other in before if other.name == name), None)
    if writer is None:
        raise SpecError(f"step '{step.name}': its input '{name}' is no step before it")
    if writer.kind is StepKind.SINK:
        raise SpecError(f"step '{step.name}': its input '{name}' is a sink ('dest') and prints nothing")
    return replace(step, input=name)


def _parse_step(number: int, raw: Mapping[str, Any]) -> Step:
    values = {key: value for key, value in raw.items() if value is not None}
    name = _passable(f"step {number}", "name", str(values.get("name") or f"step {number}"))
    _check_keys(name, values)
    given = [key for key in _KIND_OF if key in values]
    if len(given) != 1:
        what = " and ".join(f"'{key}'" for key in given) or "none of them"
        raise SpecError(f"step '{name}': exactly one of {_listed(_WHAT)} is needed, it has {what}")
    kind = _KIND_OF[given[0]]
    misplaced = {
        StepKind.COMMAND: _SINK_ONLY,
        StepKind.SINK: _COMMAND_ONLY,
        StepKind.SOURCE: _COMMAND_ONLY + _SINK_ONLY,
    }
    for key in misplaced[kind]:
        if key in values:
            raise SpecError(f"step '{name}': '{key}' does not go with '{given[0]}'")
    return Step(
        name=name,
        kind=kind,
        context=_text(name, values, "context"),
        argv=_argv(name, values),
        command=_text(name, values, "command"),
        kubectl=_kubectl(name, values),
        pod=_text(name, values, "pod"),
        container=_text(name, values, "container"),
        src=_text(name, values, "src"),
        dest=_text(name, values, "dest"),
        input=_text(name, values, "input"),
        buffer=_size(name, values, "buffer"),
        mode=_mode(name, values),
        owner=_text(name, values, "owner"),
        group=_text(name, values, "group"),
        create_parents=_flag(name, values, "create_parents") or False,
        bare=_bare(name, values),
        repeatable=kind is StepKind.SOURCE or _flag(name, values, "repeatable") or False,
        environment=_environment(name, values),
        chdir=_text(name, values, "chdir"),
        become=_flag(name, values, "become"),
        become_user=_text(name, values, "become_user"),
        ok_codes=_ok_codes(name, values),
    )


def _file(step: Step) -> tuple[str | None, ...]:
    """Return what tells one destination from another."""
    return step.context, step.pod, step.container, step.dest


def _listed(keys: Sequence[str]) -> str:
    quoted = [f"'{key}'" for key in keys]
    return f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _size(name: str, values: Mapping[str, Any], key: str) -> int | None:
    try:
        return parse_size(str(values[key])) if key in values else None
    except ValueError as exc:
        raise SpecError(f"step '{name}': '{key}': {exc}") from exc


def parse_size(text: str) -> int:
    """Return the bytes that a text such as ``64M`` or ``1.5 GiB`` means (powers of 1024); raise ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError(f"'{text}' is no size; write it like 64M or 1G")
    return int(float(match[1]) * 1024 ** " KMGT".index((match[2] or " ").upper()))


def _bare(name: str, values: Mapping[str, Any]) -> bool:
    proof = values.get("proof", "marker")
    if proof not in ("marker", "transport"):
        raise SpecError(f"step '{name}': 'proof' is 'marker' or 'transport', not '{proof}'")
    if proof == "marker":
        return False
    if "argv" not in values:
        raise SpecError(f"step '{name}': 'proof: transport' is for steps with 'argv': there is no shell to run others")
    for key in ("environment", "chdir", "become", "become_user"):
        if values.get(key):
            raise SpecError(f"step '{name}': '{key}' needs a shell in the context, and 'proof: transport' uses none")
    return True


def _mode(name: str, values: Mapping[str, Any]) -> str | None:
    """Return a mode as chmod takes it; YAML makes a number of an octal mode without quotes."""
    if "mode" not in values:
        return None
    mode = values["mode"]
    if isinstance(mode, int) and not isinstance(mode, bool):
        raise SpecError(f"step '{name}': put 'mode' in quotes, as in '0640'; YAML reads the bare number as {mode}")
    if not _MODE.fullmatch(str(mode)):
        raise SpecError(f"step '{name}': 'mode' is like '0640' or 'u=rw,g=r', not '{mode}'")
    return str(mode)


def _check_keys(name: str, values: Mapping[str, Any]) -> None:
    for key in values:
        if key not in _KEYS:
            near = nearest(key, _KEYS)
            hint = f"did you mean '{near}'?" if near else f"a step may have: {', '.join(_KEYS)}"
            raise SpecError(f"step '{name}': unknown key '{key}'; {hint}")


def _text(name: str, values: Mapping[str, Any], key: str) -> str | None:
    if key not in values:
        return None
    value = str(values[key])
    if not value.strip():
        raise SpecError(f"step '{name}': '{key}' is empty")
    return _passable(name, key, value)


def _passable(name: str, key: str, value: str) -> str:
    """Return a text that can be handed to a program; raise SpecError if it cannot."""
    if "\0" in value:
        raise SpecError(f"step '{name}': '{key}' holds a NUL character")
    if len(value.encode(errors="surrogateescape")) > _LONGEST:
        raise SpecError(f"step '{name}': '{key}' is longer than the {_LONGEST} bytes a program can be given")
    return value


def _flag(name: str, values: Mapping[str, Any], key: str) -> bool | None:
    value = values.get(key)
    if value is None or isinstance(value, bool):
        return value
    known = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    try:
        return known[str(value).lower()]
    except KeyError as exc:
        raise SpecError(f"step '{name}': '{key}' is true or false, not '{value}'") from exc


def _argv(name: str, values: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "argv" not in values:
        return None
    argv = values["argv"]
    if isinstance(argv, str) or not isinstance(argv, Sequence):
        raise SpecError(f"step '{name}': 'argv' is a list of words; for a line use 'command'")
    words = tuple(_passable(name, "argv", str(word)) for word in argv)
    if not words or not words[0]:
        raise SpecError(f"step '{name}': 'argv' is empty; its first word is the program to run")
    return words


def _kubectl(name: str, values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the words of a kubectl command line, given as a line or as a list."""
    line = values.get("kubectl")
    if line is None:
        return None
    try:
        words = shlex.split(line) if isinstance(line, str) else [str(word) for word in line]
    except (TypeError, ValueError) as exc:
        raise SpecError(f"step '{name}': 'kubectl' cannot be read as a command line: {exc}") from exc
    if not words:
        raise SpecError(f"step '{name}': 'kubectl' is empty; write a command line such as 'get pods -o name'")
    if words[0] == "kubectl":
        raise SpecError(f"step '{name}': leave the first word out; 'kubectl' stands for it already")
    for key in _NOT_WITH_KUBECTL:
        if values.get(key):
            raise SpecError(f"step '{name}': '{key}' does not go with 'kubectl', which runs on the controller as you")
    for word in words[: words.index("--") if "--" in words else None]:
        if word.partition("=")[0] in _SAID_BY_CONTEXT:
            option = word.partition("=")[0]
            raise SpecError(f"step '{name}': '{option}' does not go with 'kubectl'; the context says cluster and user")
    return tuple(_passable(name, "kubectl", word) for word in words)


def _environment(name: str, values: Mapping[str, Any]) -> dict[str, str]:
    environment = values.get("environment", {})
    if not isinstance(environment, Mapping):
        raise SpecError(f"step '{name}': 'environment' is a mapping of names to values")
    for key in environment:
        if not _ENVIRONMENT_NAME.fullmatch(str(key)):
            raise SpecError(f"step '{name}': '{key}' cannot be the name of an environment variable")
    return {str(key): _passable(name, "environment", str(value)) for key, value in environment.items()}


def _ok_codes(name: str, values: Mapping[str, Any]) -> tuple[int, ...]:
    try:
        codes = tuple(int(code) for code in values.get("ok_codes", [0]))
    except (TypeError, ValueError) as exc:
        raise SpecError(f"step '{name}': 'ok_codes' is a list of exit statuses") from exc
    if not codes or not all(0 <= code <= 255 for code in codes):
        raise SpecError(f"step '{name}': 'ok_codes' is a list of exit statuses from 0 to 255")
    return codes
