# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with the NICs of a cluster."""

from __future__ import annotations


class ClusterError(Exception):
    """Base of this domain's errors; the text names the object, the operation, the cause and the remedy."""


class SettingsError(ClusterError):
    """What the controller was told is not valid."""


class Conflict(ClusterError):
    """An object is not what it was when it was observed; observe it again."""


class ApiError(ClusterError):
    """The API refused or did not answer.

    :param temporary: whether trying again may help.
    """

    def __init__(self, message: str, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary
