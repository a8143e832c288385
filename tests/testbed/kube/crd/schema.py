# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Structural schemas: what is pruned, what is filled in, and what is refused.

The JSON Schema part is the library's (OpenAPI v3.0 has the keywords of draft 4); what Kubernetes adds to it is here.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from jsonschema import Draft4Validator, ValidationError, validators

from testbed.kube.crd.formats import matches_format
from testbed.kube.errors import Cause
from testbed.kube.store import clone

Schema = dict[str, Any]
Path = tuple[str | int, ...]

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_SERVER_OWNED = frozenset({"apiVersion", "kind", "metadata"})


def field_of(path: Path) -> str:
    """Return a path as causes name it: ``spec.interfaces[0].mtu``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


# -- pruning and defaults


def _children(schema: Schema, value: Any) -> Iterator[tuple[Any, Any, Schema | None]]:
    """Yield key, value and schema of what is below a value; the schema is None where nothing describes it."""
    if isinstance(value, dict):
        properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
        for key in list(value):
            yield key, value[key], properties.get(key, others if isinstance(others, dict) else None)
    elif isinstance(value, list):
        items = schema.get("items")
        for index, item in enumerate(value):
            yield index, item, items


def unknown_fields(schema: Schema, value: Any, path: Path = (), *, root: bool = True) -> Iterator[Path]:
    """Yield the paths of fields that no schema describes and that are therefore dropped."""
    kept = _SERVER_OWNED if root or schema.get("x-kubernetes-embedded-resource") else frozenset()
    preserve = bool(schema.get(_PRESERVE)) or schema.get("additionalProperties") is True
    for key, child, below in _children(schema, value):
        if key in kept:
            continue
        if below is not None:
            yield from unknown_fields(below, child, (*path, key), root=False)
        elif isinstance(value, dict) and not preserve:
            yield (*path, key)


def prune(schema: Schema, value: Any) -> None:
    """Drop, in place, the fields that no schema describes."""
    for path in list(unknown_fields(schema, value)):
        parent = value
        for part in path[:-1]:
            parent = parent[part]
        parent.pop(path[-1], None)


def fill(schema: Schema, value: Any) -> None:
    """Fill in defaults, and drop a null where there may be none; in place."""
    if isinstance(value, dict):
        for key, below in (schema.get("properties") or {}).items():
            missing = key not in value or (value[key] is None and not below.get("nullable"))
            if missing and "default" in below:
                value[key] = clone(below["default"])
            elif missing:
                value.pop(key, None)
    for _key, child, below in _children(schema, value):
        if below is not None:
            fill(below, child)


# -- validation

Errors = Iterator[ValidationError]
Keyword = Callable[[Any, Any, Any, Schema], Errors | None]


def _type(validator: Any, wanted: Any, instance: Any, _schema: Schema) -> Errors:
    if not validator.is_type(instance, wanted):
        yield ValidationError(f'must be of type {wanted}: "{_type_name(instance)}"', validator="type")


def _int_or_string(validator: Any, wanted: Any, instance: Any, _schema: Schema) -> Errors:
    if wanted and not validator.is_type(instance, "integer") and not isinstance(instance, str):
        yield ValidationError(f'must be of type int-or-string: "{_type_name(instance)}"', validator="type")


def _required(_validator: Any, wanted: list[str], instance: Any, _schema: Schema) -> Errors:
    if isinstance(instance, dict):
        for name in wanted:
            if name not in instance:
                yield ValidationError("Required value", validator="required", path=[name])


def _pattern(_validator: Any, wanted: str, instance: Any, _schema: Schema) -> Errors:
    if isinstance(instance, str) and not go_pattern(wanted).search(instance):
        yield ValidationError(f"should match '{wanted}'")


def _format(_validator: Any, wanted: str, instance: Any, _schema: Schema) -> Errors:
    if not matches_format(wanted, instance):
        yield ValidationError(f"must be of type {wanted}: {_shown(instance)}")


def _list_type(_validator: Any, wanted: str, instance: Any, schema: Schema) -> Errors:
    if not isinstance(instance, list) or wanted not in ("set", "map"):
        return
    keys = schema.get("x-kubernetes-list-map-keys", [])
    seen: set[str] = set()
    for index, item in enumerate(instance):
        shown = item
        if wanted == "map":
            defaults = schema["items"]["properties"]
            shown = {key: item.get(key, defaults[key].get("default")) for key in keys if isinstance(item, dict)}
        name = json.dumps(shown, sort_keys=True)
        if name in seen:
            yield ValidationError(name, validator="duplicate", path=[index])
        seen.add(name)


@functools.lru_cache(1000)
def go_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern so that ``$`` is the end of the text and nothing else, as Go has it."""
    out, in_class, escaped = [], False, False
    for letter in pattern:
        if escaped or in_class:
            in_class = in_class and (escaped or letter != "]")
            escaped = not escaped and letter == "\\"
            out.append(letter)
            continue
        escaped, in_class = letter == "\\", letter == "["
        out.append(r"\Z" if letter == "$" else letter)
    return re.compile("".join(out))


def _unless_null(keyword: Keyword) -> Keyword:
    def check(validator: Any, wanted: Any, instance: Any, schema: Schema) -> Errors:
        if not (instance is None and schema.get("nullable")):
            yield from keyword(validator, wanted, instance, schema) or ()

    return check


_KEYWORDS: dict[str, Keyword] = {
    **Draft4Validator.VALIDATORS,
    "type": _type,
    _INT_OR_STRING: _int_or_string,
    "required": _required,
    "pattern": _pattern,
    "format": _format,
    "x-kubernetes-list-type": _list_type,
}
_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft4Validator, {name: _unless_null(check) for name, check in _KEYWORDS.items()}
)


def _type_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _shown(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, dict | list) else f'"{_type_name(value)}"'


_SENTENCES: dict[str, str] = {
    "minimum": "should be greater than or equal to {0}",
    "maximum": "should be less than or equal to {0}",
    "minLength": "should be at least {0} chars long",
    "minItems": "should have at least {0} items",
    "minProperties": "should have at least {0} properties",
    "maxProperties": "should have at most {0} properties",
    "multipleOf": "should be a multiple of {0}",
    "uniqueItems": "shouldn't contain duplicates",
    "anyOf": "must validate at least one schema (anyOf)",
    "oneOf": "must validate one and only one schema (oneOf)",
    "not": "must not validate the schema (not)",
}


def _cause(error: ValidationError) -> Cause:
    path = field_of(tuple(error.absolute_path)) or "<nil>"
    kind: Any = error.validator
    value: Any = error.instance
    wanted: Any = error.validator_value
    if kind == "required":
        return Cause("FieldValueRequired", "Required value", path)
    if kind == "duplicate":
        return Cause("FieldValueDuplicate", f"Duplicate value: {error.message}", path)
    if kind == "enum":
        choices = ", ".join(map(json.dumps, wanted))
        return Cause("FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {choices}", path)
    if kind == "maxItems":
        return Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {wanted} items", path)
    if kind == "maxLength":
        return Cause("FieldValueTooLong", f"Too long: may not be more than {wanted} bytes", path)
    known = _SENTENCES.get(str(kind))
    sentence = error.message if known is None else known.format(wanted)  # a pattern may have braces
    reason = "FieldValueTypeInvalid" if kind == "type" else "FieldValueInvalid"
    shown = f'"{_type_name(value)}"' if kind == "type" else _shown(value)
    return Cause(reason, f"Invalid value: {shown}: {path} in body {sentence}", path)


class Structural:
    """The schema of one version."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._validator = _Validator(schema)

    def prepare(self, obj: dict[str, Any]) -> None:
        """Prune and fill in, in place."""
        prune(self.schema, obj)
        fill(self.schema, obj)

    def causes(self, obj: dict[str, Any], unchanged: Collection[str] = ()) -> list[Cause]:
        """Return what the schema refuses, in the order of the fields; ``unchanged`` parts (spec, status) are let be."""
        looked_at = {key: value for key, value in obj.items() if key not in unchanged}
        found = (e for e in self._validator.iter_errors(looked_at) if not set(e.absolute_path) & set(unchanged))
        errors = sorted(found, key=lambda error: list(map(str, error.absolute_path)))
        return [_cause(error) for error in errors]
