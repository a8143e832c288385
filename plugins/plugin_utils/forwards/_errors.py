# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go wrong with a forward."""

from __future__ import annotations


class ForwardError(Exception):
    """A forward cannot be: the text names the object, the cause and the remedy."""


class Unavailable(Exception):
    """The far end cannot be reached just now: a pod is being replaced, a connection was lost. Trying again may help."""
