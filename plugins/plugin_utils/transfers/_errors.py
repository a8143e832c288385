# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with a transfer."""

from __future__ import annotations


class TransferError(Exception):
    """A transfer cannot be done, or was not; the text names the place, the cause and, if known, the remedy."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing
        """Whether it may go well when it is tried again: a connection was lost, a stream cut or stalled."""


class SpecError(TransferError):
    """A transfer is not described correctly; nothing was tried."""
