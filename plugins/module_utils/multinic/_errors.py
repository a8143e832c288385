# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong with the NICs of a node."""

from __future__ import annotations


class MultinicError(Exception):
    """Base of this domain's errors; the text names the object, the operation, the cause and the remedy."""


class ConfigError(MultinicError):
    """The desired state is not valid; the text names the entry."""


class SourceError(MultinicError):
    """The source of a node's desired state cannot be read or written; no secret of it is in the text."""


class NodeError(MultinicError):
    """The node did not do what it was asked to: a command failed, a file could not be written."""


class GuardError(MultinicError):
    """The dead-man's switch cannot be armed, or it has already restored the node."""
