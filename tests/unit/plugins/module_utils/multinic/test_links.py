# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link, Route, observe_links
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System

MAC = "fa:16:3e:00:00:01"


class Told(System):
    """A node that says what it is told to say."""

    def __init__(self, addresses: Any, routes: Any = ()) -> None:
        super().__init__(Path("/nowhere"))
        self.said = {"address": addresses, "route": routes}

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        del timeout
        said = self.said["address" if "address" in argv else "route"]
        return Ran(0, said if isinstance(said, str) else json.dumps(said), "")

    def which(self, command: str) -> str | None:
        return command


def raw(name: str = "eth1", **changes: Any) -> dict[str, Any]:
    """Return a link as ip shows it."""
    return {"ifindex": 2, "ifname": name, "flags": ["BROADCAST", "UP"], "mtu": 1500, "address": MAC, **changes}


def address(local: str, prefix: int, scope: str = "global", **changes: Any) -> dict[str, Any]:
    """Return an address as ip shows it."""
    return {"family": "inet", "local": local, "prefixlen": prefix, "scope": scope, **changes}


def only(link: dict[str, Any], routes: Any = ()) -> Link:
    """Return the one link that is observed."""
    (found,) = observe_links(Told([link], routes))
    return found


def test_link_local_addresses_are_nobodys_and_announced_ones_the_kernels() -> None:
    info = [
        address("10.0.0.1", 24),
        address("10.0.0.9", 24, dynamic=True),
        address("169.254.3.4", 16),
        address("2001:db8::1", 64),
        address("2001:db8::abcd", 64, dynamic=True, mngtmpaddr=True),
        address("fe80::1", 64, "link"),
        {},
    ]
    link = only(raw(addr_info=info))
    assert [str(each) for each in link.addresses] == ["10.0.0.1/24", "10.0.0.9/24", "2001:db8::1/64"]
    assert [str(each) for each in link.announced] == ["2001:db8::abcd/64"]


def test_routes_that_say_that_a_link_is_used() -> None:
    routes = [
        {"dst": "default", "gateway": "10.0.0.254", "dev": "eth1", "table": "101", "protocol": "static"},
        {"dst": "10.1.0.0/16", "nexthops": [{"dev": "eth9"}, {"dev": "eth1"}]},
        {"dst": "fe80::/64", "dev": "eth1", "protocol": "kernel"},
        {"dst": "169.254.0.0/16", "dev": "eth1"},
        {"dst": "ff00::/8", "dev": "eth1", "table": "local"},
        {"type": "local", "dst": "10.0.0.1", "dev": "eth1", "table": "local"},
        {"type": "unreachable", "dst": "10.3.0.0/16", "dev": "lo"},
        {"dst": "10.2.0.0/16", "dev": "eth9"},
    ]
    assert only(raw(), routes).routes == (Route("default", "101", "static"), Route("10.1.0.0/16"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"permaddr": "FA:16:3E:00:00:09"}, ("fa:16:3e:00:00:09", True)),
        ({"flags": ["LOOPBACK"]}, (MAC, False)),
        ({"linkinfo": {"info_kind": "bond"}}, (MAC, False)),
        ({"linkinfo": {"info_kind": "vlan"}}, (MAC, False)),
        ({"linkinfo": {"info_kind": "veth"}}, (MAC, True)),
    ],
)
def test_what_can_be_a_nic_and_its_permanent_mac(changes: dict[str, Any], expected: tuple[str, bool]) -> None:
    link = only(raw(**changes))
    assert (link.mac, link.is_nic) == expected


def test_what_a_link_carries() -> None:
    vlan = raw("eth1.7", ifindex=3, link="eth1", linkinfo={"info_kind": "vlan"})
    veth = raw("eth4", ifindex=4, link="eth1", linkinfo={"info_kind": "veth"})
    assert observe_links(Told([veth, vlan, raw()]))[0].carries == ("eth1.7",)


def test_an_ip_that_prints_no_json_is_named() -> None:
    with pytest.raises(NodeError, match=r"ip -json route show table all did not print JSON; iproute2 4\.13"):
        observe_links(Told([], "default via 10.0.0.1\n"))
