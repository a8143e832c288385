# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The desired state in a file: YAML where PyYAML is installed, JSON everywhere."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import Outcome, Report, Source, Wanted
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_entries import (
    did_you_mean,
    entries,
    kind,
    only,
)


class FileSource(Source):
    """Either ``interfaces`` of one node, or ``nodes`` with such a list for each.

    :param path: where this process sees the file.
    """

    kind = "file"

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, node: str) -> Wanted:
        document = self._document()
        if not isinstance(document, dict) or ("nodes" in document) == ("interfaces" in document):
            raise SourceError(f"{self._path}: a mapping with either 'nodes' or 'interfaces' is expected")
        if "nodes" in document:
            only(document, ["nodes"], self._path)
            where, found = self._of(document["nodes"], node)
        else:
            only(document, ["interfaces", "node_name"], self._path)
            self._is_for(document.get("node_name"), node)
            where, found = f"{self._path}: interfaces", document["interfaces"]
        return Wanted(entries(found, where), nothing=f"{where} is empty")

    def _of(self, nodes: object, node: str) -> tuple[str, Any]:
        where = f"{self._path}: nodes"
        if not isinstance(nodes, dict):
            raise SourceError(f"{where}: a mapping from names of nodes to lists of interfaces is expected")
        if node not in nodes:
            raise SourceError(f"{where}: there is no node '{node}'.{did_you_mean(node, map(str, nodes))}")
        return f"{where}.{node}", nodes[node]

    def _is_for(self, named: object, node: str) -> None:
        if named not in (None, node):
            raise SourceError(f"{self._path}: it is for node '{named}', and this is node '{node}'")

    def report(self, node: str, outcomes: Sequence[Outcome], check: bool) -> Report:
        del node, outcomes, check
        return Report(message="nothing is written back to a file")

    def _document(self) -> Any:
        try:
            content = Path(self._path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise SourceError(f"{self._path}: it cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
        try:
            return json.loads(content, object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as exc:
            if self._path.endswith(".json") or isinstance(exc, _Twice):
                raise SourceError(f"{self._path}: it is not valid JSON: {exc}") from exc
            return self._yaml(content, exc)

    def _yaml(self, content: str, no_json: Exception) -> Any:
        try:
            yaml: Any = importlib.import_module("yaml")
        except ImportError as exc:
            raise SourceError(
                f"{self._path}: it is not JSON ({no_json}), and the Python library PyYAML is missing here, which reads "
                "YAML: install it, write JSON, or let the source run on the controller"
            ) from exc
        try:
            return yaml.load(content, Loader=_loader(yaml))
        except (yaml.YAMLError, ValueError, RecursionError) as exc:
            raise SourceError(f"{self._path}: it is not valid YAML: {' '.join(str(exc).split())}") from exc


class _Twice(ValueError):
    """A key is there twice: one of two nodes, or of two addresses, would be lost."""


def _each_once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, value in pairs:
        if key in made:
            raise _Twice(f"the key '{key}' is there twice")
        made[key] = value
    return made


def _loader(yaml: Any) -> Any:
    """Return a loader for which every value is a text or null.

    YAML 1.1 reads ``52:54:00:12:34:56`` as a number to the base of 60, and ``0010`` as 8.
    """

    class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined,unused-ignore]
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if tag.endswith((":null", ":merge"))]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _value in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if isinstance(key, (dict, list)):
                raise SourceError(f"a key is {kind(key)}")
            if keys.count(key) > 1:
                raise _Twice(f"the key '{key}' is there twice")
        loader.flatten_mapping(node)
        return {
            loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
            for key, value in node.value
        }

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader
