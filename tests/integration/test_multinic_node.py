# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the playbook ``multinic_node``: from a real database to the NICs of nodes, and back."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from integration.nics import login, mac_of, nics_of
from integration.support import PLAYBOOKS, Inventories, assert_no_traceback, one_line
from testbed.inventory import Inventory
from testbed.mariadb import Schema
from testbed.net.node import Node
from testbed.playbook import PlaybookResult

PLAYBOOK = PLAYBOOKS / "multinic_node.yml"
GROUP = "workers"
BACKEND = {"multinic_node_backend": "netplan"}


class Lost:
    """A node that nobody reaches."""

    name = "lost"

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]

    def inventory_vars(self) -> dict[str, Any]:
        return {"ansible_connection": "ansible.builtin.ssh", "ansible_host": "127.0.0.1", "ansible_port": self._port}


class Site:
    """Two nodes with two extra NICs each, and a database that has an address for each of them."""

    def __init__(self, make: Callable[..., Node], inventory: Inventories, schema: Schema) -> None:
        self.schema = schema
        self.account = schema.account(password="correct-horse-battery")
        self.nodes = [make("worker-1"), make("worker-2")]
        schema.subnet("net", "192.0.2.0/24")
        for number, node in enumerate(self.nodes, 1):
            for nic in (0, 1):
                node.add_nic(f"eth{nic}", mac_of(10 * number + nic))
                self.row(10 * number + nic, node.name)
        self.inventory: Inventory = inventory(
            Lost(), *self.nodes, groups={GROUP: ["lost", "worker-1", "worker-2"], "reached": ["worker-1", "worker-2"]}
        )

    def row(self, number: int, node: str) -> None:
        address = {"subnet_id": "net", "address": f"192.0.2.{number}", "mtu": 1400}
        self.schema.interface(number, node, mac_of(number), netplan_success=None, **address)

    def run(self, *arguments: str, nodes: str = GROUP, **variables: Any) -> PlaybookResult:
        """Run the playbook, one node at a time."""
        db = login(self.schema, self.account)
        given = {
            "nodes": nodes,
            "batch": 1,
            "multinic_node_source": "db",
            "multinic_node_db": db,
            **BACKEND,
            **variables,
        }
        env = {"NODE_NAME": "of-the-controller"}
        result = self.inventory.run_playbook(PLAYBOOK, *arguments, extra_vars=given, env=env)
        assert_no_traceback(result)
        assert self.account.password not in result.stdout + result.stderr
        return result


@pytest.fixture
def site(node: Callable[..., Node], inventory: Inventories, schema: Schema) -> Site:
    return Site(node, inventory, schema)


def failed(result: PlaybookResult) -> set[str]:
    return {task.host for task in result.tasks if task.status == "failed"}


@pytest.mark.node
def test_nodes_are_configured_one_after_the_other_until_too_many_have_failed(site: Site) -> None:
    first, second = site.nodes
    site.schema.sql("UPDATE {database}.multi_interface SET macaddress = 'fa:16:3e:00:00:99' WHERE id = 21")

    stopped = site.run(batch=2, max_failed=0)
    assert stopped.rc != 0
    assert "the node cannot be reached: " in one_line(stopped.stdout)
    assert (nics_of(first), nics_of(second), set(site.schema.outcomes().values())) == ({}, {}, {None})

    # half of the first batch is lost, and that is allowed
    went_on = site.run(batch=2, max_failed=50)
    assert went_on.rc != 0
    assert failed(went_on) == {"lost", "worker-2"}
    assert "no NIC of this node has the MAC address fa:16:3e:00:00:99" in one_line(went_on.stdout)
    assert list(nics_of(first).values()) == [(1400, ["192.0.2.10/24"]), (1400, ["192.0.2.11/24"])]
    assert list(nics_of(second).values()) == [(1400, ["192.0.2.20/24"])]
    assert site.schema.outcomes() == {10: 1, 11: 1, 20: 1, 21: 0}


@pytest.mark.node
def test_a_node_that_its_source_does_not_know_keeps_what_it_has(site: Site) -> None:
    first, second = site.nodes
    for number in (10, 11):
        site.schema.sql(
            "UPDATE {database}.multi_interface SET attached_node_name = 'gone' WHERE id = %s", values=(number,)
        )
    first.run(["ip", "link", "set", "eth0", "name", "multinic0"])
    refused = site.run(nodes="reached", batch=2, max_failed=50)
    assert failed(refused) == {"worker-1"}
    assert "To remove every interface that multinic_config manages there, say allow_empty" in one_line(refused.stdout)
    assert list(nics_of(first)) == ["multinic0"]
    assert len(nics_of(second)) == 2
    assert site.schema.outcomes() == {10: None, 11: None, 20: 1, 21: 1}

    # the same read on the node, by the name that the node itself has for it
    (first.directory / "nics.json").write_text(json.dumps({"nodes": {"its-own-name": []}}))
    play = {
        "hosts": "worker-1",
        "gather_facts": False,
        "environment": {"NODE_NAME": "its-own-name", "DATA_SOURCE": "file"},
        "roles": [{"role": "manifold.core.multinic_node"}],
        "vars": {
            **BACKEND,
            "multinic_node_source_on": "node",
            "multinic_node_file": str(first.directory / "nics.json"),
            "multinic_node_allow_empty": True,
        },
    }
    allowed = site.inventory.run_playbook([play]).check()
    assert "nothing is wanted of node 'its-own-name'" in one_line(allowed.stdout + allowed.stderr)
    assert nics_of(first) == {}
    assert "nothing is written back to a file" in str(allowed.task("Write the result back from the node").result)
