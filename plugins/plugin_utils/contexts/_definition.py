# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a contexts file says: each context with its groups and the variables of its connection plugin.

Pure: values in, frozen values out. A value that holds a template is passed on as it is, for Ansible to fill in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from .._nearest import did_you_mean
from ._base import ContextError, ContextKind, sentence

PLUGIN = "manifold.core.contexts"
CONTEXTS_GROUP = "contexts"
DEFAULT_GROUP = "default_context"
GROUPS = frozenset({CONTEXTS_GROUP, DEFAULT_GROUP, *(f"type_{kind.value}" for kind in ContextKind)})
"""The groups that contexts are put into."""

TOP_KEYS = (
    *("plugin", "contexts"),
    *("strict", "compose", "groups", "keyed_groups", "use_extra_vars", "leading_separator"),
    *("cache", "cache_plugin", "cache_timeout", "cache_connection", "cache_prefix"),
)
"""What may stand at the top of a contexts file: the contexts, and the options of constructed and cached inventories."""

_CUTOFF = 0.5
"""How alike a key and what it was meant to be have to be: keys are short."""
_OWN_GROUPS = {"all", "ungrouped", *GROUPS}
_CONTROLLER_NAMES = ("local", "localhost")
_CONNECTIONS = {
    ContextKind.LOCAL: "ansible.builtin.local",
    ContextKind.SSH: "ansible.builtin.ssh",
    ContextKind.KUBERNETES: "manifold.core.kubectl",
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")
_FORWARD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,62}", re.ASCII)
_SSH_PORT = 22
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DefinitionError(ContextError):
    """A contexts file cannot be used. The text names the file, the context, the key, the cause and the remedy."""

    def __init__(self, source: str, cause: str, *, context: str = "", key: str = "", remedy: str | None = None) -> None:
        super().__init__(context, f"reading {source}", cause, remedy)
        where = ", ".join(f"{what} '{name}'" for what, name in (("context", context), ("key", key)) if name)
        text = f"{source}: {where}: {cause}" if where else f"{source}: {cause}"
        self.args = (sentence(text, remedy),)


class _Form(Enum):
    TEXT = "text"
    PORT = "a port number"
    PATH = "a path"
    FORWARD = "the name of a forward"


@dataclass(frozen=True)
class _Key:
    """A key of a context: the variable it sets, and the other names that the connection plugin has for that."""

    variable: str
    form: _Form = _Form.TEXT
    synonyms: tuple[str, ...] = ()


_COMMON = ("type", "default", "vars")
_KEYS: dict[ContextKind, dict[str, _Key]] = {
    ContextKind.LOCAL: {},
    ContextKind.SSH: {
        "host": _Key("ansible_host", synonyms=("ansible_ssh_host",)),
        "user": _Key("ansible_user", synonyms=("ansible_ssh_user",)),
        "port": _Key("ansible_port", _Form.PORT, ("ansible_ssh_port",)),
        "key": _Key("ansible_ssh_private_key_file", _Form.PATH, ("ansible_private_key_file",)),
        "forward": _Key("ansible_ssh_extra_args", _Form.FORWARD),
    },
    ContextKind.KUBERNETES: {
        "context": _Key("ansible_kubectl_context"),
        "namespace": _Key("ansible_kubectl_namespace"),
        "pod": _Key("ansible_kubectl_pod"),
        "selector": _Key("ansible_kubectl_selector"),
        "container": _Key("ansible_kubectl_container"),
        "kubeconfig": _Key("ansible_kubectl_kubeconfig", _Form.PATH, ("ansible_kubectl_config",)),
    },
}


@dataclass(frozen=True)
class ContextDefinition:
    """One context of a file, ready to become a host of the inventory."""

    name: str
    kind: ContextKind
    default: bool
    variables: Mapping[str, Any]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups it belongs to."""
        groups = (CONTEXTS_GROUP, f"type_{self.kind.value}")
        return (*groups, DEFAULT_GROUP) if self.default else groups


@dataclass(frozen=True)
class Surroundings:
    """What a contexts file is read against."""

    source: str
    """The file as it is named in messages; relative paths in it start in its folder."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    python: str | None = None
    """The interpreter of modules in contexts of type local."""
    groups: Collection[str] = ()
    """Names that are groups of the inventory."""


def parse_contexts(document: object, around: Surroundings) -> tuple[ContextDefinition, ...]:
    """Return the contexts of a parsed file, in their order; raise DefinitionError at the first thing that is wrong."""
    if not isinstance(document, Mapping):
        raise DefinitionError(around.source, "it must be a mapping with 'plugin' and 'contexts'")
    for key in document:
        if key not in TOP_KEYS:
            raise DefinitionError(
                around.source, "it is not known here.", key=str(key), remedy=remedy_for(key, TOP_KEYS)
            )
    contexts = document.get("contexts")
    if not isinstance(contexts, Mapping) or not contexts:
        cause = (
            "it is missing" if "contexts" not in document else "it must map names to contexts, and have one at least"
        )
        raise DefinitionError(around.source, cause, key="contexts")
    definitions = tuple(_Reader(name, around).read(content) for name, content in contexts.items())
    defaults = [definition.name for definition in definitions if definition.default]
    if len(defaults) > 1:
        cause = f"there is a default already: '{defaults[0]}'"
        raise DefinitionError(
            around.source, cause, context=defaults[1], key="default", remedy="Only one context can be the default."
        )
    return definitions


def check_beside_others(
    definitions: Collection[ContextDefinition],
    source: str,
    files: Mapping[str, str | None],
    groups: Mapping[str, Collection[str]],
) -> None:
    """Raise DefinitionError if contexts contradict those of other files that were read before.

    ``files`` says which file each host of the inventory comes from, ``groups`` which hosts each group has.
    """
    for definition in definitions:
        name = definition.name
        if name in groups.get(CONTEXTS_GROUP, ()) and files.get(name) != source:
            cause = f"{files.get(name)} has a context of that name too"
            raise DefinitionError(source, cause, context=name, remedy="Rename one of them.")
        others = [other for other in groups.get(DEFAULT_GROUP, ()) if other != name] if definition.default else []
        if others:
            cause = f"there is a default already: '{others[0]}' in {files.get(others[0])}"
            remedy = "Only one context can be the default."
            raise DefinitionError(source, cause, context=name, key="default", remedy=remedy)


def remedy_for(word: object, known: Collection[str]) -> str:
    """Return the remedy for a word that is not known: the one that was meant, or all there are."""
    return did_you_mean(word, known, _CUTOFF) or f"Known are {', '.join(known)}."


class _Reader:
    """Reads one context."""

    def __init__(self, name: object, around: Surroundings) -> None:
        self._name = str(name)
        self._around = around
        self._check_name(name)

    def _error(self, cause: str, key: str = "", remedy: str | None = None) -> DefinitionError:
        return DefinitionError(self._around.source, cause, context=self._name, key=key, remedy=remedy)

    def _check_name(self, name: object) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            remedy = "Use letters, digits, '_', '-', '.' and '@', in quotes if it would be a number."
            raise self._error("this cannot be the name of a context", remedy=remedy)
        if name in _OWN_GROUPS or name in self._around.groups:
            raise self._error("a group has that name already", remedy="Choose another name for the context.")

    def read(self, content: object) -> ContextDefinition:
        if not isinstance(content, Mapping):
            raise self._error("it must be a mapping, such as {type: ssh, host: backup.internal}")
        kind = self._kind(content)
        self._check_keys(content, kind)
        default = content.get("default", False)
        if not isinstance(default, bool):
            raise self._error("it must be true or false", "default")
        variables: dict[str, Any] = {"ansible_connection": _CONNECTIONS[kind]}
        if kind is ContextKind.LOCAL and self._around.python:
            variables["ansible_python_interpreter"] = self._around.python
        keys = {key: _KEYS[kind][key] for key in content if key not in _COMMON}
        variables |= {spec.variable: self._value(key, content[key], spec.form) for key, spec in keys.items()}
        if "forward" in content:
            if isinstance(variables.get("ansible_port"), str):
                raise self._error("it cannot be a template where the host is reached by a forward", "port")
            variables |= _through_forward(content["forward"], variables)
        return ContextDefinition(self._name, kind, default, variables | self._variables(content, keys))

    def _kind(self, content: Mapping[Any, Any]) -> ContextKind:
        known = [kind.value for kind in ContextKind]
        given = content.get("type")
        if "type" not in content:
            raise self._error("it is missing", "type", f"Known are {', '.join(known)}.")
        if given not in known:
            raise self._error(f"'{given}' is not known.", "type", remedy_for(given, known))
        kind = ContextKind(given)
        if self._name in _CONTROLLER_NAMES and kind is not ContextKind.LOCAL:
            cause = f"'{self._name}' always means the controller, and must be of type local"
            raise self._error(cause, "type", "Choose another name for the context.")
        return kind

    def _check_keys(self, content: Mapping[Any, Any], kind: ContextKind) -> None:
        known = (*_COMMON, *_KEYS[kind])
        for key in content:
            if key in known:
                continue
            others = [other.value for other in ContextKind if key in _KEYS[other]]
            remedy = f"It is a key of type {others[0]}." if others else remedy_for(key, known)
            raise self._error(f"it is not known for type {kind.value}.", str(key), remedy)
        if kind is ContextKind.SSH and "host" not in content:
            raise self._error("it is missing", "host", "Say which machine to connect to.")
        if "pod" in content and "selector" in content:
            raise self._error("'pod' names the pod already", "selector", "Leave one of them out.")
        if "container" in content and not {"pod", "selector"} & {*content}:
            raise self._error("there is no pod that it could be in", "container", "Add 'pod' or 'selector'.")

    def _value(self, key: str, value: object, form: _Form) -> object:
        if isinstance(value, str) and ("{{" in value or "{%" in value) and form is not _Form.FORWARD:
            return value
        if form is _Form.PORT:
            return self._port(key, value)
        if not isinstance(value, str) or not value.strip():
            raise self._error(f"it must be {form.value}, and not empty", key)
        if form is _Form.FORWARD and not _FORWARD.fullmatch(value):
            raise self._error(f"it must be {form.value}, as manifold.core.port_forward takes it", key)
        return self._path(key, value) if form is _Form.PATH else value

    def _port(self, key: str, value: object) -> int:
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
            raise self._error("it must be a number from 1 to 65535", key)
        return number

    def _path(self, key: str, value: str) -> str:
        def variable(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if name not in self._around.environ:
                raise self._error(f"the environment variable {name} is not set", key)
            return self._around.environ[name]

        path = re.sub(r"\$(?:([A-Za-z_]\w*)|\{([^}]*)\})", variable, value)
        home = self._around.environ.get("HOME")
        if home and (path == "~" or path.startswith("~/")):
            path = home + path[1:]
        path = os.path.expanduser(path)  # noqa: PTH111 -- another user's home, which pathlib does not leave alone
        if path.startswith("~"):
            raise self._error(f"the home directory of {path.partition('/')[0]} is not known", key)
        return str(Path(self._around.source).parent / path)

    def _variables(self, content: Mapping[Any, Any], keys: Mapping[str, _Key]) -> dict[str, Any]:
        """Return what is under ``vars``; it may say anything that no key says already."""
        variables = content.get("vars", {})
        if not isinstance(variables, Mapping):
            raise self._error("it must be a mapping of variables", "vars")
        said = {name: key for key, spec in keys.items() for name in (spec.variable, *spec.synonyms)}
        for name in variables:
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                raise self._error(f"'{name}' cannot be the name of a variable", "vars")
            if name in said:
                raise self._error(f"{name} is what '{said[name]}' says", "vars", "Leave one of them out.")
        return dict(variables)


def _through_forward(forward: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables that lead to an SSH host by a forward.

    They are looked up when the context is used. The host's key stays the one of its own name and port, as it is written
    in known_hosts (HostKeyAlias of ssh_config(5)). A port that is given tells which one of the forward's is meant.
    """
    host, port = variables["ansible_host"], variables.get("ansible_port")
    of_target = "" if port is None else f", port={str(port)!r}"
    found = f"lookup('manifold.core.forward', {forward!r}{of_target})"
    alias = host if port in (None, _SSH_PORT) else f"[{host}]:{port}"
    return {
        "ansible_host": f"{{{{ {found}.rpartition(':')[0].strip('[]') }}}}",
        "ansible_port": f"{{{{ {found}.rpartition(':')[2] | int }}}}",
        "ansible_ssh_extra_args": f"-o HostKeyAlias={alias}",
    }
