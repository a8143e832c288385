# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The handshake by which a connection becomes a WebSocket (RFC 6455, section 1.3)."""

from __future__ import annotations

import base64
import hashlib
import os

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def new_key() -> str:
    """Return a key for a handshake."""
    return base64.b64encode(os.urandom(16)).decode()


def expected_answer(key: str) -> str:
    """Return the Sec-WebSocket-Accept that shows that the server has understood."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
