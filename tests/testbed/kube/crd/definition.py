# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A CustomResourceDefinition: which ones are accepted, and what they make of objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from testbed.kube.crd.cel import RuleError, Rules, expression, old_of
from testbed.kube.crd.schema import Schema, Structural, field_of, unknown_fields
from testbed.kube.errors import Cause, bad_request, invalid_object

Obj = dict[str, Any]

_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
"""With one of these the rules are not tried: they could not rely on the schema."""
_MACRO = re.compile(r"\.(all|exists|exists_one|map|filter)\s*\(")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_TOO_EXPENSIVE = (
    "Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding "
    "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Definition:
    """One version of a custom resource."""

    def __init__(self, group: str, kind: str, version: dict[str, Any]) -> None:
        self.group = group
        self.kind = kind
        self.version: str = version["name"]
        self.schema: Schema = version["schema"]["openAPIV3Schema"]
        self.columns: list[dict[str, Any]] = version.get("additionalPrinterColumns") or []
        self.has_status = "status" in (version.get("subresources") or {})
        self._structural = Structural(self.schema)
        self._rules = Rules(self.schema)

    def refuse_unknown_fields(self, obj: Obj) -> None:
        """Raise the 400 that ``fieldValidation=Strict`` asks for if the object has fields that nobody knows."""
        unknown = [f'unknown field "{field_of(path)}"' for path in unknown_fields(self.schema, obj)]
        if unknown:
            raise bad_request(
                f'{self.kind} in version "{self.version}" cannot be handled as a {self.kind}: '
                f"strict decoding error: {', '.join(unknown)}"
            )

    def prepare(self, obj: Obj) -> None:
        """Prune the object and fill in its defaults, in place."""
        self._structural.prepare(obj)

    def validate(self, obj: Obj, old: Obj | None = None) -> None:
        """Raise the 422 of an object that breaks the schema or a rule; what is as it was before is let be."""
        unchanged = {key for key in obj if old is not None and key in old and obj[key] == old[key]}
        causes = [*(self._name(obj) if old is None else ()), *self._structural.causes(obj, unchanged)]
        if not any(cause.reason in _BLOCKING for cause in causes):
            causes += self._rules.causes(obj, old_of(old), skip=unchanged)
        if causes:
            raise invalid_object(self.group, self.kind, obj["metadata"]["name"], causes)

    def _name(self, obj: Obj) -> Iterator[Cause]:
        name = obj["metadata"]["name"]
        if len(name) > 253 or not _NAME.fullmatch(name):
            text = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
            text += "must start and end with an alphanumeric character"
            yield Cause("FieldValueInvalid", f'Invalid value: "{name}": {text}', "metadata.name")


def definitions(crd: Obj) -> dict[str, Definition]:
    """Return the served versions of a v1.CustomResourceDefinition that was accepted."""
    spec = crd["spec"]
    return {
        version["name"]: Definition(spec["group"], spec["names"]["kind"], version)
        for version in spec["versions"]
        if version.get("served", True)
    }


# -- which definitions are accepted


def check_definition(crd: Obj) -> None:
    """Raise the 422 of a CustomResourceDefinition that a server would not take."""
    causes = list(_definition_causes(crd))
    if causes:
        raise invalid_object("apiextensions.k8s.io", "CustomResourceDefinition", crd["metadata"]["name"], causes)


def _definition_causes(crd: Obj) -> Iterator[Cause]:
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    for path, value in (("spec.group", spec.get("group")), ("spec.names.plural", names.get("plural"))):
        if not value:
            yield Cause("FieldValueRequired", "Required value", path)
            return
    if not names.get("kind"):
        yield Cause("FieldValueRequired", "Required value", "spec.names.kind")
        return
    wanted = f"{names['plural']}.{spec['group']}"
    if crd["metadata"]["name"] != wanted:
        text = f'Invalid value: "{crd["metadata"]["name"]}": must be spec.names.plural+"."+spec.group'
        yield Cause("FieldValueInvalid", text, "metadata.name")
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        yield Cause(
            "FieldValueNotSupported", 'Unsupported value: supported values: "Cluster", "Namespaced"', "spec.scope"
        )
    versions = spec.get("versions") or []
    if sum(bool(version.get("storage")) for version in versions) != 1:
        text = "Invalid value: must have exactly one version marked as storage version"
        yield Cause("FieldValueInvalid", text, "spec.versions")
    for index, version in enumerate(versions):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        base = f"spec.versions[{index}].schema.openAPIV3Schema"
        if not schema:
            yield Cause("FieldValueRequired", "Required value: schemas are required", base)
        else:
            yield from _schema_causes(schema, base, bounded=True, root=True)


def _schema_causes(schema: Schema, path: str, *, bounded: bool, root: bool = False) -> Iterator[Cause]:
    """Yield what is wrong with a schema; ``bounded`` tells whether all lists around it have a largest size."""
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if "type" not in schema and not free:
        yield Cause(
            "FieldValueRequired", "Required value: must not be empty for specified object fields", f"{path}.type"
        )
    if root and schema.get("type") != "object":
        yield Cause("FieldValueInvalid", "Invalid value: must be object at the root", f"{path}.type")
    if "$ref" in schema:
        yield Cause("FieldValueForbidden", "Forbidden: $ref is not supported", f"{path}.$ref")
    if schema.get("additionalProperties") is False:
        text = "Forbidden: additionalProperties cannot be set to false"
        yield Cause("FieldValueForbidden", text, f"{path}.additionalProperties")
    if "properties" in schema and "additionalProperties" in schema:
        text = "Forbidden: additionalProperties and properties are mutual exclusive"
        yield Cause("FieldValueForbidden", text, f"{path}.additionalProperties")
    yield from _list_causes(schema, path)
    yield from _rule_causes(schema, path, bounded=bounded)
    for name, below in (schema.get("properties") or {}).items():
        if not (root and name in ("apiVersion", "kind", "metadata")):
            yield from _schema_causes(below, f"{path}.properties[{name}]", bounded=bounded)
    if isinstance(schema.get("items"), dict):
        yield from _schema_causes(schema["items"], f"{path}.items", bounded=bounded and "maxItems" in schema)
    if isinstance(schema.get("additionalProperties"), dict):
        inner = bounded and "maxProperties" in schema
        yield from _schema_causes(schema["additionalProperties"], f"{path}.additionalProperties", bounded=inner)


def _list_causes(schema: Schema, path: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield Cause("FieldValueRequired", "Required value: must be specified", f"{path}.items")
        return
    if schema.get("x-kubernetes-list-type") != "map":
        return
    keys, items = schema.get("x-kubernetes-list-map-keys"), schema.get("items") or {}
    if not keys:
        text = "Required value: must not be empty if x-kubernetes-list-type is map"
        yield Cause("FieldValueRequired", text, f"{path}.x-kubernetes-list-map-keys")
    for key in keys or ():
        below = (items.get("properties") or {}).get(key)
        if below is None or (key not in items.get("required", ()) and "default" not in below):
            text = "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
            text += "required property"
            yield Cause("FieldValueRequired", text, f"{path}.items.properties[{key}].default")


def _rule_causes(schema: Schema, path: str, *, bounded: bool) -> Iterator[Cause]:
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{index}]"
        if not rule.get("rule"):
            yield Cause("FieldValueRequired", "Required value: rule is not specified", f"{where}.rule")
            continue
        for part in ("rule", "messageExpression"):
            try:
                expression(rule.get(part) or "true")
            except RuleError as exc:
                yield Cause("FieldValueInvalid", f"Invalid value: {rule[part]!r}: {exc}", f"{where}.{part}")
        if "\n" in rule.get("message", ""):
            yield Cause("FieldValueInvalid", "Invalid value: message must not contain line breaks", f"{where}.message")
        if not bounded or _ranges_without_end(schema, rule["rule"]):
            yield Cause("FieldValueForbidden", _TOO_EXPENSIVE, f"{where}.rule")


def _ranges_without_end(schema: Schema, rule: str) -> bool:
    """Return whether a rule goes through a list, map or text that may be of any size.

    Far coarser than the real estimate: every list or map that the rule names is taken to be gone through if there
    is a macro at all, and then every text that it names, too.
    """
    if not _MACRO.search(rule):
        return False
    named = set(_IDENTIFIER.findall(rule))
    if _unbounded(schema):
        return True
    return any(_unbounded(below) for name, below in _properties_below(schema) if name in named)


def _unbounded(schema: Schema) -> bool:
    kind = schema.get("type")
    if kind == "array":
        return "maxItems" not in schema
    if kind == "object" and schema.get("additionalProperties"):
        return "maxProperties" not in schema
    return kind == "string" and not {"maxLength", "enum"} & schema.keys()


def _properties_below(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, below in (schema.get("properties") or {}).items():
        yield name, below
        yield from _properties_below(below)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _properties_below(schema[key])
