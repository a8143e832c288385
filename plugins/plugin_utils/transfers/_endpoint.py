# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a transfer starts or ends: a path in a context, in a pod maybe, read from what a user wrote."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .._nearest import did_you_mean
from ._errors import SpecError

LOCAL = "local"
"""The context that is this machine."""
KEYS = ("context", "path", "pod", "container", "become", "become_user", "glob")
_FLAGS = ("become", "glob")
_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_WORKLOADS = re.compile(r"po(ds?)?|deploy(ments?)?|statefulsets?|sts|daemonsets?|ds|services?|svc")
"""The words that kubectl knows for what a pod is named by."""
_LONGEST = 4096  # PATH_MAX of Linux


@dataclass(frozen=True)
class Endpoint:
    """One end of a transfer."""

    context: str
    path: str
    pod: str | None = None
    """The pod instead of the context's own, by its name or by a workload's."""
    container: str | None = None
    become: bool | None = None
    become_user: str | None = None
    glob: bool = True
    """Whether the last part of the path may be a pattern."""

    def __str__(self) -> str:
        place = [self.context]
        if self.pod or self.container:
            place.append((self.pod or "") + (f"/{self.container}" if self.container else ""))
        return ":".join([*place, self.path])

    @property
    def follows(self) -> bool:
        """Whether the path ends with a slash: the content of a directory is meant, not the directory."""
        return self.path.endswith("/") or self.path.rpartition("/")[2] == "."

    @property
    def name(self) -> str:
        """The last part of the path; empty if there is none that could be a name."""
        name = self.path.rstrip("/").rpartition("/")[2]
        return "" if name in (".", "..", "~") else name


def parse_endpoint(value: Any, option: str, known: Collection[str]) -> Endpoint:
    """Return the end that a user described as a text or a mapping; raise SpecError.

    ``known`` are the contexts there are, besides ``local``.
    """
    if isinstance(value, Mapping):
        return _from_mapping(value, option, known)
    if not isinstance(value, str) or not value:
        raise SpecError(f"{option}: write 'context:path' or a mapping with 'context' and 'path', not {value!r}")
    context, colon, rest = value.partition(":")
    if not colon:
        raise SpecError(f"{option}: '{value}' names no context; write 'context:path', for this machine 'local:{value}'")
    _check_context(context, option, known)
    pod, container, path = _split_pod(rest)
    return _checked(Endpoint(context, path, pod, container), option)


def _split_pod(rest: str) -> tuple[str | None, str | None, str]:
    """Return pod, container and path: what stands before a colon is a pod unless it can only be a path."""
    place, colon, path = rest.partition(":")
    if not colon or place.startswith(("/", ".", "~")):
        return None, None, rest
    words = place.split("/")
    pod = "/".join(words[:2]) if _WORKLOADS.fullmatch(words[0]) and len(words) > 1 else words[0]
    container = place[len(pod) + 1 :]
    return pod or None, container or None, path


def _from_mapping(value: Mapping[str, Any], option: str, known: Collection[str]) -> Endpoint:
    for key in value:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f"There are: {', '.join(KEYS)}."
            raise SpecError(f"{option}: unknown key '{key}'. {hint}")
    flags = {key: _flag(value[key], key, option) for key in _FLAGS if value.get(key) is not None}
    texts = {key: str(value[key]) for key in KEYS if key not in _FLAGS and value.get(key) not in (None, "")}
    for key in ("context", "path"):
        if key not in texts:
            raise SpecError(f"{option}: '{key}' is missing")
    _check_context(texts["context"], option, known)
    values: dict[str, Any] = {**texts, **flags}
    return _checked(Endpoint(**values), option)


def _flag(value: Any, key: str, option: str) -> bool:
    try:
        return value if isinstance(value, bool) else _WORDS[str(value).lower()]
    except KeyError as exc:
        raise SpecError(f"{option}: '{key}' is true or false, not {value!r}") from exc


def _check_context(name: str, option: str, known: Collection[str]) -> None:
    if name == LOCAL or name in known:
        return
    hint = did_you_mean(name, [*known, LOCAL]) or "Contexts are the hosts of the inventory, and 'local'."
    raise SpecError(f"{option}: there is no context '{name}'. {hint}")


def _checked(endpoint: Endpoint, option: str) -> Endpoint:
    if not endpoint.path:
        raise SpecError(f"{option}: the path is empty; '{endpoint.context}:.' is where commands start there")
    if any(character in text for text in (endpoint.path, endpoint.pod or "") for character in "\0\n"):
        raise SpecError(f"{option}: the path holds a NUL or a line break")
    if len(endpoint.path.encode(errors="surrogateescape")) > _LONGEST:
        raise SpecError(f"{option}: the path is longer than {_LONGEST} bytes")
    if endpoint.context == LOCAL and (endpoint.pod or endpoint.container):
        raise SpecError(f"{option}: 'local' has no pods; a path that holds a colon is written 'local:./a:b'")
    return endpoint
