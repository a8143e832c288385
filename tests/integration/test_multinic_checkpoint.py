# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a checkpoint of NetworkManager is not among the guards: what the real one does with a change made by ``ip``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.net.network_manager import NetworkManager
from testbed.net.node import Node

pytestmark = pytest.mark.node
BUS = "org.freedesktop.NetworkManager"
SECONDS = 1


def test_a_checkpoint_undoes_neither_a_name_nor_an_mtu_nor_a_file(node: Callable[..., Node]) -> None:
    made = node()
    made.add_nic("eth1", "fa:16:3e:00:00:01")
    made.add_nic("eth2", "fa:16:3e:00:00:02")
    running = NetworkManager(made)
    for name, address in (("eth1", "198.51.100.1/24"), ("eth2", "203.0.113.1/24")):
        profile = f"type ethernet con-name {name} ifname {name} ipv6.method disabled ipv4.method manual"
        running.nmcli("connection", "add", *profile.split(), "ipv4.addresses", address)
        running.wait_state(name, "connected")

    path = f"/{BUS.replace('.', '/')}"
    create = ["busctl", "call", BUS, path, BUS, "CheckpointCreate", "aouu", "0", str(SECONDS), "0"]
    assert made.run(create).returncode == 0
    for command in (
        "ip link set dev eth1 mtu 1400",
        "ip link set dev eth2 down",
        "ip link set dev eth2 name multinic0",
        "ip link set dev multinic0 up",
        "touch /etc/NetworkManager/system-connections/multinic0.nmconnection",
    ):
        assert made.run(command.split()).returncode == 0, command
    checkpoints = ["busctl", "get-property", BUS, path, BUS, "Checkpoints"]
    running.wait("the checkpoint to be rolled back", lambda: made.run(checkpoints).stdout == b"ao 0\n")

    links = {link["ifname"]: link for link in made.links()}
    assert links["eth1"]["mtu"] == 1400
    assert "multinic0" in links
    assert (made.root / "etc/NetworkManager/system-connections/multinic0.nmconnection").exists()
