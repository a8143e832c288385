# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A test node with a NIC of the system, whose gateway answers, and extra NICs; and how to look at it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from integration.on_node import Remote
from testbed.net.node import Node
from testbed.processes import naming

SYSTEM_MAC = "fa:16:3e:00:00:00"
GATEWAY = "192.0.2.254"
FOREIGN = {
    "/etc/netplan/50-cloud-init.yaml": f'network: {{ethernets: {{eth0: {{match: {{macaddress: "{SYSTEM_MAC}"}}}}}}}}\n',
    "/etc/NetworkManager/system-connections/eth0.nmconnection": f"[ethernet]\nmac-address={SYSTEM_MAC.upper()}\n",
    "/etc/sysconfig/network-scripts/ifcfg-eth0": f"HWADDR={SYSTEM_MAC}\n",
    "/etc/systemd/network/10-eth0.link": f"[Match]\nPermanentMACAddress={SYSTEM_MAC}\n",
}


def mac_of(number: int) -> str:
    """Return the MAC address of the NIC that is eth1, eth2 and so on."""
    return f"fa:16:3e:00:00:{number:02x}"


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """Return an interface for the NIC of that number."""
    wanted = {"id": number, "mac_address": mac_of(number), "address": f"10.0.{number}.1", "cidr": f"10.0.{number}.0/24"}
    return {**wanted, "mtu": 1450, **changes}


class Machine:
    """The node.

    :param nics: how many extra NICs there are: eth1, eth2 and so on.
    """

    def __init__(self, node: Node, nics: int = 3) -> None:
        self.node = node
        node.add_nic("eth0", SYSTEM_MAC, "192.0.2.1/24")
        # the gateway answers by the system's NIC only
        far = f"ip address add {GATEWAY}/24 dev far1 && echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"
        assert node.run_far(["sh", "-c", far]).returncode == 0
        self.ip("route add default via", GATEWAY)
        for number in range(1, nics + 1):
            node.add_nic(f"eth{number}", mac_of(number))
        for path, content in FOREIGN.items():
            self.put(path, content)
        self.remote = Remote(node)

    def put(self, path: str, content: str) -> None:
        """Write a file of the node, as somebody would by hand."""
        seen = self.node.root / path.lstrip("/")
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_text(content)
        seen.chmod(0o600)

    def ip(self, *words: str) -> str:
        """Run ip; the words may hold several."""
        done = self.node.run(["ip", *" ".join(words).split()])
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def configure(self, interfaces: Sequence[object], **options: Any) -> Any:
        """Run the configuration, see :func:`on_node.configure`."""
        return self.remote.call("configure", interfaces=list(interfaces), **{"backend": "netplan", **options})

    def configured(self, interfaces: Sequence[object], **options: Any) -> Any:
        """Run the configuration, which must change something and work; a second run must find nothing to do."""
        done = self.configure(interfaces, **options)
        assert done.get("failure", done.get("error")) is None, done
        assert done["changed"] and done["guard"] == "watchdog"
        self.settled(interfaces, **options)
        return done

    def settled(self, interfaces: Sequence[object], **options: Any) -> None:
        """Run the configuration, which must find nothing to do, and do nothing."""
        before = self.traces()
        again = self.configure(interfaces, **options)
        assert again["steps"] == [] and again["diff"] == [] and not again["changed"] and again["guard"] is None, again
        assert self.traces() == before

    def nics(self) -> dict[str, str]:
        """Return each NIC by its MAC address: name, state, MTU and addresses, link-local ones left out."""
        seen = {}
        for link in self.node.links():
            addresses = [
                f"{each['local']}/{each['prefixlen']}" for each in link["addr_info"] if each["scope"] == "global"
            ]
            state = "up" if "UP" in link["flags"] else "down"
            seen[link["address"]] = " ".join([link["ifname"], state, str(link["mtu"]), *sorted(addresses)])
        return seen

    def nic(self, number: int) -> str:
        """Return one of them."""
        return self.nics()[mac_of(number)]

    def files(self, folder: str = "etc/netplan") -> dict[str, str]:
        """Return our files in a folder, and what else a run may have left there."""
        return {path.name: path.read_text() for path in (self.node.root / folder).iterdir() if "multinic" in path.name}

    def traces(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Return all that was written to the node's disk: inode, mode and mtime of files and folders, content."""
        found = {}
        for folder in ("etc", "var/lib"):
            for path in sorted((self.node.directory / folder).rglob("*")):
                seen = path.lstat()
                content = path.read_bytes() if path.is_file() else b""
                found[str(path)] = (seen.st_ino, seen.st_mode, seen.st_mtime_ns, content)
        return found

    def guards(self) -> list[int]:
        """Return the processes on the node that would restore it."""
        network = (self.node.root.parent / "ns/net").stat().st_ino
        found = []
        for pid in naming("multinic/restore.pyz"):
            with suppress(OSError):
                if Path(f"/proc/{pid}/ns/net").stat().st_ino == network:
                    found.append(pid)
        return found

    def untouchable(self) -> dict[str, Any]:
        """Return what no run may ever change: foreign files to their inode, the NIC of the system, its routes."""
        files = {}
        for path, content in FOREIGN.items():
            seen = self.node.root / path.lstrip("/")
            status = seen.stat()
            files[path] = (status.st_ino, status.st_mtime_ns, status.st_mode, seen.read_text() == content)
        (link,) = json.loads(self.ip("-json -details address show dev eth0"))
        # what is fe80:: comes up by itself, in its time
        link["addr_info"] = [each for each in link["addr_info"] if each["scope"] == "global"]
        routes = [line for line in self.ip("route show table all dev eth0").splitlines() if "fe80:" not in line]
        return {"files": files, "link": link, "routes": routes}

    @contextmanager
    def flooded(self) -> Iterator[None]:
        """Flood the gateway with pings by the NIC of the system; not one may be lost."""
        ping = subprocess.Popen(
            self.node.argv(["ping", "-f", "-q", GATEWAY]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.node.environment(),
        )
        try:
            while not _catches(ping.pid, signal.SIGQUIT):
                assert ping.poll() is None
                time.sleep(0.01)
            yield
            # the last one may be on its way; a lost one would be missing for ever
            assert any(sent == came for sent, came in (_counts(ping) for _try in range(50)))
        finally:
            ping.kill()
            ping.wait(10)
            assert ping.stderr is not None
            ping.stderr.close()

    def close(self) -> None:
        """End what runs on the node for the test."""
        self.remote.close()


def _catches(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal."""
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return caught is not None and bool(int(caught.group(1), 16) >> (number - 1) & 1)


def _counts(ping: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Return how many pings were sent and came back; a running ping tells on SIGQUIT."""
    assert ping.stderr is not None
    while True:
        ping.send_signal(signal.SIGQUIT)
        said = ping.stderr.readline()
        assert said, "ping has ended"
        found = re.search(rb"(\d+)/(\d+) packets", said)
        if found is not None and int(found.group(2)):
            return int(found.group(2)), int(found.group(1))
