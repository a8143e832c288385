# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers through a private containerd and its CRI: the node tier's pod backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.kube.cri.requirements import available

if TYPE_CHECKING:
    from testbed.kube.cri.backend import CriBackend

__all__ = ["CriBackend", "available"]


def __getattr__(name: str) -> object:
    """Import the backend when it is first asked for, so that ``available`` can also say that gRPC is missing."""
    if name != "CriBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from testbed.kube.cri.backend import CriBackend

    return CriBackend
