# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers through a private containerd and its CRI: the node tier's pod backend."""

from __future__ import annotations

from testbed.kube.cri.backend import CriBackend
from testbed.kube.cri.requirements import available

__all__ = ["CriBackend", "available"]
