# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real NetworkManager on a node, with a D-Bus of its own.

The node's ``/sys`` becomes read-only: NetworkManager then does not wait for udev, which does not run on it.
Its state (``/var/lib/NetworkManager``) is the node's own and ends with it, as the daemons do.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from testbed.net.node import Node, NodeError

LOG = "/run/NetworkManager.log"
_SECONDS = 20

_START = f"""
set -e
mkdir -p /run/dbus /run/NetworkManager /run/testbed-nm
mount --bind /run/testbed-nm /var/lib/NetworkManager
mount -o remount,ro,bind /sys
rm -rf /etc/NetworkManager/conf.d/* /etc/NetworkManager/system-connections/*
cat > /etc/NetworkManager/NetworkManager.conf
[ -S /run/dbus/system_bus_socket ] || dbus-daemon --system --fork --nopidfile
setsid NetworkManager --no-daemon > {LOG} 2>&1 < /dev/null &
"""

_CONFIG = """\
[main]
plugins=keyfile
dns=none
dhcp=internal
auth-polkit=false
{main}
[logging]
level=DEBUG
"""


class NetworkManager:
    """A running NetworkManager; it ends with its node.

    :param node: a node, with NICs or without.
    :param auto_default: make up a DHCP profile for every Ethernet NIC without one, as it does unless told otherwise.
    """

    def __init__(self, node: Node, *, auto_default: bool = False) -> None:
        self.node = node
        config = _CONFIG.format(main="" if auto_default else "no-auto-default=*")
        started = node.run(["sh", "-c", _START], stdin=config.encode())
        if started.returncode != 0:
            raise NodeError(f"node {node.name}: cannot start NetworkManager: {started.stderr.decode(errors='replace')}")
        # not the end of its STARTUP: that waits for DHCP
        self.wait("it to start", lambda: "lo" in self._try("-g", "DEVICE", "device").split())

    def nmcli(self, *arguments: str) -> str:
        """Run ``nmcli`` on the node and return what it printed."""
        done = self.node.run(["nmcli", *arguments])
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise NodeError(f"node {self.node.name}: nmcli {' '.join(arguments)}: {said}")
        return done.stdout.decode()

    def state(self, device: str) -> str:
        """Return what it makes of a NIC, as in ``connected``, ``connected (externally)``, ``unmanaged``."""
        return self.nmcli("-g", "GENERAL.STATE", "device", "show", device).partition("(")[2].strip().removesuffix(")")

    def wait_state(self, device: str, state: str) -> None:
        """Wait until it makes this of a NIC."""
        self.wait(f"{device} to be {state}", lambda: self.state(device) == state)

    def profiles(self) -> dict[str, str]:
        """Return the files of the profiles that it knows, by name."""
        lines = self.nmcli("-t", "-e", "no", "-f", "NAME,FILENAME", "connection").splitlines()
        return {name: path for name, _colon, path in (line.partition(":") for line in lines)}

    def log(self) -> str:
        """Return what it has logged."""
        return (self.node.root / LOG.lstrip("/")).read_text(errors="replace")

    def wait(self, what: str, reached: Callable[[], bool]) -> None:
        """Wait until something is so; raise NodeError with the end of the log if it takes too long."""
        deadline = time.monotonic() + _SECONDS
        while not reached():
            if time.monotonic() > deadline:
                raise NodeError(f"node {self.node.name}: waited in vain for {what}; its log: {self.log()[-3000:]}")
            time.sleep(0.02)

    def _try(self, *arguments: str) -> str:
        return self.node.run(["nmcli", *arguments]).stdout.decode().strip()
