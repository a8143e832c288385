# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of an operation, the same in results, records and temporary names."""

from __future__ import annotations

import datetime
import secrets


def new_operation_id(now: datetime.datetime | None = None) -> str:
    """Return an id such as ``2026-01-14-170234-1f8a0c3e``.

    It says when the operation started (local time); of the eight digits the first three are the milliseconds, so that
    ids of one second sort by time, and five are random.
    """
    moment = now or datetime.datetime.now()
    return f"{moment:%Y-%m-%d-%H%M%S}-{moment.microsecond // 1000:03x}{secrets.token_hex(3)[:5]}"
