# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Label and field selectors of LIST and WATCH requests, and the label selectors of workloads."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from testbed.kube.errors import bad_request

Match = Callable[[dict[str, Any]], bool]

_SET_BASED = re.compile(r"^\s*(?P<key>\S+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)\s*$")
_EQUALITY = re.compile(r"^\s*(?P<key>[^\s!=]+)\s*(?P<op>!=|==?)\s*(?P<value>\S*)\s*$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def _labels(obj: dict[str, Any]) -> dict[str, str]:
    labels: dict[str, str] = obj["metadata"].get("labels") or {}
    return labels


def _label_requirement(text: str) -> Match:
    if found := _SET_BASED.match(text):
        key, wanted = found["key"], found["op"] == "in"
        values = {value.strip() for value in found["values"].split(",")}
        return lambda obj: (_labels(obj).get(key) in values) is wanted
    if found := _EQUALITY.match(text):
        key, value, wanted = found["key"], found["value"], found["op"] != "!="
        return lambda obj: (_labels(obj).get(key) == value) is wanted
    key = text.strip()
    if key.startswith("!"):
        absent = key[1:].strip()
        return lambda obj: absent not in _labels(obj)
    if " " in key:
        raise bad_request(f"unable to parse requirement: {text!r}")
    return lambda obj: key in _labels(obj)


def label_selector(text: str) -> Match:
    """Parse the ``labelSelector`` parameter: ``a=b,c!=d,e in (f,g),h,!i``."""
    requirements = [_label_requirement(part) for part in _COMMA_OUTSIDE_PARENTHESES.split(text) if part.strip()]
    return lambda obj: all(requirement(obj) for requirement in requirements)


def workload_selector(selector: dict[str, Any]) -> Match:
    """Turn a ``metav1.LabelSelector`` (matchLabels only) into a predicate."""
    wanted: dict[str, str] = selector.get("matchLabels") or {}
    return lambda obj: wanted.items() <= _labels(obj).items()


def _field(obj: dict[str, Any], path: str) -> str:
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)


def _field_requirement(text: str) -> Match:
    found = _EQUALITY.match(text)
    if not found:
        raise bad_request(f"invalid field selector: {text!r}")
    path, value, wanted = found["key"], found["value"], found["op"] != "!="
    return lambda obj: (_field(obj, path) == value) is wanted


def field_selector(text: str) -> Match:
    """Parse the ``fieldSelector`` parameter; unlike a real server this accepts any path."""
    requirements = [_field_requirement(part) for part in text.split(",") if part.strip()]
    return lambda obj: all(requirement(obj) for requirement in requirements)
