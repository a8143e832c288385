# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real NetworkManager on a node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.net.network_manager import NetworkManager
from testbed.net.node import Node

pytestmark = pytest.mark.node


def test_it_sees_the_nodes_nics_and_a_node_of_its_own(node: Callable[..., Node]) -> None:
    made = node("node1")
    made.add_nic("eth0", "fa:16:3e:00:00:01", "192.0.2.1/24")
    made.add_nic("eth1", "fa:16:3e:00:00:02")
    running = NetworkManager(made)
    running.wait_state("eth0", "connected (externally)")
    running.wait_state("eth1", "disconnected")
    assert running.profiles()["eth0"] == "/run/NetworkManager/system-connections/eth0.nmconnection"
    assert (made.root / "run/NetworkManager/system-connections/eth0.nmconnection").exists()
    assert not Path("/run/NetworkManager").exists()


def test_it_makes_up_profiles_if_it_may(node: Callable[..., Node]) -> None:
    made = node("node1")
    made.add_nic("eth1", "fa:16:3e:00:00:02")
    running = NetworkManager(made, auto_default=True)
    running.wait("a profile", lambda: "Wired connection 1" in running.profiles())
