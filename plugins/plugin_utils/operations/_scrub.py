# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps known secrets out of a text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "********"
WITHHELD = "withheld, since it could not be told which secrets it may hold"
_SHORT = 4
_LINE = 8
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
_AUTHORIZATION = re.compile(r"(?i)\b((?:bearer|basic) +)[\w.~+/=-]{8,}")


class Scrubber:
    """Replaces secrets by a mask.

    :param secrets: values that may stand nowhere, not even in a name.
    :param values: values that may not stand in what a program says, but do no harm in a name: those of an environment.
    """

    def __init__(self, secrets: Iterable[str] = (), values: Iterable[str] = ()) -> None:
        known = set(secrets)
        self._in_names = _pattern(known)
        self._in_texts = _pattern(known | {value for value in values if len(value) >= _SHORT})

    def name(self, name: str) -> str:
        """Return the name of a task, a path and the like without secrets."""
        return self._in_names.sub(MASK, _printable(name)) if self._in_names else _printable(name)

    def text(self, text: str) -> str:
        """Return a message or the output of a program without secrets, nor what has the form of one."""
        clean = _printable(text)
        if self._in_texts:
            clean = self._in_texts.sub(MASK, clean)
        return _AUTHORIZATION.sub(rf"\g<1>{MASK}", _URL_PASSWORD.sub(rf"\g<1>:{MASK}@", clean))


class Silencer(Scrubber):
    """Keeps texts out altogether, for when the secrets are not known."""

    def text(self, text: str) -> str:  # noqa: ARG002 -- nothing of it is shown
        """Return a notice in place of the text."""
        return WITHHELD


def _printable(text: str) -> str:
    """Return a text without the halves of characters that bytes which are no text can decode to."""
    return text.encode(errors="replace").decode()


def _pattern(secrets: Iterable[str]) -> re.Pattern[str] | None:
    forms = {form for secret in secrets for form in _forms(secret) if form.strip()}
    # the longest first, since one secret may begin another
    ordered = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(_expression, ordered))) if ordered else None


def _expression(form: str) -> str:
    exact = re.escape(form)
    # what is short stands in many a word by chance
    return exact if len(form) >= _SHORT else rf"(?<!\w){exact}(?!\w)"


def _forms(secret: str) -> Iterator[str]:
    """Return a secret as programs may print it: quoted for a URL, JSON or a shell, in base64, line by line."""
    secret = _printable(secret)
    yield secret
    yield secret.strip()
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield secret.replace("'", "'\"'\"'")
    yield secret.replace("'", "'\\''")
    if len(secret) >= _SHORT:
        yield base64.b64encode(secret.encode()).decode()
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _LINE)
