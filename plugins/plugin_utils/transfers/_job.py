# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of a transfer have in common once both ends are known."""

from __future__ import annotations

from dataclasses import dataclass

from ._ends import Ends
from ._listing import Listing
from ._spec import Request, Result


@dataclass
class Job:
    """A transfer between two ends that were looked at."""

    request: Request
    ends: Ends
    result: Result
    """What is known so far; it is filled in on the way."""
    src: Listing
    dest: Listing
    root: str
    """The file or directory that is written, at the destination."""
