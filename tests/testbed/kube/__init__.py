"""A Kubernetes API on loopback, and the backends that run its pods."""
# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from testbed.kube.calls import Call, CallFault, Reset
from testbed.kube.faults import Action, Direction, Fault
from testbed.kube.kube import Kube, NotReady, PodHandle
from testbed.kube.nodes import TestNode
from testbed.kube.stub_backend import Outcome, StubBackend

__all__ = [
    "Action",
    "Call",
    "CallFault",
    "Direction",
    "Fault",
    "Kube",
    "NotReady",
    "Outcome",
    "PodHandle",
    "Reset",
    "StubBackend",
    "TestNode",
]
