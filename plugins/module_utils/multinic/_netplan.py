# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netplan: a YAML file per interface, read when the node boots.

``netplan apply`` is never run, because it reconfigures every interface of the node: the runtime is changed
by ``ip``, and whatever netplan renders for (networkd or NetworkManager) learns of the file at the next boot,
or when somebody else applies. See https://netplan.readthedocs.io/en/stable/netplan-yaml/.
"""

from __future__ import annotations

import re

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile, head
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import PREFIX, Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._own_files import find
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import installed

FOLDER = "/etc/netplan"
_NAME = re.compile(rf"9([0-9])-{PREFIX}\1\.yaml")

# optional: a boot does not wait for the NIC. Nothing but the address is taken from the network: no DHCP, and no
# router advertisement, which would bring a second default route. The fe80:: address is what the kernel gives.
_TEXT = """\
network:
  version: 2
  ethernets:
    {name}:
      match:
        macaddress: "{mac}"
      set-name: {name}
      optional: true
      dhcp4: false
      dhcp6: false
      accept-ra: false
      link-local: [ipv6]
"""


class Netplan(Backend):
    name = "netplan"

    def missing(self) -> str | None:
        if installed(self.system, "netplan"):
            return None
        return "netplan is not installed (no command `netplan`); install netplan.io"

    def render(self, interface: Interface, name: str) -> tuple[ConfigFile, ...]:
        text = head(interface, name) + _TEXT.format(name=name, mac=interface.mac)
        if interface.mtu is not None:
            text += f"      mtu: {interface.mtu}\n"
        if interface.address is not None:
            text += f'      addresses: ["{interface.address}"]\n'
        return (ConfigFile(f"{FOLDER}/9{name[len(PREFIX) :]}-{name}.yaml", text),)

    def own(self) -> tuple[OwnFile, ...]:
        return find(self.system, FOLDER, _NAME)
