# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The three patch formats of the API: JSON patch, merge patch and (in its main parts) strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from testbed.kube.errors import ApiError, bad_request, invalid

# The list fields that a strategic merge patch merges element by element, and the key that names an element.
# From the patchMergeKey tags of k8s.io/api; a list not named here is replaced.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
}


def apply_patch(content_type: str, target: dict[str, Any], patch: Any) -> dict[str, Any]:
    """Return a patched copy of ``target``; raise ApiError for an unknown format or a patch that does not fit."""
    media_type = content_type.partition(";")[0].strip()
    if media_type == "application/json-patch+json":
        return json_patch(target, patch)
    if not isinstance(patch, dict):
        raise bad_request("a merge patch must be an object")
    if media_type == "application/merge-patch+json":
        return _as_object(merge_patch(target, patch))
    if media_type == "application/strategic-merge-patch+json":
        return _as_object(strategic_merge_patch(target, patch))
    raise ApiError(415, "UnsupportedMediaType", f"the patch format {media_type!r} is not supported by the test bed")


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid("the patch does not leave an object")
    return value


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(target: Any, patch: Any) -> Any:
    """Apply a strategic merge patch: lists of named elements are merged, ``$``-directives about order are dropped."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, list) and key in _MERGE_KEYS:
            merged[key] = _merge_named(merged.get(key) or [], value, _MERGE_KEYS[key])
        else:
            merged[key] = strategic_merge_patch(merged.get(key), value)
    return merged


def _merge_named(target: list[Any], patch: list[Any], merge_key: str) -> list[Any]:
    merged = list(target)
    for element in patch:
        name = element.get(merge_key) if isinstance(element, dict) else None
        index = next((i for i, old in enumerate(merged) if name is not None and old.get(merge_key) == name), None)
        if isinstance(element, dict) and element.get("$patch") == "delete":
            if index is not None:
                del merged[index]
        elif index is None:
            merged.append(strategic_merge_patch({}, element))
        else:
            merged[index] = strategic_merge_patch(merged[index], element)
    return merged


def json_patch(target: dict[str, Any], operations: Any) -> dict[str, Any]:
    """Apply a JSON patch (RFC 6902)."""
    if not isinstance(operations, list):
        raise bad_request("a JSON patch must be a list")
    document: Any = copy.deepcopy(target)
    for operation in operations:
        try:
            document = _operate(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as exc:
            raise invalid(f"the JSON patch operation {operation!r} does not fit the object: {exc}") from exc
    return _as_object(document)


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    op, path = operation["op"], _pointer(operation["path"])
    if op == "test":
        if _resolve(document, path) != operation["value"]:
            raise ValueError("test failed")
        return document
    if op in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copy.deepcopy(_resolve(document, source))
        if op == "move":
            document = _change(document, source, "remove", None)
        return _change(document, path, "add", value)
    return _change(document, path, op, copy.deepcopy(operation.get("value")))


def _pointer(text: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _resolve(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def _change(document: Any, path: list[str], op: str, value: Any) -> Any:
    if not path:
        return value
    parent, last = _resolve(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = len(parent) if last == "-" else int(last)
        if op == "add":
            parent.insert(index, value)
        elif op == "remove":
            del parent[index]
        else:
            parent[index] = value
    elif op == "remove":
        del parent[last]
    elif op == "replace" and last not in parent:
        raise KeyError(last)
    else:
        parent[last] = value
    return document
