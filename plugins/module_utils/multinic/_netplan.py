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
import tempfile
from pathlib import Path
from typing import Iterator, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile, head
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import MODE, ConfigFile
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


_FOLDERS = ("/lib/netplan", FOLDER, "/run/netplan")
_SECONDS = 60


class Netplan(Backend):
    name = "netplan"

    def missing(self) -> str | None:
        if installed(self.system, "netplan"):
            return None
        return "netplan is not installed (no command `netplan`); install netplan.io"

    def unused(self) -> str | None:
        if self.system.path("/run/systemd/netif/state").exists() or any(self._foreign()):
            return None
        return f"no file of another in {FOLDER}, and systemd-networkd does not run"

    def render(self, interface: Interface, name: str) -> tuple[ConfigFile, ...]:
        text = head(interface, name) + _TEXT.format(name=name, mac=interface.mac)
        if interface.mtu is not None:
            text += f"      mtu: {interface.mtu}\n"
        if interface.address is not None:
            text += f'      addresses: ["{interface.address}"]\n'
        return (ConfigFile(f"{FOLDER}/9{name[len(PREFIX) :]}-{name}.yaml", text),)

    def own(self) -> tuple[OwnFile, ...]:
        return find(self.system, FOLDER, _NAME)

    def try_out(self, files: Sequence[ConfigFile], removed: Sequence[str]) -> list[str]:
        """Generate from a copy: one file that netplan refuses keeps the whole node from being configured."""
        foreign = list(self._foreign())
        gone = {*removed, *(file.path for file in files)}
        kept = [ConfigFile(file.path, file.content) for file in self.own() if file.path not in gone]
        refused = self._refused([*foreign, *kept, *files])
        if refused is None:
            return []
        already = self._refused(foreign)
        if already is None:
            raise NodeError(f"netplan refuses what would be written: {refused}")
        return [f"netplan refuses files of this node that are not ours, and will configure nothing at boot: {already}"]

    def _foreign(self) -> Iterator[ConfigFile]:
        """Yield the files that netplan reads and that are not ours."""
        for folder in _FOLDERS:
            for file in sorted(self.system.path(folder).glob("[!.]*.yaml")):
                path = f"{folder}/{file.name}"
                if file.is_file() and not (folder == FOLDER and _NAME.fullmatch(file.name)):
                    yield ConfigFile(path, file.read_bytes().decode(errors="surrogateescape"))

    def _refused(self, files: Sequence[ConfigFile]) -> str | None:
        with tempfile.TemporaryDirectory(prefix="manifold-netplan-") as name:
            for file in files:
                copy = Path(name, file.path.lstrip("/"))
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.touch(MODE)
                copy.write_bytes(file.content.encode(errors="surrogateescape"))
            ran = self.system.run(["netplan", "generate", "--root-dir", name], _SECONDS)
            return None if ran.rc == 0 else ran.stderr.strip().replace(name, "")
