# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``no_log`` leaves of a result by the time that callbacks are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_hidden(result: Mapping[str, Any]) -> bool:
    """Return whether ``no_log`` took the content of a result away."""
    return bool(result.get("_ansible_no_log")) or "censored" in result
