# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods on a test node: real containers in the network of a :class:`testbed.net.node.Node`."""

from __future__ import annotations

from testbed.kube.node_pods.backend import NodeBackend

__all__ = ["NodeBackend"]
