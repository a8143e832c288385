# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema of MultiNicNodeConfig, asked as an API server asks it: JSON Schema, list-maps and CEL rules.

The functions of CEL that Kubernetes adds are as its documentation describes them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import yaml
from celpy import celtypes

_FILE = Path(__file__).parents[2] / "roles/multinic_cluster/files/multinicnodeconfigs.multinic.io.yml"
CRD: dict[str, Any] = yaml.safe_load(_FILE.read_text())
SCHEMA: dict[str, Any] = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def violations(obj: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[str]:
    """Return why an API server would refuse an object; with ``old`` the transition rules are asked too."""
    wrong = [f"{error.json_path}: {error.message}" for error in _VALIDATOR.iter_errors(obj)]
    # as the API server: rules are only asked of what fits the schema
    return wrong or [*_shared_keys(SCHEMA, obj, "$"), *_broken_rules(SCHEMA, obj, old, "$")]


def _shared_keys(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys is not None:
        found = [tuple(item.get(key) for key in keys) for item in value]
        if len(set(found)) < len(found):
            yield f"{path}: duplicate {keys}"
    for where, sub, item, _old in _parts(schema, value, None, path):
        yield from _shared_keys(sub, item, where)


def _broken_rules(schema: Mapping[str, Any], value: Any, old: Any, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        transition = "oldSelf" in rule["rule"]
        if transition and old is None:
            continue
        variables = {"self": celpy.json_to_cel(value), **({"oldSelf": celpy.json_to_cel(old)} if transition else {})}
        if not _program(rule["rule"]).evaluate(variables):
            yield f"{path}: {rule['message']}"
    for where, sub, item, before in _parts(schema, value, old, path):
        yield from _broken_rules(sub, item, before, where)


def _parts(
    schema: Mapping[str, Any], value: Any, old: Any, path: str
) -> Iterator[tuple[str, Mapping[str, Any], Any, Any]]:
    if isinstance(value, dict):
        for key, sub in schema.get("properties", {}).items():
            if key in value:
                yield f"{path}.{key}", sub, value[key], old.get(key) if isinstance(old, dict) else None
    elif isinstance(value, list):
        for index, item in enumerate(value):
            # the items of a list-map are correlated by their keys; no rule of ours needs that yet
            yield f"{path}[{index}]", schema["items"], item, None


def _is_ip(text: str) -> celtypes.BoolType:
    try:
        found = ipaddress.ip_address(str(text))
    except ValueError:
        return celtypes.BoolType(False)
    return celtypes.BoolType("%" not in text and getattr(found, "ipv4_mapped", None) is None)


def _is_cidr(text: str) -> celtypes.BoolType:
    address, slash, prefix = str(text).partition("/")
    plain = prefix.isascii() and prefix.isdigit() and str(int(prefix)) == prefix
    if not (slash and plain and _is_ip(address)):
        return celtypes.BoolType(False)
    return celtypes.BoolType(int(prefix) <= ipaddress.ip_address(address).max_prefixlen)


def _ip(value: Any) -> Any:
    if isinstance(value, (ipaddress.IPv4Interface, ipaddress.IPv6Interface)):
        return value.ip
    if not _is_ip(value):
        raise ValueError(f"{value} is no IP address")
    return ipaddress.ip_address(str(value))


def _cidr(value: str) -> Any:
    if not _is_cidr(value):
        raise ValueError(f"{value} is no CIDR")
    return ipaddress.ip_interface(str(value))


def _string(value: Any) -> celtypes.StringType:
    return celtypes.StringType(str(value))


_FUNCTIONS: dict[str, Any] = {
    "isIP": _is_ip,
    "isCIDR": _is_cidr,
    "ip": _ip,
    "cidr": _cidr,
    "string": _string,
    "masked": lambda cidr: ipaddress.ip_interface(str(cidr.network)),
    "prefixLength": lambda cidr: celtypes.IntType(cidr.network.prefixlen),
    "containsIP": lambda cidr, ip: celtypes.BoolType(_ip(ip) in cidr.network),
    "family": lambda ip: celtypes.IntType(ip.version),
    "isUnspecified": lambda ip: celtypes.BoolType(ip.is_unspecified),
    "isLoopback": lambda ip: celtypes.BoolType(ip.is_loopback),
    "isLinkLocalUnicast": lambda ip: celtypes.BoolType(ip.is_link_local),
    "lowerAscii": lambda text: celtypes.StringType(text.lower()),
    "split": lambda text, by: celtypes.ListType([celtypes.StringType(part) for part in text.split(by)]),
}
_ENVIRONMENT = celpy.Environment()
_PROGRAMS: dict[str, Any] = {}
_FORMATS = jsonschema.FormatChecker(formats=())


@_FORMATS.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


@_FORMATS.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA, format_checker=_FORMATS)


def _program(rule: str) -> Any:
    if rule not in _PROGRAMS:
        _PROGRAMS[rule] = _ENVIRONMENT.program(_ENVIRONMENT.compile(rule), functions=_FUNCTIONS)
    return _PROGRAMS[rule]
