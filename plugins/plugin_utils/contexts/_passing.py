# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells causes that may be gone a little later, such as a host that restarts, from those that stay, such as a password.

Known by what ssh, kubectl and the kernel say; what is not known stays.
"""

from __future__ import annotations

import re

_PASSING = re.compile(
    r"connection (was )?(refused|reset|closed|lost|aborted|timed out)|timed? ?out|timeout|no route to host"
    r"|network is unreachable|broken pipe|kex_exchange_identification|connection to .* closed|closed by remote host"
    r"|did not end within|was not ready in time|ended before its turn|only a part of its script|ended with status"
    r"|was refused|unexpected EOF|connection reset|error dialing|unable to upgrade connection|is not ready"
    r"|is not running|none is ready|temporary failure|too many requests|ServiceUnavailable|mux_client",
    re.IGNORECASE,
)
_STAYING = re.compile(r"password was refused|server refused the login", re.IGNORECASE)


def may_pass(cause: str) -> bool:
    """Return whether what a connection failed for may be over when it is tried again."""
    return bool(_PASSING.search(cause)) and not _STAYING.search(cause)
