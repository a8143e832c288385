# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a contexts file, before anything is made of it: whose it is, and whether it says something twice.

A YAML parser keeps the last of two equal keys without a word, so they are looked for in the nodes. Nodes know
nothing of the tags that Ansible gives a meaning to (``!vault``, ``!unsafe``).
"""

from __future__ import annotations

from pathlib import Path

import yaml

from ._definition import PLUGIN, DefinitionError, remedy_for

_NAMES = ("contexts.yml", "contexts.yaml")
_GROUP_KEYS = {"hosts", "children", "vars"}


def is_contexts_name(path: str) -> bool:
    """Return whether a file is called what a contexts file has to be called."""
    name = Path(path).name
    return name in _NAMES or name.endswith(tuple(f".{end}" for end in _NAMES))


def is_ours(text: str, source: str) -> bool:
    """Return whether an inventory file is meant for the plugin.

    Raises DefinitionError for one that is, by its name or content, and yet would never be read by the plugin.
    """
    named = is_contexts_name(source)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as exc:
        if named:
            raise not_yaml(source, exc) from exc
        return False
    top = _scalars(root)
    plugin = top.get("plugin")
    if not named:
        if plugin == PLUGIN:
            remedy = f"Call it {_NAMES[0]}, or something that ends in .{_NAMES[0]}."
            raise DefinitionError(source, f"a file of that name is not read by {PLUGIN}", remedy=remedy)
        return False
    if plugin is None and _has_contexts(root):
        raise DefinitionError(source, "it is missing", key="plugin", remedy=f"Add 'plugin: {PLUGIN}'.")
    namespace = PLUGIN.rpartition(".")[0]
    if plugin is not None and plugin != PLUGIN and plugin.startswith(f"{namespace}."):
        cause = f"there is no inventory plugin {plugin}."
        raise DefinitionError(source, cause, key="plugin", remedy=remedy_for(plugin, [PLUGIN]))
    return plugin == PLUGIN


def check_unique_keys(text: str, source: str) -> None:
    """Raise DefinitionError if a mapping of the file has a key twice, or if it is not YAML."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as exc:
        raise not_yaml(source, exc) from exc
    if root is not None:
        _check_node(root, source, ())


def not_yaml(source: str, exc: yaml.YAMLError) -> DefinitionError:
    """Return the error for a text that is not YAML; it does not quote the text, which may hold a secret."""
    mark = getattr(exc, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    problem = getattr(exc, "problem", None)
    return DefinitionError(source, f"it is not valid YAML{place}: {problem or 'it cannot be read'}")


def _check_node(node: yaml.Node, source: str, path: tuple[str, ...]) -> None:
    if isinstance(node, yaml.SequenceNode):
        for child in node.value:
            _check_node(child, source, path)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key_node, value in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            continue
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in seen:
            raise _twice(source, (*path, key), f"it is there twice, in line {seen[key]} and in line {line}")
        seen[key] = line
        _check_node(value, source, (*path, key))


def _twice(source: str, path: tuple[str, ...], cause: str) -> DefinitionError:
    if path[0] == "contexts" and len(path) > 1:
        return DefinitionError(source, cause, context=path[1], key=".".join(path[2:]))
    return DefinitionError(source, cause, key=".".join(path))


def _scalars(root: yaml.Node | None) -> dict[str, str]:
    if not isinstance(root, yaml.MappingNode):
        return {}
    return {str(key.value): str(value.value) for key, value in root.value if isinstance(value, yaml.ScalarNode)}


def _has_contexts(root: yaml.Node | None) -> bool:
    """Return whether there are contexts at the top: a mapping that is not an inventory's group of that name."""
    if not isinstance(root, yaml.MappingNode):
        return False
    for key, value in root.value:
        if key.value == "contexts" and isinstance(value, yaml.MappingNode):
            return not {str(name.value) for name, _content in value.value} <= _GROUP_KEYS
    return False
