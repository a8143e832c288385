# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.multinic_info`` on a test node: what is ours, what was changed by hand, what others claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integration.nic_machine import SYSTEM_MAC, Machine, entry, mac_of
from integration.on_node import KILLED
from testbed.inventory import Inventory
from testbed.net.node import Node

pytestmark = pytest.mark.node


def of_name(info: Any, name: str) -> Any:
    """Return what is told of an interface."""
    (found,) = [each for each in info["interfaces"] if each["name"] == name]
    return found


def test_what_is_ours_and_what_became_of_it(node: Callable[..., Node]) -> None:
    made = Machine(node(), 4)
    made.configured([entry(1), entry(2, mtu=None), entry(3)])
    before = made.traces()
    info = made.remote.call("inspect")
    assert [each["drift"] for each in info["interfaces"]] == [[], [], []] and not info["drift"]
    assert of_name(info, "multinic1") == {
        "id": 2,
        "mac": mac_of(2),
        "name": "multinic1",
        "address": "10.0.2.1/24",
        "mtu": None,
        "link": "multinic1",
        "files": ["/etc/netplan/91-multinic1.yaml"],
        "drift": [],
        "reason": None,
    }
    assert made.traces() == before
    made.ip("link set dev multinic0 mtu 1300")
    made.ip("address add 10.9.9.9/24 dev multinic0")
    made.put("/etc/netplan/91-multinic1.yaml", made.files()["91-multinic1.yaml"] + "# edited\n")
    made.node.remove_nic("multinic2")
    made.ip("link set dev eth4 name multinic8")
    made.put("/etc/netplan/60-other.yaml", f"macaddress: {mac_of(4)}\nmultinic7:\n")
    info = made.remote.call("inspect")
    assert info["drift"]
    assert of_name(info, "multinic0")["drift"] == [
        "ip address delete 10.9.9.9/24 dev multinic0",
        "ip link set dev multinic0 mtu 1450",
    ]
    assert of_name(info, "multinic1")["drift"] == ["write /etc/netplan/91-multinic1.yaml"]
    gone, stray = of_name(info, "multinic2"), of_name(info, "multinic8")
    assert (gone["link"], gone["reason"]) == (None, f"no NIC of this node has the MAC address {mac_of(3)}")
    assert (stray["id"], stray["drift"]) == (None, ["ip link set dev multinic8 name orph0"])
    nics = {nic["mac"]: nic for nic in info["nics"]}
    assert set(nics) == {SYSTEM_MAC, mac_of(1), mac_of(2), mac_of(4)}
    assert (nics[SYSTEM_MAC]["ours"], nics[mac_of(1)]["ours"]) == (False, True)
    assert "carries the default route" in nics[SYSTEM_MAC]["reason"] and nics[mac_of(1)]["reason"] is None
    claims = [(claim["path"], claim["mac"], claim["name"]) for claim in info["claims"]]
    assert ("/etc/netplan/60-other.yaml", mac_of(4), None) in claims
    assert ("/etc/netplan/60-other.yaml", None, "multinic7") in claims
    assert {path for path, mac, _name in claims if mac == SYSTEM_MAC} >= {"/etc/netplan/50-cloud-init.yaml"}
    died = made.remote.call("change", guard="none", seconds=60, indexes=[], files={}, commands=[], end="die")
    assert died == KILLED
    assert made.remote.call("inspect")["unfinished"]
    made.close()


def test_a_node_of_which_nothing_tells_what_manages_it(
    node: Callable[..., Node], inventory: Callable[..., Inventory]
) -> None:
    made = node()
    made.add_nic("eth1", mac_of(1))
    result = inventory(made).run_playbook(
        """
        - hosts: node1
          gather_facts: false
          tasks:
            - {name: Info, manifold.core.multinic_info: }
            - {name: Nowhere, manifold.core.multinic_info: {host_root: /nowhere}}
        """
    )
    info = result.check().task("Info").result
    assert not info["changed"] and info["interfaces"] == [] and [nic["name"] for nic in info["nics"]] == ["eth1"]
    assert info["backend"] is not None or "cannot tell what manages the links" in info["backend_reason"]
