# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._apply import apply
from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import head
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import Claim, NameClaim
from ansible_collections.manifold.core.plugins.module_utils.multinic._judge import Observed
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import observe_links
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import parse
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Plan, Policy, make_plan

from unit.simulated_nics import PlainBackend, SimulatedLink, SimulatedNode, Unguarded


def mac(number: int) -> str:
    """Return a MAC address."""
    return f"fa:16:3e:00:00:{number:02x}"


def entry(number: int, **changes: Any) -> dict[str, Any]:
    """Return an interface."""
    return {"id": number, "mac": mac(number), "address": f"10.0.{number}.1/24", **changes}


def nic(number: int, name: str, *addresses: str, up: bool = True, **changes: Any) -> SimulatedLink:
    """Return a NIC."""
    return SimulatedLink(
        name, mac(number), up, addresses=[ipaddress.ip_interface(each) for each in addresses], **changes
    )


class Bench:
    """A simulated node, planned for.

    :param ours: names of our files, and the id that each is of.
    """

    def __init__(self, root: Path, links: Sequence[SimulatedLink], ours: dict[str, int] | None = None) -> None:
        self.node = SimulatedNode(root, links)
        self.backend = PlainBackend(self.node)
        self.extra: dict[str, Any] = {}
        for name, number in (ours or {}).items():
            address = ipaddress.ip_interface(f"10.0.{number}.1/24")
            (file,) = self.backend.render(Interface(number, mac(number), address), name)
            self.put(name, file.content)

    def put(self, name: str, content: str) -> None:
        """Write one of our files."""
        path = self.node.path(f"/etc/netplan/9{name[-1]}-{name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o600)

    def plan(self, *wanted: object, **policy: bool) -> Plan:
        """Plan."""
        observed = Observed(observe_links(self.node), self.backend.own(), **self.extra)
        return make_plan(parse(wanted), observed, Policy(**policy), self.backend.render)

    def steps(self, *wanted: object, **policy: bool) -> list[str]:
        """Return the steps of a plan in words."""
        return [str(step) for step in self.plan(*wanted, **policy).steps]

    def reasons(self, *wanted: object, **policy: bool) -> dict[int | None, str | None]:
        """Return why interfaces are not configured, by id."""
        return {outcome.id: outcome.reason for outcome in self.plan(*wanted, **policy).refused}


def test_a_new_nic_is_recorded_before_it_is_renamed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1", up=False)])
    assert bench.steps(entry(1, mtu=1450)) == [
        "write /etc/netplan/90-multinic0.yaml",
        "ip link set dev eth1 name multinic0",
        "ip link set dev multinic0 mtu 1450",
        "ip link set dev multinic0 up",
        "ip address replace 10.0.1.1/24 dev multinic0",
    ]


def test_only_what_differs_is_touched(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24", "10.9.9.9/8")], {"multinic0": 1})
    assert bench.steps(entry(1)) == ["ip address delete 10.9.9.9/8 dev multinic0"]
    bench.node.links[0].addresses.pop()
    assert bench.steps(entry(1)) == []


def test_an_address_that_depends_on_a_wrong_one_is_given_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.9/24", "10.0.1.1/24")], {"multinic0": 1})
    assert bench.steps(entry(1)) == [
        "ip address delete 10.0.1.9/24 dev multinic0",
        "ip address replace 10.0.1.1/24 dev multinic0",
    ]


def test_what_a_link_loses_when_it_goes_down_to_be_renamed_is_given_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1", "2001:db8::1/64")], {"multinic0": 1})
    assert bench.steps(entry(1, address="2001:db8::1/64"))[1:] == [
        "ip link set dev eth1 down",
        "ip link set dev eth1 name multinic0",
        "ip link set dev multinic0 up",
        "ip address replace 2001:db8::1/64 dev multinic0",
    ]


def test_two_that_swap_their_names_change_together(tmp_path: Path) -> None:
    links = [nic(1, "multinic0", "2001:db8::1/64"), nic(2, "multinic1", "10.0.2.1/24"), nic(3, "multinic2")]
    bench = Bench(tmp_path, links, {"multinic0": 1, "multinic1": 2})
    wanted = [entry(1, name="multinic1", address="2001:db8::1/64"), entry(2, name="multinic0"), entry(3)]
    plan = bench.plan(*wanted)
    assert [str(step) for step in plan.groups[0].steps] == [
        "write /etc/netplan/91-multinic1.yaml",
        "write /etc/netplan/90-multinic0.yaml",
        "ip link set dev multinic0 down",
        "ip link set dev multinic0 name mnic0",
        "ip link set dev multinic1 down",
        "ip link set dev multinic1 name multinic0",
        "ip link set dev multinic0 up",
        "ip link set dev mnic0 name multinic1",
        "ip link set dev multinic1 up",
        "ip address replace 2001:db8::1/64 dev multinic1",
    ]
    assert [len(group.targets) for group in plan.groups] == [2, 1]


def test_who_gets_the_address_of_another_one_changes_after_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24"), nic(2, "multinic1", "10.0.2.1/24")])
    steps = bench.steps(entry(1, address="10.0.2.1/24"), entry(2, address="10.0.1.1/24"))
    assert steps[-4:] == [
        "ip address delete 10.0.1.1/24 dev multinic0",
        "ip address delete 10.0.2.1/24 dev multinic1",
        "ip address replace 10.0.2.1/24 dev multinic0",
        "ip address replace 10.0.1.1/24 dev multinic1",
    ]


def test_a_group_that_fails_is_undone_and_the_others_go_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1"), nic(2, "eth2"), nic(3, "eth3")])
    bench.node.broken = ["eth2 name"]
    change = Unguarded()
    (failure,) = apply(bench.node, bench.plan(entry(1), entry(2), entry(3)), change)
    assert failure.target.outcome.id == 2
    assert failure.reason == "ip link set dev eth2 name multinic1: RTNETLINK answers: it is broken"
    assert change.undone == [({2}, {"/etc/netplan/91-multinic1.yaml"})]
    assert [link.name for link in bench.node.links] == ["multinic0", "eth2", "multinic2"]


def test_a_file_that_cannot_be_written_is_a_failure_of_its_interface(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1")])
    (tmp_path / "etc").write_text("no folder")
    (failure,) = apply(bench.node, bench.plan(entry(1)), Unguarded())
    assert failure.reason.startswith("write /etc/netplan/90-multinic0.yaml: ")


@pytest.mark.parametrize("purge", [True, False])
def test_what_is_not_wanted_any_more_goes_if_it_may(tmp_path: Path, purge: bool) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24"), nic(2, "mnic4")], {"multinic0": 1, "multinic7": 7})
    expected = [
        "remove /etc/netplan/90-multinic0.yaml",
        "ip address delete 10.0.1.1/24 dev multinic0",
        "ip link set dev multinic0 down",
        "ip link set dev multinic0 name orph1",
        "remove /etc/netplan/97-multinic7.yaml",
    ]
    steps = bench.steps(purge=purge)
    assert (steps[2:] if purge else steps) == (expected if purge else [])
    assert steps[:2] == (["ip link set dev mnic4 down", "ip link set dev mnic4 name orph0"] if purge else [])


def test_without_purge_the_nic_that_an_interface_had_before_still_gives_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24"), nic(2, "eth2")], {"multinic0": 1})
    steps = bench.steps(entry(1, mac=mac(2)), purge=False)
    assert steps.index("ip link set dev multinic0 name orph0") < steps.index("ip link set dev eth2 name multinic0")


@pytest.mark.parametrize(
    "broken", [{"id": 1, "mac": mac(1), "mtu": 1}, {"id": 1}, {"mac": mac(1)}, {"id": 1, "mac": mac(9)}, "nonsense"]
)
def test_what_the_node_has_of_a_broken_entry_stays(tmp_path: Path, broken: object) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24"), nic(2, "eth2", up=False)], {"multinic0": 1})
    plan = bench.plan(broken, entry(2))
    assert all("multinic0" not in str(step) for step in plan.steps)
    assert "ip link set dev eth2 name multinic1" in map(str, plan.steps)


def test_the_file_of_a_refused_nic_stays_although_its_id_has_another_nic_now(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24"), nic(2, "eth2", up=False)], {"multinic0": 1})
    plan = bench.plan(entry(1, mac=mac(2), address="10.0.8.1/24"), entry(2, mac=mac(1), mtu=1))
    assert all("multinic0" not in str(step) for step in plan.steps)
    assert "ip link set dev eth2 name multinic1" in map(str, plan.steps)


def test_where_names_are_short_who_has_one_keeps_it(tmp_path: Path) -> None:
    """Also against a record and a pinned name; who gets none is told what to do."""
    new = [nic(number, f"eth{number}", up=False) for number in (2, 4, 5)]
    bench = Bench(tmp_path, [nic(1, "multinic0"), nic(3, "multinic1"), *new], {"multinic0": 2})
    for number in range(3, 10):
        bench.put(f"multinic{number}", "")
    wanted = [entry(1), entry(2), entry(3), entry(4, name="multinic1"), entry(5)]
    plan = bench.plan(*wanted, purge=False)
    named = {target.outcome.id: target.outcome.name for target in plan.targets}
    assert named == {1: "multinic0", 2: "multinic2", 3: "multinic1"}
    short = "there are not enough of the 10 names that a node has for interfaces; want fewer interfaces"
    assert {outcome.id: outcome.reason for outcome in plan.refused} == {
        5: f"{short}, or set purge to remove what is not wanted",
        4: "multinic1 is that of id 3, and there are not enough names to give that another one",
    }
    assert bench.reasons(*wanted, purge=True) == {}


def test_a_name_that_others_use_too_stays_with_whom_it_is_of_or_goes_to_nobody(tmp_path: Path) -> None:
    links = [nic(1, "multinic0"), nic(2, "eth2", up=False), nic(3, "eth3", up=False)]
    bench = Bench(tmp_path, links, {"multinic0": 1, "multinic1": 9})
    bench.extra = {"named": tuple(NameClaim(f"multinic{number}", "/etc/netplan/10-x.yaml") for number in (0, 1))}
    assert bench.reasons(entry(1), entry(2, name="multinic0")) == {2: "multinic0 is taken by /etc/netplan/10-x.yaml"}
    replaced = {target.outcome.id: target.outcome.name for target in bench.plan(entry(1, mac=mac(3)), entry(2)).targets}
    assert (replaced[1], replaced[2]) == ("multinic0", "multinic2")


def test_the_link_by_which_the_node_is_reached_keeps_its_name(tmp_path: Path) -> None:
    """Neither a record nor a pinned name takes it away."""
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24"), nic(2, "eth2", up=False)], {"multinic0": 2})
    bench.extra = {"connected": ("10.0.1.1",)}
    named = {target.outcome.id: target.outcome.name for target in bench.plan(entry(1), entry(2)).targets}
    assert named == {1: "multinic0", 2: "multinic1"}
    bench.put("multinic0", "")
    reason = "multinic0 is taken by an interface that is left as it is"
    assert bench.reasons(entry(1), entry(2, name="multinic0")) == {2: reason}


def test_a_name_that_is_kept_is_not_to_be_pinned(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0"), nic(2, "eth2", up=False)], {"multinic0": 1})
    reasons = bench.reasons(entry(2, name="multinic0"), {"id": 1})
    assert reasons[2] == "multinic0 is taken by an interface that is left as it is"
    bench.extra = {"named": (NameClaim("multinic5", "/etc/netplan/10-x.yaml"),)}
    assert bench.reasons(entry(2, name="multinic5"))[2] == "multinic5 is taken by /etc/netplan/10-x.yaml"


def test_the_link_by_which_the_node_is_reached_is_not_changed(tmp_path: Path) -> None:
    """Neither as a wanted one nor as one that is left over; as it is it may stay."""
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24")], {"multinic0": 1})
    bench.extra = {"connected": ("10.0.1.1",)}
    assert bench.plan(entry(1)).refused == () and bench.steps(entry(1)) == []
    told = f"multinic0 ({mac(1)}) has 10.0.1.1, by which this node is reached just now"
    assert bench.reasons(entry(1, mtu=1400)) == {1: f"{told}; it is not changed"}
    assert bench.reasons() == {None: f"{told}; it is not removed"}
    assert bench.steps() == bench.steps(entry(1, mtu=1400)) == []


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ({"dst": "default", "dev": "multinic0"}, "carries the default route; it is not changed"),
        ({"dst": "default", "nexthops": [{"dev": "eth9"}, {"dev": "multinic0"}]}, "carries the default route"),
        ({"dst": "default", "dev": "multinic0", "table": "101"}, None),
        ({"dst": "default", "dev": "multinic0", "protocol": "ra"}, None),
        ({"dst": "10.7.0.0/16", "dev": "multinic0"}, None),
    ],
)
def test_which_routes_of_ours_matter(tmp_path: Path, route: dict[str, Any], reason: str | None) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24")], {"multinic0": 1})
    bench.node.routes = [route]
    found = bench.reasons(entry(1, mtu=1400)).get(1)
    assert found is None if reason is None else reason in str(found)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_mtu": 1500}, "eth1 takes an MTU of 68 to 1500, not 9000"),
        ({"permanent": mac(8)}, f"no NIC of this node has the MAC address {mac(1)}"),
        ({"kind": "bridge"}, f"no NIC of this node has the MAC address {mac(1)}"),
        ({"master": "bond0"}, "is a port of bond0; if it may be changed all the same, set allow_up"),
    ],
)
def test_a_nic_that_cannot_be_what_is_wanted(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1", up=False, **changes)])
    assert str(bench.reasons(entry(1, mtu=9000))[1]).endswith(reason)


def test_ipv6_on_a_nic_with_a_small_mtu_that_is_to_stay(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1", mtu=1000)])
    reasons = bench.reasons(entry(1, address="2001:db8::1/64"))
    assert reasons == {1: "eth1 has an MTU of 1000 and IPv6 needs at least 1280; set mtu"}
    assert bench.reasons(entry(1, address="2001:db8::1/64", mtu=1280)) == {}


def test_an_address_that_another_link_has_and_keeps(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "eth1"), nic(2, "eth2", "10.0.1.1/8"), nic(3, "multinic4", "10.0.3.1/24")])
    assert bench.reasons(entry(1), entry(4)) == {
        1: "10.0.1.1 is already the address of eth2",
        4: f"no NIC of this node has the MAC address {mac(4)}",
    }
    assert bench.reasons(entry(1, address="10.0.3.1/24")) == {}  # it is about to lose it


def test_a_claimed_mac_is_refused_also_where_it_is_ours(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic0", "10.0.1.1/24")], {"multinic0": 1})
    bench.extra = {"claims": (Claim(mac(1), "/etc/netplan/50-x.yaml"), Claim(mac(2), "/etc/netplan/60-x.yaml"))}
    told = f"multinic0 ({mac(1)}) is configured by /etc/netplan/50-x.yaml; take it out of there first"
    assert bench.reasons(entry(1, mtu=1400)) == {1: told}


def test_a_file_whose_head_was_spoilt_is_written_anew_or_removed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic3", "10.0.1.1/24")])
    bench.put("multinic3", "spoilt")
    bench.put("multinic4", "spoilt")
    assert bench.steps(entry(1)) == ["remove /etc/netplan/94-multinic4.yaml", "write /etc/netplan/93-multinic3.yaml"]


def test_of_two_files_for_one_interface_one_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [nic(1, "multinic5", "10.0.1.1/24")], {"multinic5": 1})
    bench.put("multinic2", head(Interface(1, mac(1)), "multinic2"))
    assert bench.plan(entry(1)).after.links[mac(1)].name == "multinic2"
    assert "remove /etc/netplan/95-multinic5.yaml" in bench.steps(entry(1))
