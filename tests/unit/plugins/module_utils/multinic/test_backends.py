# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend a node gets, by what is there and by what manages its links."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._backends import all_own, choose
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import ConfigError, NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._ifcfg import Ifcfg
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._netplan import Netplan
from ansible_collections.manifold.core.plugins.module_utils.multinic._networkmanager import NetworkManager

from unit.scripted_node import ScriptedNode

RUNNING = {"nmcli -g RUNNING general": "running\n"}
IFUP = "/etc/sysconfig/network-scripts/ifup-eth"


@pytest.fixture
def node(tmp_path: Path) -> ScriptedNode:
    return ScriptedNode(tmp_path)


def _install(node: ScriptedNode, *paths: str) -> None:
    for path in paths:
        node.put(path, "", 0o755)


def test_a_node_that_netplan_configures_gets_netplan_though_networkmanager_runs(node: ScriptedNode) -> None:
    _install(node, "/usr/sbin/netplan", "/usr/sbin/NetworkManager", "/etc/netplan/50-cloud-init.yaml")
    node.answers = RUNNING
    assert choose(node).name == "netplan"


@pytest.mark.parametrize("folder", ["/lib/netplan", "/run/netplan"])
def test_files_of_netplan_count_wherever_it_reads_them(node: ScriptedNode, folder: str) -> None:
    _install(node, "/usr/sbin/netplan", f"{folder}/00-installer.yaml")
    assert choose(node).name == "netplan"


def test_a_node_that_networkd_manages_gets_netplan_if_it_is_there(node: ScriptedNode) -> None:
    _install(node, "/usr/sbin/netplan", "/run/systemd/netif/state")
    assert choose(node).name == "netplan"


def test_netplan_that_configures_nothing_leaves_the_node_to_networkmanager(node: ScriptedNode) -> None:
    _install(node, "/usr/sbin/netplan", "/usr/sbin/NetworkManager", "/etc/netplan/.hidden.yaml", IFUP)
    node.answers = RUNNING
    assert choose(node).name == "networkmanager"


def test_networkmanager_that_is_off_leaves_the_node_to_the_network_service(node: ScriptedNode) -> None:
    _install(node, "/usr/sbin/NetworkManager", IFUP)
    assert choose(node).name == "ifcfg"


def test_our_own_files_decide_where_nothing_else_does(node: ScriptedNode) -> None:
    _install(node, "/usr/sbin/netplan", "/usr/sbin/NetworkManager")
    (keyfile, _link) = NetworkManager(node).render(Interface(1, "fa:16:3e:00:00:01"), "multinic0")
    node.put(keyfile.path, keyfile.content)
    assert choose(node).name == "networkmanager"


def test_a_node_of_which_nothing_is_known_is_an_error_that_says_what_was_looked_for(node: ScriptedNode) -> None:
    _install(node, "/usr/sbin/NetworkManager")
    with pytest.raises(NodeError) as raised:
        choose(node)
    assert str(raised.value) == (
        "cannot tell what manages the links of this node, so choose a `backend` ("
        "netplan: netplan is not installed (no command `netplan`); install netplan.io; "
        "networkmanager: NetworkManager does not run, or nmcli cannot reach it; "
        "ifcfg: the network service of ifcfg files is not installed "
        "(no /etc/sysconfig/network-scripts/ifup-eth); install network-scripts)"
    )


@pytest.mark.parametrize(
    ("wanted", "command"),
    [("netplan", "/usr/sbin/netplan"), ("networkmanager", "/usr/sbin/NetworkManager"), ("ifcfg", IFUP)],
)
def test_a_backend_that_is_wanted_is_used_if_it_is_installed(node: ScriptedNode, wanted: str, command: str) -> None:
    with pytest.raises(
        NodeError, match=rf"^backend {wanted} cannot be used on this node: .*install.*another `backend`$"
    ):
        choose(node, wanted)
    _install(node, command)
    assert choose(node, wanted).name == wanted


def test_a_backend_that_does_not_exist_is_an_error(node: ScriptedNode) -> None:
    with pytest.raises(ConfigError, match=r"^backend wicked is not one of auto, netplan, networkmanager, ifcfg$"):
        choose(node, "wicked")


def test_our_files_of_every_backend_are_found(node: ScriptedNode) -> None:
    interface = Interface(1, "fa:16:3e:00:00:01")
    files = [file for kind in (Netplan, NetworkManager, Ifcfg) for file in kind(node).render(interface, "multinic0")]
    for file in files:
        node.put(file.path, file.content, file.mode)
    assert [file.path for file in all_own(node)] == sorted(file.path for file in files)


@pytest.mark.parametrize("kind", [Netplan, Ifcfg])
def test_a_daemon_that_reads_its_files_at_boot_is_not_told(node: ScriptedNode, kind: type[Netplan | Ifcfg]) -> None:
    backend = kind(node)
    written = [file.path for file in backend.render(Interface(1, "fa:16:3e:00:00:01"), "multinic0")]
    assert (backend.tell(written, []), backend.untell(), node.commands) == ([], (), [])
