# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NetworkManager: a keyfile per interface that finds the NIC by its MAC, and a systemd .link that names it.

What a running NetworkManager does with a link was measured (tests/integration/test_multinic_networkmanager.py):

- A link that ``ip`` has set up belongs to nobody (``connected (externally)``): loading or forgetting our profile
  changes nothing about it.
- A link that runs on our profile, as after a boot, is left as ``ip`` changed it, too: what the profile says now counts
  from the next activation on, and when NetworkManager is started anew.
- If ``ip`` takes such a link down and up, which a new name needs, NetworkManager may not notice. Then it brings old
  IPv6 addresses back, but never the fe80:: one. There the profile is activated again.
- Where another profile has the link (one that NetworkManager made up to try DHCP, for instance), it would remove our
  address when it gives up. There our profile is activated, which takes the address away and back within 0.2 s.
- A profile is known by its UUID. It is made of the MAC, so that the NIC keeps its profile under another name.

See nm-settings-keyfile(5), nmcli(1), systemd.link(5).
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from typing import Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile, Record, head
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import PREFIX, SLOTS, Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._own_files import find, in_order
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System, installed

PROFILES = "/etc/NetworkManager/system-connections"
LINKS = "/etc/systemd/network"
_PROFILE = re.compile(rf"{PREFIX}[0-9]\.nmconnection")
_LINK = re.compile(rf"70-{PREFIX}[0-9]\.link")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "multinic.manifold.core")
_ACTIVATING, _ACTIVATED = 40, 100  # NMDeviceState
_SECONDS = 15
_NOT_LOADED = "Could not load file"
"""What ``nmcli connection load`` says, and ends with status 0, of a file that NetworkManager does not take."""

# The priority lets a profile for any Ethernet NIC lose against ours. The fe80:: address is what the kernel gives.
_KEYFILE = """\
[connection]
id={name}
uuid={uuid}
type=ethernet
autoconnect-priority=100

[ethernet]
mac-address={mac}
{mtu}
[ipv4]
{ipv4}
never-default=true

[ipv6]
{ipv6}
addr-gen-mode=eui64
never-default=true
"""

# MACAddress and not PermanentMACAddress: where systemd does not know a key, the section is empty and fits every NIC.
_LINK_FILE = """\
[Match]
MACAddress={mac}

[Link]
Name={name}
"""

# The links go back to what they were after this, so nothing may be under way any more when it ends.
_UNTELL = """\
nmcli connection load "$@"
for try in 1 2 3 4 5 6 7 8 9 10; do
  nmcli -g STATE device | grep -q deactivating || break
  sleep 0.5
done
"""


class NetworkManager(Backend):
    name = "networkmanager"

    def missing(self) -> str | None:
        if installed(self.system, "NetworkManager"):
            return None
        return "NetworkManager is not installed; install it (network-manager, NetworkManager)"

    def unused(self) -> str | None:
        return None if runs(self.system) else "NetworkManager does not run, or nmcli cannot reach it"

    def render(self, interface: Interface, name: str) -> tuple[ConfigFile, ...]:
        text = head(interface, name)
        return (
            ConfigFile(f"{PROFILES}/{name}.nmconnection", text + _keyfile(interface, name)),
            ConfigFile(f"{LINKS}/70-{name}.link", text + _LINK_FILE.format(mac=interface.mac, name=name), 0o644),
        )

    def own(self) -> tuple[OwnFile, ...]:
        return in_order(find(self.system, PROFILES, _PROFILE), find(self.system, LINKS, _LINK))

    def tell(self, written: Sequence[str], removed: Sequence[str]) -> list[str]:
        paths = [path for path in (*written, *removed) if path.startswith(PROFILES)]
        if not paths or not runs(self.system):
            return []
        warnings = _warnings(self.system.run(["nmcli", "connection", "load", *paths]), "was not told of our profiles")
        for file in self.own():
            if file.path in written and file.path in paths and file.record is not None:
                warnings += self._settle(file.record)
        return warnings

    def untell(self) -> Sequence[Sequence[str]]:
        """Return what to run when the files are back and before the links are: it may take addresses away."""
        if not runs(self.system):
            return ()
        paths = [f"{PROFILES}/{PREFIX}{slot}.nmconnection" for slot in range(SLOTS)]
        return (("sh", "-c", _UNTELL, "sh", *paths),)

    def _settle(self, record: Record) -> list[str]:
        """Let a link that NetworkManager has run on our profile."""
        shown = self.system.run(["nmcli", "-g", "GENERAL.STATE,GENERAL.CON-UUID", "device", "show", record.name])
        state, _sep, profile = shown.stdout.strip().partition("\n")
        number = int(state.split(" ")[0]) if state[:1].isdigit() else 0
        if shown.rc != 0 or not _ACTIVATING <= number <= _ACTIVATED or "externally" in state:
            return []
        ours = _uuid(record.mac)
        if profile == ours and number == _ACTIVATED and not self._lost_link_local(record.name):
            return []
        argv = ["nmcli", "--wait", str(_SECONDS), "connection", "up", "uuid", ours, "ifname", record.name]
        return _warnings(self.system.run(argv, _SECONDS * 2), f"did not take our profile for {record.name}")

    def _lost_link_local(self, name: str) -> bool:
        if self.system.run(["cat", f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"]).stdout.strip() != "0":
            return False
        shown = self.system.run(["ip", "-6", "-oneline", "address", "show", "dev", name, "scope", "link"])
        return shown.rc == 0 and not shown.stdout.strip()


def runs(system: System) -> bool:
    """Return whether NetworkManager runs and can be told."""
    return system.run(["nmcli", "-g", "RUNNING", "general"]).stdout.strip() == "running"


def _warnings(ran: Ran, what: str) -> list[str]:
    if ran.rc == 0 and _NOT_LOADED not in ran.stderr:
        return []
    return [f"NetworkManager {what}, it will at the next boot: {ran.stderr.strip() or ran.stdout.strip()}"]


def _uuid(mac: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, mac))


def _keyfile(interface: Interface, name: str) -> str:
    address = interface.address
    ipv4, ipv6 = "method=disabled", "method=link-local"
    if isinstance(address, ipaddress.IPv4Interface):
        ipv4 = f"method=manual\naddress1={address}"
    elif address is not None:
        ipv6 = f"method=manual\naddress1={address}"
    mtu = "" if interface.mtu is None else f"mtu={interface.mtu}\n"
    mac = interface.mac.upper()
    return _KEYFILE.format(name=name, uuid=_uuid(interface.mac), mac=mac, mtu=mtu, ipv4=ipv4, ipv6=ipv6)
