# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent is told by the environment of its container, and what it says at its end."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ClusterError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import (
    LIMIT,
    from_result,
    write,
)

ACTION = "AGENT_ACTION"
SPEC = "AGENT_SPEC"
SOURCE = "DATA_SOURCE"
DATABASE = "AGENT_DB"
HOST_ROOT = "AGENT_HOST_ROOT"
MESSAGE_PATH = "AGENT_TERMINATION_MESSAGE_PATH"
_MESSAGE_PATH = "/dev/termination-log"
_HOST_ROOT = "/host"
_ACTIONS = {"configure": Task.CONFIGURE, "apply": Task.CONFIGURE, "cleanup": Task.CLEANUP}
_SOURCES = ("db", "nodecr")
_OPTIONS = ("allow_up", "purge", "verify", "guard")


class OrderError(ClusterError):
    """The environment of the agent does not say what to do."""


@dataclass(frozen=True)
class Order:
    """What the agent is to do.

    :param generation: that of the resource; 0 if there is none.
    :param source: how ``multinic_source`` reads the interfaces; None if they are in ``options``.
    :param options: those of ``multinic_config``.
    """

    task: Task
    generation: int
    source: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def order_of(environment: Mapping[str, str]) -> Order:
    """Read what is to be done. :raises OrderError: the text names the variable."""
    action = environment.get(ACTION, "configure")
    if action not in _ACTIONS:
        raise OrderError(f"{ACTION} is {action!r}; it must be one of {', '.join(_ACTIONS)}")
    task = _ACTIONS[action]
    source = None if SPEC in environment else environment.get(SOURCE)
    spec = _spec(environment.get(SPEC))
    if task is Task.CONFIGURE and SPEC not in environment and source not in _SOURCES:
        raise OrderError(f"there is neither {SPEC} nor a {SOURCE} of {' or '.join(_SOURCES)}: nothing says what to do")
    options: dict[str, Any] = {
        "host_root": spec.get("host_root", environment.get(HOST_ROOT, _HOST_ROOT)),
        # what became of each interface is in the summary; a run that failed as a whole is another thing
        "fail_on": "never",
        **{name: spec[name] for name in ("backend", "rollback_timeout") if name in spec},
        **_extra(spec.get("options") or {}),
    }
    if task is Task.CLEANUP:
        options["state"] = "absent"
    else:
        options["interfaces"] = spec.get("interfaces", [])
    asked = None if source is None or task is Task.CLEANUP else _source(source, environment)
    return Order(task, spec.get("generation", 0), asked, options)


def _source(source: str, environment: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the options of ``multinic_source``; what else they are it finds in the environment by itself."""
    if source != "db":
        return {"source": source}
    if not environment.get(DATABASE):
        raise OrderError(f"{SOURCE} is db, but there is no {DATABASE}: the option db of multinic_source, as JSON")
    return {"source": source, "db": _object(DATABASE, environment[DATABASE])}


def _object(variable: str, text: str) -> dict[str, Any]:
    """Read a JSON object; what it says may be secret. :raises OrderError: it is none."""
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise OrderError(f"{variable} is not JSON: {exc}") from exc
    if not isinstance(found, dict):
        raise OrderError(f"{variable} is not a JSON object")
    return found


def _spec(text: str | None) -> Mapping[str, Any]:
    if text is None:
        return {}
    spec = _object(SPEC, text)
    for name, kind in (("generation", int), ("interfaces", list), ("host_root", str), ("options", dict)):
        if name in spec and (not isinstance(spec[name], kind) or isinstance(spec[name], bool)):
            raise OrderError(f"{SPEC}: {name} is {spec[name]!r}, which is no {kind.__name__}")
    return spec


def _extra(options: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise OrderError(f"{SPEC}: options has {', '.join(unknown)}, but may have only {', '.join(_OPTIONS)}")
    return options


def identity_of(environment: Mapping[str, str]) -> tuple[Task, int]:
    """Return as much of an order that cannot be read as is needed to say whose summary it is."""
    task = _ACTIONS.get(environment.get(ACTION, ""), Task.CONFIGURE)
    try:
        generation = json.loads(environment.get(SPEC, ""))["generation"]
    except (ValueError, KeyError, TypeError):
        return task, 0
    return task, generation if isinstance(generation, int) and not isinstance(generation, bool) else 0


def last_words(task: Task, generation: int, result: Mapping[str, Any], failure: str | None) -> str:
    """Return the summary of a run of ``multinic_config``, or of what kept it from being run."""
    try:
        return write(from_result(task, generation, result, failure))
    except ClusterError as exc:
        return write(from_result(task, generation, {}, failure or str(exc)))


def message_path(environment: Mapping[str, str]) -> Path:
    """Return where Kubernetes looks for the summary."""
    return Path(environment.get(MESSAGE_PATH, _MESSAGE_PATH))


def leave(path: Path, text: str) -> None:
    """Write the summary over what is there; the file is a mount, so that it cannot be replaced.

    :raises OrderError: it cannot be written.
    """
    content = text.encode()[:LIMIT]
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as exc:
        raise OrderError(f"cannot write the summary to {path}: {exc.strerror}; it would have been {text}") from exc
