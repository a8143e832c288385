# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces as documents have them: the entries of a file or of a custom resource."""

from __future__ import annotations

import difflib
from typing import Any, Iterable, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import Entry, mac, number, text

_KEYS = ("id", "mac_address", "address", "cidr", "mtu", "name")
_OTHER_SPELLINGS = {"mac": "mac_address", "macAddress": "mac_address"}


def entries(found: object, where: str) -> tuple[Entry, ...]:
    """Return the interfaces of a list of mappings. :raises SourceError: with ``where``, if it is none."""
    if not isinstance(found, list):
        raise SourceError(f"{where}: a list of interfaces is expected, not {kind(found)}")
    return tuple(_entry(each, f"{where}[{at}]") for at, each in enumerate(found))


def _entry(found: object, where: str) -> Entry:
    if not isinstance(found, dict):
        raise SourceError(f"{where}: an interface is a mapping of {', '.join(_KEYS)}, not {kind(found)}")
    values: dict[str, Any] = {}
    for key, value in found.items():
        name = _OTHER_SPELLINGS.get(key, key)
        if name not in _KEYS:
            raise SourceError(f"{where}: the key '{key}' is not known.{did_you_mean(key, _KEYS)}")
        if name in values:
            raise SourceError(f"{where}: the MAC address is there twice, as '{key}' too")
        if isinstance(value, (dict, list)):
            raise SourceError(f"{where}: '{key}' is to be one value, not {kind(value)}")
        values[name] = value
    return Entry(
        number(values.get("id")),
        mac(values.get("mac_address")),
        text(values.get("address")),
        text(values.get("cidr")),
        number(values.get("mtu")),
        text(values.get("name")),
    )


def only(found: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuse keys that nobody would read. :raises SourceError: there is one."""
    names = tuple(known)
    for key in found:
        if key not in names:
            raise SourceError(f"{where}: the key '{key}' is not known.{did_you_mean(key, names)}")


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Return the question for what was perhaps meant, with a blank before it; an empty text if nothing is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def kind(found: object) -> str:
    """Return what a value is, as people say it."""
    names = {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(found), f"{found!r}")
