# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a misspelt word was meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_CUTOFF = 0.6
"""How alike words have to be, from 0 to 1 (difflib)."""


def nearest(word: object, known: Collection[str], cutoff: float = _CUTOFF) -> str | None:
    """Return the known word that is most like ``word``; None if none is."""
    return next(iter(difflib.get_close_matches(str(word), known, n=1, cutoff=cutoff)), None)


def did_you_mean(word: object, known: Collection[str], cutoff: float = _CUTOFF) -> str | None:
    """Return the question for the known word that is most like ``word``; None if none is."""
    near = nearest(word, known, cutoff)
    return None if near is None else f"Did you mean '{near}'?"
