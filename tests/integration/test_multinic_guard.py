# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard on test nodes: a change that nobody confirms is undone, whoever dies when."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.on_node import KILLED, Remote
from testbed.net.node import Node
from testbed.processes import naming

pytestmark = pytest.mark.node
FOLDER = "var/lib/manifold-core/multinic"
GATEWAY = "192.0.2.254"

OURS = "/etc/netplan/91-multinic1.yaml"
NEW = "/etc/netplan/90-multinic0.yaml"
FILES = {OURS: "changed\n", NEW: "new\n"}
CHANGES = [
    # two links swap names, one of them loses what it had, and the other one takes over the gateway's network
    "ip link set dev eth1 down",
    "ip link set dev multinic1 down",
    "ip link set dev multinic1 name mnic1",
    "ip link set dev eth1 name multinic1",
    "ip link set dev mnic1 name eth1",
    "ip address flush dev eth1 scope global",
    "ip link set dev eth1 mtu 9000",
    "ip link set dev multinic1 up",
    "ip address add 192.0.2.77/24 dev multinic1",
    "ip route add 192.0.2.254/32 dev multinic1",
    "ip address add 2001:db8:9::1/64 dev multinic1 nodad",
    "ip link property add dev multinic1 altname other",
]


class Cut:
    """A node with a NIC of the system and two NICs that a change cuts its gateway off with."""

    def __init__(self, node: Node) -> None:
        self.node = node
        node.add_nic("eth0", "fa:16:3e:00:00:00", "192.0.2.1/24")
        node.add_nic("eth1", "fa:16:3e:00:00:01")
        node.add_nic("multinic1", "fa:16:3e:00:00:02", "198.51.100.1/24")
        for command in (
            "ip link set dev multinic1 mtu 1400",
            "ip address add 198.51.100.2/24 dev multinic1",
            "ip address add 203.0.113.1/24 broadcast 203.0.113.255 dev multinic1 valid_lft 3000 preferred_lft 2000",
            "ip address add 2001:db8::1/64 dev multinic1 nodad",
            "ip route add default via 192.0.2.254",
            "ip route add 10.1.0.0/16 via 198.51.100.9 src 198.51.100.2 mtu 1300 metric 7",
            "ip route add 10.2.0.0/16 via 198.51.100.9 table 77",
            "ip route add 10.3.0.0/16 via 192.0.2.254 src 198.51.100.2",
            "ip -6 route add 2001:db8:7::/48 via 2001:db8::9",
            "ip link property add dev multinic1 altname extra1",
            "mkdir -p /etc/netplan",
            f"cp /etc/hostname {OURS}",
            f"chmod 640 {OURS}",
        ):
            assert node.run(command.split()).returncode == 0, command
        # the gateway answers by the first NIC only
        far = f"ip address add {GATEWAY}/24 dev far1 && echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore"
        assert node.run_far(["sh", "-c", far]).returncode == 0
        self.indexes = [link["ifindex"] for link in node.links() if link["ifname"] in ("eth1", "multinic1")]
        self.before = self.look()

    @property
    def arguments(self) -> dict[str, Any]:
        """What :func:`on_node.change` needs to make the change."""
        return {
            "indexes": self.indexes,
            "files": FILES,
            "commands": [command.split() for command in CHANGES],
        }

    def look(self) -> dict[str, Any]:
        """Return everything that the guard promises to put back, as other tools see it."""
        links = {link["ifindex"]: link for link in self.node.links()}
        routes = [
            route
            for family in ("-4", "-6")
            for route in self._json("ip", family, "-json", "-details", "route", "show", "table", "all")
            if not route["dst"].startswith(("fe80:", "ff00:"))  # these come back by themselves, in their time
        ]
        return {
            "links": {
                index: (link["ifname"], link["mtu"], "UP" in link["flags"], link.get("altnames"), _addresses(link))
                for index, link in links.items()
            },
            "routes": sorted(" ".join(f"{key} {value}" for key, value in route.items()) for route in routes),
            "files": self.files(),
        }

    def files(self) -> dict[str, tuple[str, int]]:
        folder = self.node.root / "etc/netplan"
        return {path.name: (path.read_text(), path.stat().st_mode & 0o777) for path in folder.iterdir()}

    def left(self) -> list[str]:
        """Return the files that are left of the guard."""
        folder = self.node.root / FOLDER
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def reaches_gateway(self) -> bool:
        return self.node.run(["ping", "-c1", "-W1", GATEWAY]).returncode == 0

    def await_undone(self, seconds: float) -> float:
        """Wait until the guard has restored the node; return how long it took."""
        began = time.monotonic()
        while "restored.json" not in (left := self.left()) or "restoring.json" in left:
            assert time.monotonic() - began < seconds, f"not undone: {left}"
            time.sleep(0.01)
        return time.monotonic() - began

    def _json(self, *argv: str) -> Any:
        return json.loads(self.node.run(argv).stdout or b"[]")


def _addresses(link: dict[str, Any]) -> list[str]:
    """Return the addresses; those of IPv4 in their order, which tells the primary one."""
    kept = [one for one in link["addr_info"] if one["scope"] != "link"]
    described = [
        f"{one['local']}/{one['prefixlen']} {one.get('broadcast')} {one['valid_life_time'] > 10000}" for one in kept
    ]
    return [text for text, one in zip(described, kept, strict=True) if one["family"] == "inet"] + sorted(
        text for text, one in zip(described, kept, strict=True) if one["family"] == "inet6"
    )


@pytest.fixture
def cut(node: Callable[..., Node]) -> Cut:
    return Cut(node())


@pytest.fixture
def remote(cut: Cut) -> Iterator[Remote]:
    started = Remote(cut.node)
    yield started
    started.close()


def test_a_confirmed_change_stays_and_leaves_nothing(cut: Cut, remote: Remote) -> None:
    done = remote.call("change", guard="auto", seconds=60, **cut.arguments)
    assert (done["outcome"], done["kind"]) == ("kept", "watchdog")
    assert cut.look() != cut.before
    assert cut.files() == {"91-multinic1.yaml": ("changed\n", 0o600), "90-multinic0.yaml": ("new\n", 0o600)}
    assert cut.left() == []
    assert naming(done["nonce"]) == []
    assert remote.call("recover") is None


@pytest.mark.parametrize("guard", ["watchdog", "none"])
def test_the_run_undoes_its_change_itself(cut: Cut, remote: Remote, guard: str) -> None:
    done = remote.call("change", guard=guard, seconds=60, end="restore", **cut.arguments)
    assert (done["outcome"], done["problems"]) == ("restored", [])
    assert cut.look() == cut.before
    assert cut.left() == []
    assert naming(done["nonce"]) == []


def test_the_guard_undoes_what_a_killed_run_cut_off(cut: Cut, remote: Remote) -> None:
    assert cut.reaches_gateway()
    assert remote.call("change", guard="watchdog", seconds=1.5, end="die", **cut.arguments) == KILLED
    assert not cut.reaches_gateway()
    assert cut.await_undone(2.5) < 2
    assert cut.look() == cut.before
    assert cut.reaches_gateway()
    assert remote.call("recover") == {"by": "the guard (watchdog)", "problems": []}
    assert cut.left() == []
    assert remote.call("recover") is None
