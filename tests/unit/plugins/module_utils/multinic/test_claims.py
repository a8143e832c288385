# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which foreign files name a NIC, and which only seem to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import (
    Claim,
    NameClaim,
    claims,
    name_claims,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from hypothesis import given
from hypothesis import strategies as st

from unit.scripted_node import ScriptedNode

MAC = "fa:06:3e:0c:1a:6e"
OTHER = "fa:06:3e:0c:1a:6f"
YAML = "/etc/netplan/50-cloud-init.yaml"


@pytest.fixture
def node(tmp_path: Path) -> ScriptedNode:
    return ScriptedNode(tmp_path)


def _found(node: ScriptedNode, *own: str) -> list[str]:
    found = claims(node, [MAC, OTHER], own)
    assert all(claim.mac == MAC for claim in found)
    return [claim.path for claim in found]


@pytest.mark.parametrize(
    "text",
    [
        f"macaddress: {MAC}",
        f'macaddress: "{MAC.upper()}"',
        "HWADDR=FA-06-3E-0C-1A-6E",
        "macaddress:fa:06:3e:0c:1a:6e",
        "mac-address=fa:6:3e:c:1a:6e",
        "mac-address=250;6;62;12;26;110;",
        "MACAddress=fa06.3e0c.1a6e",
        "enxfa063e0c1a6e: {dhcp4: true}",
        "unmanaged-devices=mac:fa:06:3e:0c:1a:6e,interface-name:a",
        "\ufeffmac: fa:06:3e:0c:1a:6e\r\n",
        "dhcp4: true  # fa:06:3e:0c:1a:6e",
    ],
)
def test_every_notation_counts(node: ScriptedNode, text: str) -> None:
    node.put(YAML, f"a: b\n{text}\nc: d\n")
    assert _found(node) == [YAML]


@pytest.mark.parametrize(
    "text",
    [
        f"# macaddress: {MAC}",
        f"   # macaddress: {MAC}",
        f"\t;mac-address={MAC}",
        "fa:06:3e:0c:1a:6e1",
        "afa063e0c1a6e",
        "macaddress: fa:06:3e:0c:1a:60",
        "uuid=5d4a8a2e-0000-11ee-8000-fa063e0c1a6e",
        "1250;6;62;12;26;110",
        "250;6;62;12;26;1101",
        "fa:00006:3e:0c:1a:6e",
        "",
    ],
)
def test_what_only_looks_alike_does_not(node: ScriptedNode, text: str) -> None:
    node.put(YAML, f"a: b\n{text}\nc: d\n")
    assert _found(node) == []


@given(st.lists(st.integers(0, 255), min_size=6, max_size=6), st.sampled_from(":-"), st.booleans(), st.booleans())
def test_any_mac_is_found_however_it_is_spelled(
    tmp_path_factory: pytest.TempPathFactory, octets: list[int], separator: str, short: bool, upper: bool
) -> None:
    node = ScriptedNode(tmp_path_factory.mktemp("node"))
    mac = ":".join(f"{octet:02x}" for octet in octets)
    spelled = separator.join(f"{octet:x}" if short else f"{octet:02x}" for octet in octets)
    node.put(YAML, f"macaddress: '{spelled.upper() if upper else spelled}'")
    assert claims(node, [mac], ()) == (Claim(mac, YAML),)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/netplan/x.yaml",
        "/run/netplan/x.yaml",
        "/lib/netplan/x.yaml",
        "/etc/NetworkManager/NetworkManager.conf",
        "/etc/NetworkManager/conf.d/x.conf",
        "/usr/lib/NetworkManager/conf.d/x.conf",
        "/etc/NetworkManager/system-connections/Wired connection 1",
        "/etc/NetworkManager/system-connections/x.nmconnection.bak",
        "/run/NetworkManager/system-connections/x.nmconnection",
        "/run/NetworkManager/system-connections/netplan-eth0.nmconnection",
        "/usr/lib/NetworkManager/system-connections/x.nmconnection",
        "/etc/sysconfig/network-scripts/ifcfg-eth0",
        "/etc/sysconfig/network/ifcfg-eth0",
        "/etc/systemd/network/x.link",
        "/etc/systemd/network/x.network",
        "/etc/systemd/network/x.network.d/y.conf",
        "/run/systemd/network/x.netdev",
        "/run/systemd/network/10-netplan-eth0.link",
        "/usr/lib/systemd/network/x.link",
        "/etc/network/interfaces",
        "/etc/network/interfaces.d/eth0",
        "/etc/udev/rules.d/70-persistent-net.rules",
        "/etc/udev/rules.d/10-names.rules",
        "/run/udev/rules.d/70-persistent-net.rules",
        "/usr/lib/udev/rules.d/70-persistent-net.rules",
        "/etc/netplan/95-multinic0.yaml",
        "/etc/netplan/90-multinic1.yaml",
    ],
)
def test_everything_that_may_configure_a_nic_is_looked_at(node: ScriptedNode, path: str) -> None:
    node.put(path, MAC)
    assert _found(node) == [path]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/netplan/.x.yaml",
        "/etc/netplan/x.yaml.bak",
        "/etc/netplan/x.yaml~",
        "/etc/netplan/.90-multinic0.yaml.abcdef.manifold",
        "/etc/NetworkManager/system-connections/.x.nmconnection",
        "/etc/NetworkManager/system-connections/x.nmconnection~",
        "/etc/NetworkManager/conf.d/x.conf.rpmsave",
        "/etc/sysconfig/network-scripts/ifcfg-eth0.bak",
        "/etc/sysconfig/network-scripts/ifup",
        "/etc/systemd/network/x.link.dpkg-old",
        "/etc/systemd/network/.x.link",
        "/etc/systemd/network/x.link.d/y.conf~",
        "/etc/network/interfaces.bak",
        "/etc/udev/rules.d/70-persistent-net.rules.old",
        "/run/NetworkManager/system-connections/netplan-multinic0.nmconnection",
        "/run/systemd/network/10-netplan-multinic0.link",
        "/run/systemd/network/10-netplan-multinic0.network",
        "/run/udev/rules.d/90-netplan.rules",
        "/etc/hosts",
    ],
)
def test_what_nobody_reads_or_was_made_from_ours_is_not(node: ScriptedNode, path: str) -> None:
    node.put(path, MAC)
    assert _found(node) == []


def test_what_networkmanager_wrote_of_a_link_that_it_saw_is_no_claim(node: ScriptedNode) -> None:
    text = f"[ethernet]\nmac-address={MAC}\n[.nmmeta]\nnm-generated=true\nvolatile=true\n"
    node.put("/run/NetworkManager/system-connections/eth1.nmconnection", text)
    assert _found(node) == []
    node.put("/etc/NetworkManager/system-connections/eth1.nmconnection", text)
    assert _found(node) == ["/etc/NetworkManager/system-connections/eth1.nmconnection"]


def test_our_own_files_are_no_claim(node: ScriptedNode) -> None:
    node.put("/etc/netplan/90-multinic0.yaml", MAC)
    node.put("/etc/systemd/network/70-multinic0.link", MAC)
    assert _found(node, "/etc/netplan/90-multinic0.yaml") == ["/etc/systemd/network/70-multinic0.link"]


def test_a_file_that_is_not_utf8_is_read_all_the_same(node: ScriptedNode) -> None:
    node.put(YAML, b"\xff\xfe\x00 " + MAC.encode() + b" \x80")
    assert _found(node) == [YAML]


def test_a_name_that_is_not_utf8_can_be_printed(node: ScriptedNode) -> None:
    node.put(os.fsdecode(b"/etc/network/interfaces.d/eth\xff"), MAC)
    assert _found(node) == ["/etc/network/interfaces.d/eth\N{REPLACEMENT CHARACTER}"]


def test_symbolic_links_are_followed_on_the_node(node: ScriptedNode) -> None:
    node.put("/srv/netplan/x.yaml", MAC)
    node.link("/etc/netplan", "/srv/there")
    node.link("/srv/there", "../srv/./netplan")
    assert _found(node) == ["/etc/netplan/x.yaml"]
    node.link("/etc/systemd/network/y.link", "/srv/netplan/x.yaml")
    assert _found(node) == ["/etc/netplan/x.yaml"]  # the same file: told once


def test_what_is_no_file_is_left_alone(node: ScriptedNode) -> None:
    folder = node.put("/etc/systemd/network/real.link", "").parent
    (folder / "nowhere.link").symlink_to("gone")
    (folder / "loop.link").symlink_to("loop.link")
    (folder / "folder.link").mkdir()
    os.mkfifo(folder / "fifo.link")
    (folder / "null.link").symlink_to("/dev/null")
    node.put("/etc/netplan", "a file where a folder belongs")
    assert _found(node) == []


def test_an_unreadable_file_is_an_error_that_names_it(node: ScriptedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    node.put(YAML, MAC)
    real = os.open

    def refuse(path: Path, flags: int) -> int:
        if str(path).endswith("cloud-init.yaml"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(
        NodeError, match=rf"^cannot read {YAML}: Permission denied; cannot tell whether it claims a NIC$"
    ):
        claims(node, [MAC], ())


def test_a_very_large_file_is_not_read_into_memory(node: ScriptedNode) -> None:
    with node.put(YAML).open("r+b") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(NodeError, match=rf"^{YAML} is larger than 16 MiB: .*; move it away$"):
        claims(node, [MAC], ())


def test_a_large_file_is_read_to_its_end(node: ScriptedNode) -> None:
    node.put(YAML, b"# comment\n" * 1_000_000 + MAC.encode())
    assert _found(node) == [YAML]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("multinic0:", True),
        ("interfaces: [eth0,multinic0]", True),
        ("Name=multinic0", True),
        ("vlan on multinic0.100", True),
        ("#multinic0", False),
        ("multinic01", False),
        ("my-multinic0", False),
        ("multinic0-old", False),
        ("multinic1", False),
    ],
)
def test_a_foreign_use_of_our_names_is_told(node: ScriptedNode, text: str, named: bool) -> None:
    node.put(YAML, text)
    assert name_claims(node, ["multinic0"], ()) == ((NameClaim("multinic0", YAML),) if named else ())


def test_nothing_wanted_reads_nothing(node: ScriptedNode) -> None:
    node.path("/etc").mkdir()
    node.path("/etc/netplan").symlink_to("netplan")
    assert claims(node, [], ()) == ()
