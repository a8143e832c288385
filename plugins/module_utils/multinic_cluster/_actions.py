# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What :func:`reconcile` wants to be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Union


@dataclass(frozen=True)
class AddFinalizer:
    """Keep the resource from vanishing before its node is cleaned."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Let the resource go."""

    reason: str


@dataclass(frozen=True)
class WriteStatus:
    """:param patch: a merge patch of ``status``; it is written with the resourceVersion that was observed."""

    patch: Mapping[str, Any]


@dataclass(frozen=True)
class CreateJob:
    """Create a Job if the resource is still what was observed.

    Its name says which run it is: where it exists already, that run has begun and nothing is to be done.
    """

    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The Job's name."""
        return str(self.manifest["metadata"]["name"])


@dataclass(frozen=True)
class DeleteJob:
    """Delete this very Job (another one may have its name), its pod first."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class Event:
    """:param type: ``Normal`` or ``Warning``."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True)
class Requeue:
    """Look again after so many seconds even if nothing is heard."""

    after: float


Action = Union[AddFinalizer, RemoveFinalizer, WriteStatus, CreateJob, DeleteJob, Event, Requeue]
