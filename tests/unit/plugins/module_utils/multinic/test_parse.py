# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import parse
from hypothesis import given
from hypothesis import strategies as st

from unit.nic_strategies import entries

MAC = "fa:16:3e:1c:1a:6e"
GOOD = {"id": 1, "mac_address": MAC}


def only_reason(raw: object) -> str:
    """Return why an entry is refused."""
    (refused,) = parse([raw]).refused
    return refused.reason


@pytest.mark.parametrize(
    ("raw", "interface"),
    [
        (GOOD, Interface(1, MAC)),
        ({"id": "007", "mac": "FA-16-3E-1C-1A-6E", "mtu": "1450"}, Interface(7, MAC, mtu=1450)),
        ({"id": 0, "macAddress": MAC, "name": "multinic9"}, Interface(0, MAC, name="multinic9")),
        ({"id": 2**63 - 1, "mac_address": MAC, "mac": MAC.upper(), "mtu": None}, Interface(2**63 - 1, MAC)),
        (
            {**GOOD, "address": "11.11.11.37", "cidr": "11.11.11.0/24", "mtu": 68},
            Interface(1, MAC, ipaddress.ip_interface("11.11.11.37/24"), 68),
        ),
        ({**GOOD, "address": "10.0.0.0/31"}, Interface(1, MAC, ipaddress.ip_interface("10.0.0.0/31"))),
        (
            {**GOOD, "address": "2001:DB8::0:1/64", "cidr": "2001:db8::/64", "mtu": 1280},
            Interface(1, MAC, ipaddress.ip_interface("2001:db8::1/64"), 1280),
        ),
    ],
)
def test_what_is_valid_is_read(raw: object, interface: Interface) -> None:
    assert parse([raw]).interfaces == (interface,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": None}, "it has no id"),
        ({"id": -1}, "id -1 is not within 0 and 9223372036854775807"),
        ({"id": 2**63}, "id 9223372036854775808 is not within 0 and 9223372036854775807"),
        ({"id": True}, "id must be a whole number, not bool True"),
        ({"id": 1.5}, "id must be a whole number, not float 1.5"),
        ({"mac_address": None}, "it has no mac_address"),
        ({"mac_address": "fa:16:3e:1c:1a"}, "mac_address 'fa:16:3e:1c:1a' is not six octets such as fa:16:3e:1c:1a:6e"),
        (
            {"mac_address": 190},
            "must be a string, not int 190; put it in quotes, YAML reads some MAC addresses as numbers",
        ),
        ({"mac_address": "01:00:5e:00:00:01"}, "is a multicast address, which no NIC has"),
        ({"mac_address": "00:00:00:00:00:00"}, "is no NIC's"),
        ({"mac": "fa:16:3e:00:00:01"}, f"mac_address and its aliases differ: {MAC}, fa:16:3e:00:00:01"),
        ({"address": "10.0.0.1"}, "address 10.0.0.1 has neither a prefix length nor a cidr"),
        ({"address": "10.0.0.256/24"}, "address '10.0.0.256/24' is not an IPv4 or IPv6 address"),
        ({"address": 10}, "address must be a string, not int 10"),
        ({"address": "10.0.1.1", "cidr": "10.0.0.0/24"}, "address 10.0.1.1 is not in cidr 10.0.0.0/24"),
        ({"address": "2001:db8::1", "cidr": "10.0.0.0/24"}, "address 2001:db8::1 is not in cidr 10.0.0.0/24"),
        ({"address": "10.0.0.1/25", "cidr": "10.0.0.0/24"}, "do not have the same prefix"),
        ({"address": "10.0.0.1", "cidr": "10.0.0.5/24"}, "is an address within a network; the network is 10.0.0.0/24"),
        ({"address": "10.0.0.1", "cidr": "10.0.0.0"}, "cidr '10.0.0.0' has no prefix length"),
        ({"address": "10.0.0.1", "cidr": "ten"}, "cidr 'ten' is not a network such as 11.11.11.0/24"),
        ({"cidr": "10.0.0.0/24"}, "it has the cidr 10.0.0.0/24 but no address"),
        ({"address": "10.0.0.0/24"}, "address 10.0.0.0 is that of the network 10.0.0.0/24 itself"),
        ({"address": "10.0.0.255/24"}, "address 10.0.0.255 is the broadcast address of 10.0.0.0/24"),
        ({"address": "127.0.0.2/8"}, "address 127.0.0.2 cannot be a NIC's"),
        ({"address": "ff02::1/64"}, "address ff02::1 cannot be a NIC's"),
        ({"address": "169.254.1.1/16"}, "address 169.254.1.1 is link-local"),
        ({"address": "fe80::1/64"}, "address fe80::1 is link-local"),
        ({"mtu": 67}, "mtu 67 is not within 68 and 65535"),
        ({"mtu": 65536}, "mtu 65536 is not within 68 and 65535"),
        ({"mtu": "big"}, "mtu must be a whole number, not str 'big'"),
        ({"address": "2001:db8::1/64", "mtu": 1279}, "mtu 1279 is too small for IPv6, which needs at least 1280"),
        ({"name": "eth0"}, "name 'eth0' is not one of multinic0 to multinic9"),
        ({"name": "multinic10"}, "name 'multinic10' is not one of multinic0 to multinic9"),
        ({"adress": "10.0.0.1"}, "unknown adress; known are id, mac_address, address, cidr, mtu and name"),
    ],
)
def test_what_is_not_valid_is_named_with_its_entry(changes: dict[str, Any], reason: str) -> None:
    raw = {**GOOD, **changes}
    found = parse([{"id": 5, "mac": "fa:16:3e:00:00:05"}, raw])
    (refused,) = found.refused
    entry = "interfaces[1]" + ("" if "id" in changes else " (id 1)")
    assert refused.entry == entry
    assert refused.reason.startswith(f"{entry}: ") and reason in refused.reason
    assert [interface.id for interface in found.interfaces] == [5]


@pytest.mark.parametrize("raw", ["nonsense", None, [1], 7])
def test_what_is_no_entry_is_refused(raw: object) -> None:
    assert "interfaces[0]: it must be a mapping with id and mac_address" in only_reason(raw)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert only_reason({"id": "x", "mac": 1, "mtu": 1}).count(";") == 3  # and one in the remedy


@pytest.mark.parametrize(
    ("shared", "word"),
    [
        ({"id": 1}, "id 1"),
        ({"mac": MAC.upper()}, f"mac_address {MAC}"),
        ({"address": "10.0.0.1/16"}, "address 10.0.0.1"),
        ({"name": "multinic1"}, "name multinic1"),
    ],
)
def test_what_is_there_twice_refuses_all_entries_concerned(shared: dict[str, Any], word: str) -> None:
    """A broken one too: nobody can say which was meant."""
    first = {**GOOD, "address": "10.0.0.1/24", "name": "multinic1"}
    second = {"id": 2, "mac": "fa:16:3e:00:00:02", "mtu": 1, **shared}
    found = parse([first, second, {"id": 3, "mac": "fa:16:3e:00:00:03"}])
    assert [interface.id for interface in found.interfaces] == [3]
    assert found.refused[0].reason == f"interfaces[0] (id 1): {word} is also that of interfaces[1] (id {second['id']})"
    assert found.refused[1].reason.endswith(f"{word} is also that of interfaces[0] (id 1)")


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_KEYS = st.sampled_from(["id", "mac", "mac_address", "macAddress", "address", "cidr", "mtu", "name"])


@given(st.lists(st.dictionaries(_KEYS, _ANYTHING, max_size=5) | _ANYTHING, max_size=4), entries())
def test_whatever_is_written_every_entry_is_read_or_refused(noise: list[Any], good: list[dict[str, Any]]) -> None:
    found = parse([*noise, *good])
    assert len(found.interfaces) + len(found.refused) == len(noise) + len(good)
    assert len(parse(good).interfaces) == len(good)
    assert [interface.id for interface in found.interfaces] == sorted({each.id for each in found.interfaces})
