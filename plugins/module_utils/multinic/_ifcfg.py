# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ifcfg: a file per interface for the ``network`` service of Red Hat's initscripts.

NetworkManager is kept out of it (``NM_CONTROLLED=no``): where NetworkManager runs, its own backend is chosen.
See /usr/share/doc/initscripts/sysconfig.txt.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile, head
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import PREFIX, Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._own_files import find

FOLDER = "/etc/sysconfig/network-scripts"
_NAME = re.compile(rf"ifcfg-{PREFIX}[0-9]")

_TEXT = """\
DEVICE={name}
HWADDR={mac}
TYPE=Ethernet
ONBOOT=yes
NM_CONTROLLED=no
BOOTPROTO=none
DEFROUTE=no
PEERDNS=no
IPV6_AUTOCONF=no
IPV6_DEFROUTE=no
"""


class Ifcfg(Backend):
    name = "ifcfg"

    def missing(self) -> str | None:
        if self.system.path(f"{FOLDER}/ifup-eth").exists():
            return None
        return f"the network service of ifcfg files is not installed (no {FOLDER}/ifup-eth); install network-scripts"

    def render(self, interface: Interface, name: str) -> tuple[ConfigFile, ...]:
        text = head(interface, name) + _TEXT.format(name=name, mac=interface.mac.upper())
        if interface.mtu is not None:
            text += f"MTU={interface.mtu}\n"
        address = interface.address
        if isinstance(address, ipaddress.IPv4Interface):
            text += f"IPV6INIT=no\nIPADDR={address.ip}\nPREFIX={address.network.prefixlen}\n"
        elif address is not None:
            text += f"IPV6INIT=yes\nIPV6ADDR={address}\n"
        return (ConfigFile(f"{FOLDER}/ifcfg-{name}", text),)

    def own(self) -> tuple[OwnFile, ...]:
        return find(self.system, FOLDER, _NAME)
