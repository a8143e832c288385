# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The string and number formats of schemas that an API server checks; it ignores every other one.

From k8s.io/kube-openapi, pkg/validation/strfmt and validate/helpers.go.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime

_MAC = re.compile(
    r"[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4}(?:(?:[0-9a-fA-F]{2}\1){2})?[0-9a-fA-F]{2}|(?:[0-9a-fA-F]{4}\.){2,3}[0-9a-fA-F]{4}"
)
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h)\s*)+")
_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_INTEGERS = {"int32": 31, "int64": 63, "uint32": 32, "uint64": 64}


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _cidr(text: str) -> None:
    if "/" not in text:
        raise ValueError(text)
    address, _slash, length = text.partition("/")
    if not length.isdecimal():  # Python also reads a netmask there
        raise ValueError(text)
    ipaddress.ip_network(f"{address}/{length}", strict=False)


_STRINGS: dict[str, Callable[[str], bool]] = {
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(_cidr),
    "mac": lambda text: _MAC.fullmatch(text) is not None,
    "uuid": _parses(uuid.UUID),
    "date": _parses(date.fromisoformat),
    "date-time": _parses(datetime.fromisoformat),
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
    "hostname": lambda text: len(text) <= 255 and _HOSTNAME.fullmatch(text) is not None,
    "byte": _parses(lambda text: base64.b64decode(text, validate=True)),
}


def matches_format(name: str, value: object) -> bool:
    """Return whether a value is of a format; a format that the server does not know fits everything."""
    if isinstance(value, str):
        check = _STRINGS.get(name)
        return check is None or check(value)
    if isinstance(value, int) and not isinstance(value, bool) and name in _INTEGERS:
        bits = _INTEGERS[name]
        return (0 if name.startswith("u") else -(1 << bits)) <= value < 1 << bits
    return True
