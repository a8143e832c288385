# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for a terminal: how wide it is, what must not reach it, and the signs it may show."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = dict.fromkeys([*range(32), *range(127, 160)])
_LEAST = 8
"""Columns below which a shortened text says nothing."""


@dataclass(frozen=True)
class Symbols:
    """The signs that are ours."""

    ok: str
    failed: str
    skipped: str
    arrow: str
    ellipsis: str


UNICODE = Symbols(ok="✓", failed="✗", skipped="-", arrow="→", ellipsis="…")
ASCII = Symbols(ok="ok", failed="FAILED", skipped="-", arrow="->", ellipsis="...")


def choose(wanted: str, encoding: str | None) -> Symbols:
    """Return the signs for ``auto``, ``unicode`` or ``ascii``; ``auto`` asks what the output's encoding can hold."""
    if wanted == "auto":
        try:
            "".join(vars(UNICODE).values()).encode(encoding or "ascii")
        except (LookupError, UnicodeEncodeError):
            return ASCII
        return UNICODE
    return ASCII if wanted == "ascii" else UNICODE


def clean_lines(text: str) -> list[str]:
    """Return a text's lines without anything that would move the cursor or change colours; tabs become blanks.

    Of a line that was written over (with carriage returns, as progress bars do), what was there last is kept.
    """
    lines = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").split("\n")
    last = [line.rstrip("\r").rpartition("\r")[2].expandtabs(4) for line in lines]
    return [line.translate(_CONTROL).rstrip() for line in last]


def one_line(text: str) -> str:
    """Return a text as one line, its white space as single blanks."""
    return " ".join(" ".join(clean_lines(text.replace("\\\n", " "))).split())


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    joined = sum(unicodedata.combining(char) != 0 for char in text)
    return len(text) + wide - joined


def shorten(text: str, limit: int, ellipsis: str) -> str:
    """Return a text of at most ``limit`` columns, cut between words if it can be; empty if nothing useful is left."""
    if columns(text) <= limit:
        return text
    if limit < _LEAST:
        return ""
    kept = cut(text, limit - columns(ellipsis))
    if kept.count("{{") > kept.count("}}"):
        kept = kept[: kept.rindex("{{")]
    whole, blank, rest = kept.rpartition(" ")
    if blank and (not rest or columns(whole) * 2 >= columns(kept)):
        return f"{whole.rstrip()} {ellipsis}"
    return kept + ellipsis


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text that takes at most ``limit`` columns."""
    taken = 0
    for index, char in enumerate(text):
        taken += columns(char)
        if taken > limit:
            return text[:index]
    return text


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.3s``, ``23s``, ``1m 05s``, ``2h 03m``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
