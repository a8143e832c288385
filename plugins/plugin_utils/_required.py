# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be there at a point of the program, whatever the type says."""

from __future__ import annotations

from typing import TypeVar

_Value = TypeVar("_Value")


def required(value: _Value | None, what: str) -> _Value:
    """Return the value; raise RuntimeError, which is a defect of ours, if there is none."""
    if value is None:
        raise RuntimeError(f"defect: there is no {what}")
    return value
