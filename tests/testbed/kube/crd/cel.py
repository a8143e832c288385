# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``x-kubernetes-validations``: rules in CEL, by the library ``cel-python`` and the functions Kubernetes adds.

What differs from a real server: expressions are parsed but not type-checked, so that a rule on a field that no schema
has is found only when it runs; optional types (``?.``) and two-variable macros are not there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterator
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError

from testbed.kube.crd.cel_functions import FUNCTIONS
from testbed.kube.crd.schema import Path, Schema, field_of
from testbed.kube.errors import Cause

_RULES = "x-kubernetes-validations"
_NO_OLD: Any = object()
_REASONS = frozenset({"FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"})
_WORDS = {
    "FieldValueInvalid": 'Invalid value: "{type}": {text}',
    "FieldValueForbidden": "Forbidden: {text}",
    "FieldValueRequired": "Required value: {text}",
    "FieldValueDuplicate": 'Duplicate value: "{type}"',
}


class RuleError(Exception):
    """A rule cannot be read, or ended with an error."""


class Expression:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        self.text = text
        environment = celpy.Environment(runner_class=celpy.InterpretedRunner)
        try:
            self._program = environment.program(environment.compile(text), functions=FUNCTIONS)
        except CELParseError as exc:
            raise RuleError(f"compilation failed: {exc.args[0]}") from exc
        self.uses_old = "oldSelf" in text
        self._evaluate = functools.lru_cache(4096)(self._run)

    def __call__(self, value: Any, old: Any = _NO_OLD) -> Any:
        """Evaluate for ``self`` and ``oldSelf``; raise RuleError. Equal input is evaluated once."""
        return self._evaluate(json.dumps(value), None if old is _NO_OLD else json.dumps(old))

    def _run(self, value: str, old: str | None) -> Any:
        try:
            known = {"self": json_to_cel(json.loads(value))}
            if old is not None:
                known["oldSelf"] = json_to_cel(json.loads(old))
            return self._program.evaluate(known)
        except CELEvalError as exc:
            raise RuleError(str(exc.args[0])) from exc
        except (TypeError, ValueError, KeyError, IndexError) as exc:
            raise RuleError(f"{type(exc).__name__}: {exc}") from exc


@functools.lru_cache(1000)
def expression(text: str) -> Expression:
    """Return an expression, compiled once; raise RuleError."""
    return Expression(text)


class Rules:
    """The rules of a schema and of what is below it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._rules = [(rule, expression(rule["rule"])) for rule in schema.get(_RULES) or ()]
        self._properties = {key: Rules(below) for key, below in (schema.get("properties") or {}).items()}
        self._items = Rules(schema["items"]) if "items" in schema else None
        others = schema.get("additionalProperties")
        self._others = Rules(others) if isinstance(others, dict) else None
        below = [*self._properties.values(), self._items, self._others]
        self.any: bool = bool(self._rules) or any(rules is not None and rules.any for rules in below)

    def causes(self, value: Any, old: Any = _NO_OLD, path: Path = (), skip: Collection[str] = ()) -> Iterator[Cause]:
        """Yield what the rules refuse; without ``old`` the object is new. The rules below ``skip`` are not tried."""
        if not self.any or value is None:
            return
        for rule, compiled in self._rules:
            if not compiled.uses_old or old is not _NO_OLD:
                yield from self._apply(rule, compiled, value, old, path)
        for key, child, rules, old_child in self._below(value, old):
            if rules is not None and key not in skip:
                yield from rules.causes(child, old_child, (*path, key))

    def _below(self, value: Any, old: Any) -> Iterator[tuple[Any, Any, Rules | None, Any]]:
        if isinstance(value, dict):
            known = old if isinstance(old, dict) else {}
            for key, child in value.items():
                yield key, child, self._properties.get(key, self._others), known.get(key, _NO_OLD)
        elif isinstance(value, list):
            known = self._by_key(old) if isinstance(old, list) else {}
            for index, child in enumerate(value):
                yield index, child, self._items, known.get(self._key(child), _NO_OLD)

    def _by_key(self, items: list[Any]) -> dict[str | None, Any]:
        # Elements of other lists cannot be told from one another, so their rules see no oldSelf.
        if self._schema.get("x-kubernetes-list-type") != "map":
            return {}
        return {self._key(item): item for item in items}

    def _key(self, item: Any) -> str | None:
        keys = self._schema.get("x-kubernetes-list-map-keys")
        return json.dumps([item.get(key) for key in keys]) if keys and isinstance(item, dict) else None

    def _apply(self, rule: Schema, compiled: Expression, value: Any, old: Any, path: Path) -> Iterator[Cause]:
        given = old if compiled.uses_old else _NO_OLD
        try:
            held = compiled(value, given)
        except RuleError as exc:
            text = f"rule evaluation error: {exc} evaluating rule: {rule['rule']}"
            yield self._cause("FieldValueInvalid", text, path)
            return
        if not bool(held):
            extra = tuple(part for part in rule.get("fieldPath", "").split(".") if part)
            reason = rule.get("reason", "FieldValueInvalid")
            yield self._cause(reason, self._message(rule, value, old), (*path, *extra))

    def _message(self, rule: Schema, value: Any, old: Any) -> str:
        if "messageExpression" in rule:
            try:
                return str(expression(rule["messageExpression"])(value, old))
            except RuleError:
                pass
        return str(rule.get("message") or f"failed rule: {rule['rule']}")

    def _cause(self, reason: str, text: str, path: Path) -> Cause:
        known = reason if reason in _REASONS else "FieldValueInvalid"
        shown = _WORDS[known].format(type=self._schema.get("type", ""), text=text)
        return Cause(known, shown, field_of(path) or "<nil>")


def old_of(old: Any) -> Any:
    """Return what ``causes`` takes for the earlier object; None is a new one."""
    return _NO_OLD if old is None else old
