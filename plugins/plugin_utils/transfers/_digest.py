# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the steps of a transfer say, on stderr, of the archive that they made or were given."""

from __future__ import annotations

import re

from ..streams._result import StepResult
from ._shell import DIGEST

_LINE = re.compile(rf"(?:^|(?<=\n)){DIGEST} ([0-9a-f]{{32}}) (?:([0-9a-f]{{64}})|[^\s]*)(?:\n|$)")


def digest_of(step: StepResult, nonce: str) -> str | None:
    """Return the checksum of the archive that a step has seen, None if it could not say."""
    said = [match[2] for match in _LINE.finditer(step.stderr) if match[1] == nonce]
    return said[-1] if said else None


def without_digests(text: str) -> str:
    """Return what a step said besides that."""
    return _LINE.sub("", text)
