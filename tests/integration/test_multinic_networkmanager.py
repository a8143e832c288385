# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running NetworkManager does with a link of ours: it learns of our files and leaves the link as it is."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic import _files
from ansible_collections.manifold.core.plugins.module_utils.multinic._apply import perform
from ansible_collections.manifold.core.plugins.module_utils.multinic._backends import choose
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import claims
from ansible_collections.manifold.core.plugins.module_utils.multinic._guarded import take
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._networkmanager import NetworkManager as Backend
from ansible_collections.manifold.core.plugins.module_utils.multinic._restore import put_back
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import Command

from integration.nodes import NodeSystem, write
from testbed.net.network_manager import NetworkManager
from testbed.net.node import Node

pytestmark = pytest.mark.node
MAC = "fa:16:3e:00:00:07"
PROFILES = "/etc/NetworkManager/system-connections"
EXTERNALLY = "connected (externally)"


class Nic:
    """A node with one extra NIC, configured as a run does it: the link by ``ip``, then the files, then the daemon.

    :param boot: an interface whose files are there when NetworkManager starts, so that it sets up the link.
    """

    def __init__(self, node: Node, *, boot: Interface | None = None, auto_default: bool = False) -> None:
        self.node = node
        self.system = NodeSystem(node)
        self.backend = Backend(self.system)
        node.add_nic("eth0", "fa:16:3e:00:00:01", "198.51.100.1/24")
        node.add_nic("multinic0" if boot else "ens7", MAC)
        self.daemon = NetworkManager(node, auto_default=auto_default)
        self.daemon.wait_state("eth0", EXTERNALLY)
        if boot is not None:
            # as if it had started with the file there
            self.daemon.nmcli("connection", "load", *write(self.system, self.backend.render(boot, "multinic0"))[:1])
            self.daemon.wait_state("multinic0", "connected")

    def ip(self, *lines: str) -> None:
        done = self.node.run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines).encode())
        assert done.returncode == 0, done.stderr

    def name_it(self, address: str) -> None:
        self.ip("link set ens7 down", "link set ens7 name multinic0", "link set multinic0 mtu 1450 up")
        self.ip(f"address add {address} dev multinic0")

    def tell(self, interface: Interface, name: str = "multinic0", removed: tuple[str, ...] = ()) -> list[str]:
        for path in removed:
            _files.remove(self.system.path(path))
        return self.backend.tell(write(self.system, self.backend.render(interface, name)), removed)

    def watch(self) -> None:
        """From now on remember what happens to links and addresses."""
        start = "ip monitor link address > /run/monitor 2>&1 & "
        until_it_listens = "until [ -s /run/monitor ]; do ip address replace 127.0.0.9/8 dev lo; done"
        self.node.run(["sh", "-c", start + until_it_listens])

    def happened(self) -> str:
        """Return what has happened to the NIC; what other links did is not ours."""
        events = re.split(r"\n(?=\S)", (self.node.root / "run/monitor").read_text())
        return "\n".join(event for event in events if " lo " not in event and "eth0" not in event).strip()

    def addresses(self, name: str = "multinic0") -> list[str]:
        (link,) = (link for link in self.node.links() if link["ifname"] == name)
        return [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"]

    def take_long_to_let_go(self) -> None:
        """Give NetworkManager a script to wait for when it takes a link down, as many nodes have one."""
        script = self.system.path("/etc/NetworkManager/dispatcher.d/pre-down.d/slow")
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text("#!/bin/sh\nsleep 0.7\n")
        script.chmod(0o755)
        start = "setsid /usr/lib/NetworkManager/nm-dispatcher --persist < /dev/null > /run/dispatcher.log 2>&1 &"
        self.node.run(["sh", "-c", start])
        owned = ["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.nm_dispatcher"]
        ask = ["dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/", *owned]
        self.daemon.wait("its dispatcher", lambda: b"true" in self.node.run(ask).stdout)

    def mtu(self) -> int:
        return next(int(link["mtu"]) for link in self.node.links() if link["ifname"] == "multinic0")

    def active(self, name: str = "multinic0") -> str:
        """Return the name of the profile on which NetworkManager runs a link."""
        return self.daemon.nmcli("-g", "GENERAL.CONNECTION", "device", "show", name).strip()


def _wanted(*, address: str = "192.0.2.7/24", mtu: int = 1450) -> Interface:
    return Interface(1, MAC, ipaddress.ip_interface(address), mtu)


def test_a_link_that_we_set_up_is_left_alone_when_the_profile_comes_and_goes(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"))
    foreign = nic.system.path(f"{PROFILES}/foreign.nmconnection")
    foreign.write_text("[connection]\nid=foreign\ntype=ethernet\ninterface-name=eth0\n[ipv4]\nmethod=disabled\n")
    foreign.chmod(0o600)
    nic.name_it("192.0.2.7/24")
    nic.daemon.wait_state("multinic0", EXTERNALLY)
    nic.watch()
    assert nic.tell(_wanted()) == []
    assert f"{PROFILES}/multinic0.nmconnection" in nic.daemon.profiles().values()
    removed = tuple(file.path for file in nic.backend.own())
    for path in removed:
        _files.remove(nic.system.path(path))
    assert nic.backend.tell([], removed) == []
    assert not [path for path in nic.daemon.profiles().values() if path.startswith(PROFILES)]  # nor the foreign one
    assert nic.daemon.state("multinic0") == EXTERNALLY
    assert nic.addresses() == ["192.0.2.7/24"]
    assert nic.happened() == ""
    # What NetworkManager notes in /run of the links that it sees claims nothing.
    assert MAC in nic.system.path("/run/NetworkManager/system-connections/multinic0.nmconnection").read_text().lower()
    assert claims(nic.system, [MAC], ()) == ()


def test_a_boot_gives_the_nic_its_address_and_mtu(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"), boot=_wanted(mtu=1400))
    assert nic.active() == "multinic0"
    assert nic.addresses() == ["192.0.2.7/24"]
    assert nic.mtu() == 1400
    assert nic.daemon.state("eth0") == EXTERNALLY
    assert nic.node.run(["ip", "route", "show", "default"]).stdout == b""


@pytest.mark.parametrize(("old", "new"), [("192.0.2.7/24", "203.0.113.8/24"), ("2001:db8::7/64", "2001:db8::8/64")])
def test_a_change_holds_on_a_link_that_networkmanager_runs(node: Callable[..., Node], old: str, new: str) -> None:
    nic = Nic(node("node1"), boot=_wanted(address=old))
    nic.ip("link set multinic0 mtu 1400", f"address add {new} dev multinic0", f"address del {old} dev multinic0")
    nic.watch()
    assert nic.tell(_wanted(address=new, mtu=1400)) == []
    assert nic.daemon.state("multinic0") == "connected"
    assert "Deleted" not in nic.happened()
    # It comes back as it is wanted now.
    nic.daemon.nmcli("device", "disconnect", "multinic0")
    assert nic.addresses() == []
    nic.daemon.nmcli("device", "connect", "multinic0")
    assert (nic.addresses(), nic.mtu()) == ([new], 1400)


@pytest.mark.parametrize("address", ["192.0.2.7/24", "2001:db8::7/64"])
def test_a_nic_keeps_its_profile_under_another_name(node: Callable[..., Node], address: str) -> None:
    nic = Nic(node("node1"), boot=_wanted(address=address))
    nic.ip("link set multinic0 down", "link set multinic0 name multinic4", "link set multinic4 up")
    # for some milliseconds NetworkManager may forbid IPv6 on it
    perform(nic.system, Command(("ip", "address", "replace", address, "dev", "multinic4")))
    old = tuple(file.path for file in nic.backend.own())
    assert nic.tell(_wanted(address=address), "multinic4", old) == []
    nic.daemon.wait_state("multinic4", "connected")
    assert nic.daemon.profiles()["multinic4"] == f"{PROFILES}/multinic4.nmconnection"
    assert "multinic0" not in nic.daemon.profiles()
    assert nic.addresses("multinic4") == [address]
    assert nic.node.run(["ip", "-6", "address", "show", "dev", "multinic4", "scope", "link"]).stdout != b""


def test_names_that_swap_keep_their_profiles(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"), boot=_wanted())
    other = Interface(2, "fa:16:3e:00:00:08", ipaddress.ip_interface("203.0.113.8/24"))
    nic.node.add_nic("multinic1", other.mac)
    nic.daemon.nmcli("connection", "load", *write(nic.system, nic.backend.render(other, "multinic1"))[:1])
    nic.daemon.wait_state("multinic1", "connected")
    nic.ip("link set multinic0 down", "link set multinic1 down", "link set multinic0 name mnic0")
    nic.ip("link set multinic1 name multinic0", "link set mnic0 name multinic1")
    nic.ip("link set multinic0 up", "link set multinic1 up")
    nic.ip("address replace 203.0.113.8/24 dev multinic0", "address replace 192.0.2.7/24 dev multinic1")
    files = (*nic.backend.render(other, "multinic0"), *nic.backend.render(_wanted(), "multinic1"))
    assert nic.backend.tell(write(nic.system, files), []) == []
    for name, address in {"multinic0": "203.0.113.8/24", "multinic1": "192.0.2.7/24"}.items():
        nic.daemon.wait_state(name, "connected")
        assert (nic.active(name), nic.addresses(name)) == (name, [address])


def test_a_link_on_which_networkmanager_tries_dhcp_gets_our_profile(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"), auto_default=True)
    nic.daemon.wait("DHCP to be tried", lambda: nic.active("ens7") == "Wired connection 1")
    nic.name_it("192.0.2.7/24")
    assert nic.active() == "Wired connection 1"
    assert nic.tell(_wanted()) == []
    assert (nic.active(), nic.daemon.state("multinic0")) == ("multinic0", "connected")
    assert nic.addresses() == ["192.0.2.7/24"]


def test_undoing_leaves_nothing_under_way_that_would_take_an_address_away(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"), boot=_wanted())
    nic.take_long_to_let_go()
    (untell,) = nic.backend.untell()
    for file in nic.backend.own():
        _files.remove(nic.system.path(file.path))
    assert nic.node.run(untell).returncode == 0
    nic.ip("link set multinic0 up", "address replace 192.0.2.7/24 dev multinic0")
    nic.daemon.wait_state("multinic0", EXTERNALLY)
    assert nic.addresses() == ["192.0.2.7/24"]
    assert "multinic0" not in [name for name, path in nic.daemon.profiles().items() if path.startswith(PROFILES)]


def test_undoing_a_change_gives_networkmanager_the_old_profile_back(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"), boot=_wanted())
    (untell,) = nic.backend.untell()
    nic.ip("address add 203.0.113.8/24 dev multinic0", "address del 192.0.2.7/24 dev multinic0")
    nic.tell(_wanted(address="203.0.113.8/24"))
    write(nic.system, nic.backend.render(_wanted(), "multinic0"))
    assert nic.node.run(untell).returncode == 0
    nic.ip("address add 192.0.2.7/24 dev multinic0", "address del 203.0.113.8/24 dev multinic0")
    assert nic.daemon.state("multinic0") == "connected"
    assert nic.daemon.nmcli("-g", "ipv4.addresses", "connection", "show", "multinic0") == "192.0.2.7/24\n"


def test_restoring_puts_the_addresses_back_that_networkmanager_takes_away(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"), auto_default=True)
    nic.daemon.wait("DHCP to be tried", lambda: nic.active("ens7") == "Wired connection 1")
    nic.ip("link set ens7 up", "address add 192.0.2.7/24 dev ens7")
    nic.take_long_to_let_go()
    (index,) = (link["ifindex"] for link in nic.node.links() if link["ifname"] == "ens7")
    paths = [file.path for file in nic.backend.render(_wanted(), "multinic0")]
    snapshot = take(nic.system, nic.backend, [index], paths)
    nic.ip("link set ens7 down", "link set ens7 name multinic0", "link set multinic0 up")
    nic.ip("address replace 192.0.2.7/24 dev multinic0")
    assert nic.tell(_wanted()) == []
    assert nic.active() == "multinic0"
    assert put_back(nic.system, snapshot) == ()
    assert nic.addresses("ens7") == ["192.0.2.7/24"]
    assert nic.daemon.state("ens7") != "deactivating"


def test_a_file_that_networkmanager_cannot_take_is_a_warning(node: Callable[..., Node]) -> None:
    nic = Nic(node("node1"))
    path = f"{PROFILES}/multinic0.nmconnection"
    _files.write(nic.system.path(path), b"[connection]\nuuid=not one\n")
    (warning,) = nic.backend.tell([path], [])
    assert warning.startswith("NetworkManager was not told of our profiles, it will at the next boot: ")
    assert path in warning


def test_it_is_chosen_where_it_runs_and_not_told_where_it_does_not(node: Callable[..., Node]) -> None:
    made = node("node1")
    backend = Backend(NodeSystem(made))
    assert backend.unused() is not None
    assert backend.tell(write(backend.system, backend.render(_wanted(), "multinic0")), []) == []
    assert backend.untell() == ()
    NetworkManager(made)
    assert choose(NodeSystem(made)).name == "networkmanager"
    assert Path("/etc/netplan").exists()
