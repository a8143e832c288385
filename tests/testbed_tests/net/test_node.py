# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes with NICs of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.inventory import Inventory
from testbed.net.node import Node, NodeError

pytestmark = pytest.mark.node
Nodes = Callable[..., Node]


def test_a_nic_has_its_mac_and_address_and_only_the_node_sees_it(node: Nodes) -> None:
    made = node("node1")
    made.add_nic("eth7", "fa:16:3e:1c:1a:6e", "192.0.2.7/24")
    links = {link["ifname"]: link for link in made.links()}
    assert set(links) == {"lo", "eth7"}
    assert links["eth7"]["address"] == "fa:16:3e:1c:1a:6e"
    assert links["eth7"]["addr_info"][0]["local"] == "192.0.2.7"
    assert set(made.run(["ls", "/sys/class/net"]).stdout.decode().split()) == {"lo", "eth7"}
    assert not Path("/sys/class/net/eth7").exists()


def test_an_impossible_mac_is_an_error_that_names_the_node(node: Nodes) -> None:
    with pytest.raises(NodeError, match=r"node node1: .*address"):
        node("node1").add_nic("eth0", "not-a-mac")


@pytest.mark.parametrize("folder", ["/etc/netplan", "/var/lib/testbed-private"])
def test_files_of_the_node_are_private(node: Nodes, folder: str) -> None:
    made = node("node1")
    path = Path(folder, "90-testbed-private.yaml")
    made.run(["sh", "-c", f"mkdir -p {folder} && echo private > {path}"])
    assert (made.root / path.relative_to("/")).read_text() == "private\n"
    assert not path.exists()


def test_two_nodes_do_not_share_names(node: Nodes) -> None:
    first, second = node("node1"), node("node2")
    first.add_nic("eth0", "fa:16:3e:00:00:01")
    second.add_nic("eth0", "fa:16:3e:00:00:01")
    assert first.run(["hostname"]).stdout == b"node1\n"
    assert second.run(["hostname"]).stdout == b"node2\n"


def test_modules_run_on_the_node(node: Nodes, inventory: Callable[..., Inventory]) -> None:
    made = node("node1")
    made.add_nic("eth9", "fa:16:3e:00:00:09", "192.0.2.9/24")
    result = inventory(made).run_playbook(
        """
        - hosts: node1
          gather_facts: false
          tasks:
            - {name: Facts, ansible.builtin.setup: {gather_subset: [network]}}
            - {name: Links, ansible.builtin.command: ls /sys/class/net}
        """
    )
    result.check()
    assert result.task("Facts").result["ansible_facts"]["ansible_eth9"]["macaddress"] == "fa:16:3e:00:00:09"
    assert result.task("Links").result["stdout"].split() == ["eth9", "lo"]


def test_close_ends_what_was_started_on_the_node(node: Nodes) -> None:
    made = node("node1")
    assert made.run(["sh", "-c", "setsid sleep 1000 > /dev/null 2>&1 & echo $!"]).returncode == 0
    made.close()
    assert not made.root.exists()
