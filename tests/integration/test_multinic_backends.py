# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backends write, read by the tools that read it on a node.

A NIC is the same to them: MAC, name, address and MTU, and nothing else taken from the network.
"""

from __future__ import annotations

import configparser
import ipaddress
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._ifcfg import Ifcfg
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface, InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._netplan import Netplan
from ansible_collections.manifold.core.plugins.module_utils.multinic._networkmanager import NetworkManager
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import LocalSystem
from hypothesis import Phase, given, settings

from integration.nodes import NodeSystem, new_root, slots, write
from testbed.net.node import Node

pytestmark = pytest.mark.node
FEW = settings(max_examples=6, phases=[Phase.explicit, Phase.generate])  # shrinking would start tools for minutes
Read = tuple[str, InterfaceAddress | None, int | None]
"""MAC, address, MTU."""


def _wanted(named: dict[str, Interface]) -> dict[str, Read]:
    return {name: (interface.mac, interface.address, interface.mtu) for name, interface in named.items()}


def _run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def _address(text: str | None) -> InterfaceAddress | None:
    return ipaddress.ip_interface(text) if text else None


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _generated_for_networkd(folder: Path, name: str) -> Read:
    network = _ini((folder / f"10-netplan-{name}.network").read_text())
    link = _ini((folder / f"10-netplan-{name}.link").read_text())
    mac = network["Match"]["PermanentMACAddress"]
    assert (link["Match"]["PermanentMACAddress"], link["Link"]["Name"]) == (mac, name)
    assert network["Link"]["RequiredForOnline"] == "no"
    assert dict(network["Network"]) | {"Address": ""} == {
        "LinkLocalAddressing": "ipv6",
        "IPv6AcceptRA": "no",
        "Address": "",
    }
    assert network["Link"].get("MTUBytes") == link["Link"].get("MTUBytes")
    return mac, _address(network["Network"].get("Address")), _number(link["Link"].get("MTUBytes"))


@FEW
@given(named=slots())
def test_netplan_generates_the_same_nics_for_networkd(
    named: dict[str, Interface], tmp_path_factory: pytest.TempPathFactory
) -> None:
    system = LocalSystem(new_root(tmp_path_factory.getbasetemp()))
    for name, interface in named.items():
        write(system, Netplan(system).render(interface, name))
    _run("netplan", "generate", "--root-dir", str(system.root))
    folder = system.path("/run/systemd/network")
    assert {name: _generated_for_networkd(folder, name) for name in named} == _wanted(named)
    assert len(list(folder.iterdir())) == 2 * len(named)


@FEW
@given(named=slots())
def test_netplan_generates_the_same_nics_for_networkmanager(
    named: dict[str, Interface], tmp_path_factory: pytest.TempPathFactory
) -> None:
    system = LocalSystem(new_root(tmp_path_factory.getbasetemp()))
    write(system, [ConfigFile("/lib/netplan/00.yaml", "network: {version: 2, renderer: NetworkManager}\n")])
    for name, interface in named.items():
        write(system, Netplan(system).render(interface, name))
    _run("netplan", "generate", "--root-dir", str(system.root))
    folder = system.path("/run/NetworkManager/system-connections")
    read = {}
    for name in named:
        profile = _normalised((folder / f"netplan-{name}.nmconnection").read_text())
        link = _ini(system.path(f"/run/systemd/network/10-netplan-{name}.link").read_text())
        # The profile is bound to the name, which udev gives to the MAC.
        assert (profile["connection"]["interface-name"], link["Link"]["Name"]) == (name, name)
        _mac, address, mtu = _read_profile(profile)
        read[name] = (link["Match"]["PermanentMACAddress"], address, mtu)
    assert read == _wanted(named)


def test_netplan_itself_shows_what_was_written(tmp_path: Path) -> None:
    system = LocalSystem(tmp_path)
    write(system, Netplan(system).render(_OURS, "multinic7"))
    shown = _run("netplan", "get", "--root-dir", str(tmp_path), "ethernets.multinic7.match.macaddress")
    assert shown.strip().strip('"') == _OURS.mac


def _normalised(keyfile: str) -> configparser.ConfigParser:
    """Return a keyfile as NetworkManager itself understood it."""
    return _ini(_run("nmcli", "--offline", "connection", "modify", stdin=keyfile))


def _read_profile(profile: configparser.ConfigParser) -> Read:
    found = [profile[family]["address1"] for family in ("ipv4", "ipv6") if "address1" in profile[family]]
    mac = profile.get("ethernet", "mac-address", fallback="").lower()
    return mac, _address("".join(found)), _number(profile.get("ethernet", "mtu", fallback=None))


@FEW
@given(named=slots())
def test_networkmanager_reads_the_same_nics_from_our_keyfiles(named: dict[str, Interface]) -> None:
    backend = NetworkManager(LocalSystem())
    read, uuids = {}, set()
    for name, interface in named.items():
        profile = _normalised(backend.render(interface, name)[0].content)
        read[name] = _read_profile(profile)
        uuids.add(profile["connection"]["uuid"])
        # A NIC that could not be named gets its address all the same.
        assert "interface-name" not in profile["connection"]
        version = interface.address.version if interface.address else 0
        assert profile["ipv4"]["method"] == ("manual" if version == 4 else "disabled")
        assert profile["ipv6"]["method"] == ("manual" if version == 6 else "link-local")
        assert all(profile[family]["never-default"] == "true" for family in ("ipv4", "ipv6"))
    assert read == _wanted(named)
    assert len(uuids) == len(named)


def test_a_profile_belongs_to_its_mac_under_any_name() -> None:
    backend = NetworkManager(LocalSystem())

    def uuid(mac: str, name: str) -> str:
        return _ini(backend.render(Interface(1, mac), name)[0].content)["connection"]["uuid"]

    # as written: a release that made another one would leave nodes with two profiles for a NIC
    assert uuid("fa:16:3e:00:00:01", "multinic0") == "2f28905d-6b08-5f39-b8cc-cb038978f6ca"
    assert uuid("fa:16:3e:00:00:01", "multinic9") == "2f28905d-6b08-5f39-b8cc-cb038978f6ca"
    assert uuid("fa:16:3e:00:00:02", "multinic0") != "2f28905d-6b08-5f39-b8cc-cb038978f6ca"


_SOURCE = """
set -eu
. "$1"
for key in DEVICE HWADDR IPADDR PREFIX IPV6ADDR MTU ONBOOT BOOTPROTO NM_CONTROLLED DEFROUTE GATEWAY; do
    eval "echo $key=\\${$key-}"
done
"""
_FIXED = ["yes", "none", "no", "no", ""]


@FEW
@given(named=slots())
def test_a_shell_reads_the_same_nics_from_our_ifcfg(
    named: dict[str, Interface], tmp_path_factory: pytest.TempPathFactory
) -> None:
    system = LocalSystem(new_root(tmp_path_factory.getbasetemp()))
    read = {}
    for name, interface in named.items():
        (path,) = write(system, Ifcfg(system).render(interface, name))
        said = _run("sh", "-c", _SOURCE, "sh", str(system.path(path)))
        values = dict(line.split("=", 1) for line in said.splitlines())
        assert [values[key] for key in ("ONBOOT", "BOOTPROTO", "NM_CONTROLLED", "DEFROUTE", "GATEWAY")] == _FIXED
        address = values["IPV6ADDR"] or (values["IPADDR"] and f"{values['IPADDR']}/{values['PREFIX']}")
        read[values["DEVICE"]] = (values["HWADDR"].lower(), _address(address), _number(values["MTU"]))
    assert read == _wanted(named)


def test_udev_names_the_nic_and_no_other(node: Callable[..., Node]) -> None:
    made = node("node1")
    named = {f"multinic{slot}": Interface(slot, f"fa:16:3e:00:00:{slot:02x}") for slot in (0, 9)}
    for name, interface in named.items():
        made.add_nic(f"ens{interface.id}", interface.mac)
        write(NodeSystem(made), NetworkManager(NodeSystem(made)).render(interface, name))
    made.add_nic("ens5", "fa:16:3e:00:00:05")
    for device, name in {"ens0": "multinic0", "ens9": "multinic9", "ens5": "ens5"}.items():
        done = made.run(["udevadm", "test-builtin", "net_setup_link", f"/sys/class/net/{device}"])
        assert f"ID_NET_NAME={name}\n" in done.stdout.decode()
        assert "70-multinic" not in "".join(line for line in done.stderr.decode().splitlines() if "gnor" in line)


def _netplan(root: Path, **files: str) -> Netplan:
    system = LocalSystem(root)
    write(system, [ConfigFile(f"/etc/netplan/{name}.yaml", content) for name, content in files.items()])
    return Netplan(system)


_FINE = "network: {version: 2, ethernets: {eth0: {dhcp4: true}}}\n"
_BROKEN = "network: {version: 2, ethernets: {eth0: {dhcp4: perhaps}}}\n"
_OURS = Interface(1, "fa:16:3e:00:00:01", ipaddress.ip_interface("192.0.2.1/24"))


def test_what_netplan_takes_is_tried_without_a_trace(tmp_path: Path) -> None:
    backend = _netplan(tmp_path, fine=_FINE)
    before = sorted(tmp_path.rglob("*"))
    assert backend.try_out(backend.render(_OURS, "multinic0"), []) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_what_netplan_refuses_is_not_written_on_the_node(tmp_path: Path) -> None:
    backend = _netplan(tmp_path, fine=_FINE)
    with pytest.raises(NodeError, match=r"^netplan refuses what would be written: .*90-multinic0.yaml.*perhaps"):
        backend.try_out([ConfigFile("/etc/netplan/90-multinic0.yaml", _BROKEN)], [])


def test_a_foreign_file_that_clashes_with_ours_is_found_before(tmp_path: Path) -> None:
    clash = "network: {version: 2, bridges: {multinic0: {interfaces: []}}}\n"
    backend = _netplan(tmp_path, clash=clash)
    with pytest.raises(NodeError, match=r"^netplan refuses what would be written: .*multinic0"):
        backend.try_out(backend.render(_OURS, "multinic0"), [])


def test_a_node_that_netplan_refuses_anyway_is_a_warning(tmp_path: Path) -> None:
    backend = _netplan(tmp_path, broken=_BROKEN)
    (warning,) = backend.try_out(backend.render(_OURS, "multinic0"), [])
    assert warning.startswith(
        "netplan refuses files of this node that are not ours, and will configure nothing at boot:"
    )
    assert "/etc/netplan/broken.yaml" in warning
    assert str(tmp_path) not in warning


def test_a_spoilt_file_of_ours_that_will_be_gone_does_not_count(tmp_path: Path) -> None:
    backend = _netplan(tmp_path, fine=_FINE, **{"90-multinic0": _BROKEN, "91-multinic1": _BROKEN})
    assert backend.try_out(backend.render(_OURS, "multinic0"), ["/etc/netplan/91-multinic1.yaml"]) == []
