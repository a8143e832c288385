# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables hold secrets, told by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_SECRET_NAME = re.compile(
    r"(?i)pass(word|wd|phrase|code)|(^|[_-])(pass|pwd?|pin)($|[_-])|secret|token|credential"
    r"|(api|access|private|encryption|signing)[_-]?key|key[_-]data"
)
_NO_SECRET_NAME = re.compile(r"(?i)([_-](file|path|dir|prompt)|_ttl|_expire[sd]?)$")
_OF_OTHERS = frozenset(("hostvars", "groups", "vars", "ansible_facts", "environment"))
_DEPTH = 12


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name is taken for a secret."""
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET_NAME.search(name)


def secrets_in(
    variables: Mapping[str, Any], resolve: Callable[[Any], Any], is_vaulted: Callable[[Any], bool]
) -> Iterator[str]:
    """Return the values of secrets, wherever they stand in the variables.

    ``resolve`` returns what a template stands for, None if that cannot be told; ``is_vaulted`` tells whether a
    string comes from a vault.
    """
    for name, value in variables.items():
        if name not in _OF_OTHERS:
            yield from _walk(value, is_secret_name(str(name)), resolve, is_vaulted, _DEPTH)


def _walk(
    value: Any, secret: bool, resolve: Callable[[Any], Any], is_vaulted: Callable[[Any], bool], depth: int
) -> Iterator[str]:
    if not depth:
        return
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _walk(each, secret or is_secret_name(str(name)), resolve, is_vaulted, depth - 1)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _walk(each, secret, resolve, is_vaulted, depth - 1)
    elif secret or is_vaulted(value):
        plain = resolve(value)
        if isinstance(plain, (Mapping, list, tuple)):  # one template for several secrets
            yield from _walk(plain, True, lambda resolved: resolved, lambda _value: True, depth - 1)
        elif plain is not None and not isinstance(plain, bool):
            yield str(plain)
