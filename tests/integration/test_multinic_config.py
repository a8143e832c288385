# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.multinic_config`` on test nodes: what is wanted comes about, and nothing else changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.nic_machine import GATEWAY, SYSTEM_MAC, Machine, entry, mac_of
from integration.on_node import Remote
from testbed.inventory import Inventory
from testbed.net.node import Node

pytestmark = pytest.mark.node
Machines = Callable[..., Machine]


@pytest.fixture
def machine(node: Callable[..., Node]) -> Iterator[Machines]:
    """Start a machine with so many extra NICs."""
    made = []

    def start(nics: int = 3) -> Machine:
        made.append(Machine(node(), nics))
        return made[-1]

    yield start
    for each in made:
        each.close()


def states(done: Any) -> dict[Any, str]:
    """Return the states of a result's interfaces by id."""
    return {each["id"]: each["state"] for each in done["interfaces"]}


def reason(done: Any, number: int | None) -> str:
    """Return the reason of the interface with that id."""
    (found,) = [each["reason"] for each in done["interfaces"] if each["id"] == number]
    return str(found)


def test_ten_nics_of_both_families(machine: Machines) -> None:
    """A check tells exactly what the run then does; not a packet of the system's NIC is lost in all this."""
    made = machine(10)
    wanted = [entry(number) for number in range(1, 6)]
    wanted += [entry(number, address=f"2001:db8:{number}::1/64", cidr=None) for number in range(6, 10)]
    wanted.append({"id": 10, "mac_address": mac_of(10).upper().replace(":", "-")})
    kept, before = made.untouchable(), made.traces()
    with made.flooded():
        told = made.configure(wanted, check=True)
        assert made.traces() == before and made.nic(1) == "eth1 down 1500"
        done = made.configured(wanted)
        assert (done["steps"], done["diff"], done["changed"]) == (told["steps"], told["diff"], told["changed"])
        assert states(done) == dict.fromkeys(range(1, 11), "configured")
        assert all(each["changed"] for each in done["interfaces"])
        nics = made.nics()
        assert nics[mac_of(3)] == "multinic2 up 1450 10.0.3.1/24"
        assert nics[mac_of(9)] == "multinic8 up 1450 2001:db8:9::1/64"
        assert nics[mac_of(10)] == "multinic9 up 1500"
        assert len(made.files()) == 10
        removed = made.configure([])
    assert states(removed) == dict.fromkeys(range(1, 11), "removed")
    assert made.files() == {} and made.nic(3) == "orph2 down 1450" and made.nic(10) == "orph9 down 1500"
    assert made.untouchable() == kept
    made.settled([])


def test_names_stay_whatever_changes(machine: Machines) -> None:
    """The list is reordered, addresses, MTU and NICs change, an entry goes and another one comes."""
    made = machine(5)
    kept = made.untouchable()
    with made.flooded():
        made.configured([entry(2), entry(3), entry(4)])
        assert [made.nic(number).split()[0] for number in (2, 3, 4)] == ["multinic0", "multinic1", "multinic2"]
        made.settled([entry(4), entry(2), entry(3)])
        made.configured([entry(4), entry(2, address="10.0.2.9"), entry(3, mtu=1400)])
        assert (made.nic(2), made.nic(3)) == ("multinic0 up 1450 10.0.2.9/24", "multinic1 up 1400 10.0.3.1/24")
        # a new NIC for the same id: it takes the name, the old one gives it up
        replaced = [entry(2, mac_address=mac_of(5)), entry(3), entry(4)]
        done = made.configured(replaced)
        assert made.nic(5) == "multinic0 up 1450 10.0.2.1/24" and made.nic(2) == "orph0 down 1450"
        assert states(done) == {2: "configured", 3: "configured", 4: "configured", None: "removed"}
        made.configured([entry(1), entry(4)])
        assert made.nic(1).split()[0] == "multinic0" and made.nic(4).split()[0] == "multinic2"
        assert sorted(made.files()) == ["90-multinic0.yaml", "92-multinic2.yaml"]
        assert {made.nic(number).split()[0] for number in (2, 3, 5)} == {"orph0", "orph1", "orph2"}
    assert made.untouchable() == kept


def test_names_and_addresses_are_swapped(machine: Machines) -> None:
    made = machine(3)
    names = ["multinic1", "multinic2", "multinic0"]
    made.configured([entry(number) for number in (1, 2, 3)])
    done = made.configured([entry(number, name=name) for number, name in zip((1, 2, 3), names, strict=True)])
    assert [made.nic(number).split()[0] for number in (1, 2, 3)] == names
    assert any("name mnic0" in step for step in done["steps"])
    made.configured(
        [entry(1, address="10.0.2.1", cidr="10.0.2.0/24"), entry(2, address="10.0.1.1", cidr="10.0.1.0/24")]
    )
    assert (made.nic(1), made.nic(2)) == ("multinic1 up 1450 10.0.2.1/24", "multinic2 up 1450 10.0.1.1/24")


@pytest.mark.parametrize(
    "by_hand",
    [
        "ip link set dev multinic0 down",
        "ip link set dev multinic0 mtu 1300",
        "ip address flush dev multinic0",
        "ip address add 10.9.9.9/24 dev multinic0",
        "ip link set dev multinic0 down; ip link set dev multinic0 name eth7; ip link set dev eth7 up",
        "ip link set dev multinic0 down; ip link set dev multinic0 name mnic3",
        # the right address depends on a wrong one
        "ip address flush dev multinic0; for last in 2 1; do ip address add 10.0.1.$last/24 dev multinic0; done",
        "sed -i s/1450/1300/ /etc/netplan/90-multinic0.yaml",
        "chmod 644 /etc/netplan/90-multinic0.yaml",
        "rm /etc/netplan/90-multinic0.yaml",
        "truncate -s 0 /etc/netplan/90-multinic0.yaml",
        "mv /etc/netplan/90-multinic0.yaml /etc/netplan/95-multinic5.yaml",
    ],
)
def test_what_was_changed_by_hand_is_mended(drifting: Machine, by_hand: str) -> None:
    before = (drifting.nics(), drifting.files())
    assert drifting.node.run(["sh", "-ec", by_hand]).returncode == 0
    done = drifting.configured([entry(1), entry(2)])
    assert (drifting.nics(), drifting.files()) == before
    assert [each["changed"] for each in done["interfaces"] if each["id"]] == [True, False]


@pytest.fixture(scope="module")
def drifting(testbed_run: Any) -> Iterator[Machine]:
    """A machine that is configured; each test leaves it as it was."""
    node = Node("node1", testbed_run.new_directory("node1"))
    made = Machine(node, 2)
    made.configured([entry(1), entry(2)])
    yield made
    made.close()
    node.close()


def test_a_nic_that_is_in_use_is_refused(machine: Machines) -> None:
    """Each for its reason; the good one is configured, and of the others nothing is touched."""
    made = machine(9)
    made.ip("address add 10.9.1.1/24 dev eth1")
    made.ip("link set dev eth1 up")
    made.ip("link set dev eth2 up")
    made.ip("route add 10.9.2.0/24 dev eth2")
    made.ip("link add br0 type bridge")
    made.ip("link set dev eth3 master br0")
    made.put("/etc/netplan/60-other.yaml", f"# {mac_of(4)}\nmacaddress: {mac_of(5).upper()}\n")
    made.ip("link set dev eth6 up")  # with nothing but fe80::
    made.ip("link add link eth7 name mv0 type macvlan")
    made.ip("link set dev eth9 address", mac_of(8))
    system = entry(0, mac_address=SYSTEM_MAC)
    before, kept = made.nics(), made.untouchable()
    wanted = [system, *(entry(number) for number in range(1, 9)), entry(11)]
    done = made.configure(wanted, fail_on="never", allow_up=False)
    remedy = "if it may be changed all the same, set allow_up"
    refused = {
        0: "eth0 (fa:16:3e:00:00:00) carries the default route",
        1: "eth1 (fa:16:3e:00:00:01) is up and has the address 10.9.1.1/24; " + remedy,
        2: "eth2 (fa:16:3e:00:00:02) is up and has a route to 10.9.2.0/24; " + remedy,
        3: "eth3 (fa:16:3e:00:00:03) is a port of br0; " + remedy,
        5: "eth5 (fa:16:3e:00:00:05) is configured by /etc/netplan/60-other.yaml; take it out of there first",
        7: "eth7 (fa:16:3e:00:00:07) carries mv0; " + remedy,
        8: "eth8 and eth9 have the same MAC address fa:16:3e:00:00:08",
    }
    assert states(done) == {
        **dict.fromkeys(refused, "refused"),
        **dict.fromkeys((4, 6), "configured"),
        11: "failed",
    }
    assert {number: reason(done, number) for number in refused} == refused
    assert reason(done, 11) == "no NIC of this node has the MAC address fa:16:3e:00:00:0b"
    unchanged = {mac: text for mac, text in made.nics().items() if mac not in (mac_of(4), mac_of(6))}
    assert unchanged == {mac: text for mac, text in before.items() if mac in unchanged}
    assert made.untouchable() == kept
    allowed = made.configure(wanted, fail_on="never", allow_up=True)
    assert {number for number, state in states(allowed).items() if state == "refused"} == {0, 5, 8}
    assert made.nic(1).endswith("up 1450 10.0.1.1/24")
    by_ssh = made.configure([entry(1, address="10.0.1.7"), entry(2)], connected=["10.0.1.1"], fail_on="never")
    assert reason(by_ssh, 1) == (
        "multinic2 (fa:16:3e:00:00:01) has 10.0.1.1, by which this node is reached just now; it is not changed"
    )
    assert made.nic(1).endswith("up 1450 10.0.1.1/24")


def test_one_of_ten_that_is_missing_stops_no_other(machine: Machines) -> None:
    """Whether the task fails is asked for; what the node has of entries that are not valid stays as it is."""
    made = machine(9)
    wanted = [entry(number) for number in range(1, 11)]
    done = made.configure(wanted)
    assert done["failure"] == (
        "1 of 10 interfaces could not be configured: id 10: no NIC of this node has the MAC address fa:16:3e:00:00:0a"
    )
    assert states(done) == {**dict.fromkeys(range(1, 10), "configured"), 10: "failed"}
    assert len(made.files()) == 9 and made.nic(9) == "multinic8 up 1450 10.0.9.1/24"
    for fail_on, fails in (("any", True), ("all", False), ("never", False)):
        assert (made.configure(wanted, fail_on=fail_on)["failure"] is not None) == fails
    before = (made.nics(), made.files())
    spoilt = [*wanted[2:9], entry(1, mtu=70000), "nonsense"]
    done = made.configure(spoilt)
    assert reason(done, 1) == "interfaces[7] (id 1): mtu 70000 is not within 68 and 65535"
    assert (made.nics(), made.files()) == before  # nobody can say whether "nonsense" was the one with id 2
    assert made.configure([entry(10)], fail_on="all")["failure"] is not None


def test_a_change_that_fails_is_undone_alone(machine: Machines) -> None:
    """The others go on; the next run does what is left."""
    made = machine(3)
    made.configured([entry(2)])
    made.ip("address add 10.0.2.77/24 dev multinic0")
    before = (made.nic(2), made.files()["90-multinic0.yaml"])
    wanted = [entry(1, name="multinic1"), entry(3), entry(2)]
    # a name that the kernel does not let anybody have, and ip does not tell of in its list of links
    made.ip("link property add dev eth0 altname multinic1")
    done = made.configure(wanted)
    assert states(done) == {1: "failed", 2: "configured", 3: "configured"}
    assert "ip link set dev eth1 name multinic1: RTNETLINK answers: File exists" in reason(done, 1)
    assert made.nic(1) == "eth1 down 1500" and "91-multinic1.yaml" not in made.files()
    assert before[1] == made.files()["90-multinic0.yaml"]
    made.ip("link property del dev eth0 altname multinic1")
    made.configured(wanted)


def test_a_change_after_which_something_does_not_work_any_more_is_undone_as_a_whole(machine: Machines) -> None:
    made = machine(2)
    before, files = made.nics(), made.files()
    # a network that has the gateway in it, more specific than that of the system's NIC
    verify = {"timeout": 1, "command": f"ping -c1 -W1 {GATEWAY}"}
    done = made.configure([entry(1, address="192.0.2.253/30", cidr=None), entry(2)], verify=verify)
    assert done["rolled_back"] and not done["changed"] and done["diff"] == []
    assert done["failure"].startswith(
        f"The node was put back as it was: command 'ping -c1 -W1 {GATEWAY}' worked before and does not any more: "
    )
    assert states(done) == {1: "failed", 2: "failed"}
    assert (made.nics(), made.files()) == (before, files)


def test_two_runs_at_once_do_not_interleave(machine: Machines) -> None:
    made = machine(4)
    other = Remote(made.node)
    lists = [[entry(number) for number in numbers] for numbers in ((1, 2, 3), (4, 3))]
    results: list[Any] = []

    def run(remote: Remote, interfaces: list[Any]) -> None:
        results.extend(remote.call("configure", interfaces=interfaces, backend="netplan") for _run in range(4))

    threads = [threading.Thread(target=run, args=pair) for pair in zip((made.remote, other), lists, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert [done.get("failure", done.get("error")) for done in results] == [None] * 8
    nics = {text.split()[0] for text in made.nics().values() if text.startswith("multinic")}
    assert len(nics) == len(made.files()) and len(nics) in (2, 3)
    assert all(not name.startswith("mnic") for name in made.nics().values())


def test_the_module(node: Callable[..., Node], inventory: Callable[..., Inventory]) -> None:
    """Through Ansible: check mode, the difference, a partial failure, the end of all."""
    made = Machine(node(), 3)
    wanted = [entry(1), entry(2), {"id": "three", "mac": mac_of(3)}]
    variables = {"wanted": wanted, "good": wanted[:2]}
    result = (
        inventory(made.node)
        .run_playbook(
            """
        - hosts: node1
          gather_facts: false
          module_defaults:
            manifold.core.multinic_config: {backend: netplan}
          tasks:
            - {name: Check, manifold.core.multinic_config: {interfaces: "{{ good }}"}, check_mode: true, diff: true}
            - name: Partly
              manifold.core.multinic_config: {interfaces: "{{ wanted }}"}
              diff: true
              ignore_errors: true
            - {name: Never, manifold.core.multinic_config: {interfaces: "{{ wanted }}", fail_on: never}, diff: true}
            - name: Both
              manifold.core.multinic_config: {interfaces: "{{ good }}", state: absent}
              ignore_errors: true
            - {name: Late, manifold.core.multinic_config: {rollback_timeout: 5}, ignore_errors: true}
            - {name: Info, manifold.core.multinic_info: }
            - {name: Gone, manifold.core.multinic_config: {state: absent}, diff: true}
            - {name: Again, manifold.core.multinic_config: {state: absent}}
        """,
            extra_vars=variables,
        )
        .check()
    )
    told, done = result.task("Check"), result.task("Partly")
    assert told.changed and told.result["guard"] is None and told.result["diff"] == done.result["diff"]
    assert (done.status, states(done.result)) == ("failed", {1: "configured", 2: "configured", None: "refused"})
    assert done.result["msg"].endswith("interfaces[2]: id must be a whole number, not str 'three'")
    assert [part["after_header"] for part in done.result["diff"]] == [
        "links",
        "/etc/netplan/90-multinic0.yaml (mode 0600)",
        "/etc/netplan/91-multinic1.yaml (mode 0600)",
    ]
    again = result.task("Never")
    assert not again.changed and again.result["diff"] == [] and again.status == "ok"
    assert "leave them out of the list" in result.task("Both").result["msg"]
    assert "rollback_timeout (5 s) must be longer than verify.timeout (10 s)" in result.task("Late").result["msg"]
    assert [each["drift"] for each in result.task("Info").result["interfaces"]] == [[], []]
    assert states(result.task("Gone").result) == {1: "removed", 2: "removed"}
    assert not result.task("Again").changed and result.task("Again").result["interfaces"] == []
    assert made.files() == {}
    made.close()
