# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which entries of a tree a transfer leaves alone: patterns as rsync writes them, the part of them that is documented.

Patterns of ``include`` are looked at before those of ``exclude``, and the first that matches decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ._errors import SpecError

_TOKEN = re.compile(rb"\*\*|\*|\?|\[[!^]?\]?[^]/]*\]|\\.|.", re.DOTALL)


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[bytes]
    directories_only: bool
    keeps: bool


@dataclass(frozen=True)
class Filter:
    """Decides entry by entry; what is below a directory that is left out is never asked about."""

    rules: Sequence[_Rule] = ()

    def excludes(self, path: bytes, is_directory: bool) -> bool:
        """Return whether an entry, by its path below the root, is left alone."""
        for rule in self.rules:
            if (is_directory or not rule.directories_only) and rule.pattern.fullmatch(b"/" + path):
                return not rule.keeps
        return False


def make_filter(include: Iterable[str], exclude: Iterable[str]) -> Filter:
    """Return the filter for two lists of patterns; raise SpecError for one that is none."""
    rules = [_rule(text, "include", keeps=True) for text in include]
    return Filter((*rules, *(_rule(text, "exclude", keeps=False) for text in exclude)))


def _rule(text: str, option: str, keeps: bool) -> _Rule:
    pattern = text.encode(errors="surrogateescape")
    directories_only = pattern.endswith(b"/")
    pattern = pattern.rstrip(b"/")
    if not pattern or b"\0" in pattern:
        raise SpecError(f"{option}: '{text}' is no pattern; write one like '*.log', '/cache/' or 'build/**'")
    # a pattern with a slash at its start is held to the root, any other one may begin at every directory
    start = b"" if pattern.startswith(b"/") else b"(?:/.*)?/"
    try:
        compiled = re.compile(start + b"".join(map(_translated, _TOKEN.findall(pattern))), re.DOTALL)
    except re.error as exc:
        raise SpecError(f"{option}: '{text}' is no pattern: {exc}") from exc
    return _Rule(compiled, directories_only, keeps)


def _translated(token: bytes) -> bytes:
    if token == b"**":
        return b".*"
    if token == b"*":
        return b"[^/]*"
    if token == b"?":
        return b"[^/]"
    if len(token) > 2 and token.startswith(b"["):
        body = token[1:-1]
        negated = body.startswith((b"!", b"^"))
        body = (body[1:] if negated else body).replace(b"\\", b"\\\\").replace(b"[", b"\\[").replace(b"]", b"\\]")
        return b"[" + (b"^/" if negated else b"") + body.replace(b"^", b"\\^") + b"]"
    return re.escape(token[1:] if len(token) == 2 and token.startswith(b"\\") else token)
