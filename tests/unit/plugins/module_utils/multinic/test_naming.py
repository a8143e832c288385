# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Record
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import (
    NAMES,
    choose_names,
    orphan_name,
    share_names,
    slot_of_path,
)


def mac(number: int) -> str:
    """Return a MAC address."""
    return f"fa:16:3e:00:00:{number:02x}"


def wanted(*numbers: int, **names: str) -> list[Interface]:
    """Return interfaces with these ids; ``id7="multinic3"`` pins a name."""
    return [Interface(number, mac(number), name=names.get(f"id{number}")) for number in numbers]


def test_new_names_go_by_id_and_not_by_the_list() -> None:
    assert choose_names(wanted(9, 3, 5), [], {}) == {3: "multinic0", 5: "multinic1", 9: "multinic2"}


def test_a_name_is_kept_by_the_id_then_by_the_mac_then_by_the_link() -> None:
    records = [Record(5, mac(99), "multinic4"), Record(77, mac(3), "multinic6"), Record(5, mac(3), "multinic8")]
    links = {mac(3): "multinic7", mac(9): "multinic2", mac(1): "eth1"}
    assert choose_names(wanted(1, 3, 5, 9), records, links) == {
        1: "multinic0",
        3: "multinic6",
        5: "multinic4",
        9: "multinic2",
    }


def test_of_two_files_of_an_id_that_of_its_mac_counts() -> None:
    records = [Record(1, mac(9), "multinic4"), Record(1, mac(1), "multinic6")]
    assert choose_names(wanted(1), records, {}) == {1: "multinic6"}


def test_a_name_that_is_fixed_stays() -> None:
    records = [Record(1, mac(1), "multinic3")]
    assert choose_names(wanted(1, 2), records, {}, fixed={2: "multinic3"}) == {1: "multinic0", 2: "multinic3"}


def test_where_names_are_shared_links_keep_them_before_macs_ids_and_pins() -> None:
    records = [Record(2, mac(1), "multinic0"), Record(2, mac(99), "multinic1"), Record(8, mac(3), "multinic1")]
    links = {mac(5): "multinic0", mac(6): "multinic5"}
    pinned = {"id4": "multinic1", "id6": "multinic2"}
    kept = {f"multinic{number}" for number in range(4, 10)}
    shared = share_names(wanted(1, 2, 3, 4, 5, 6, 7, **pinned), records, links, kept)
    assert shared == {5: "multinic0", 3: "multinic1", 6: "multinic2", 1: "multinic3"}


def test_a_pinned_name_wins_over_whoever_has_it() -> None:
    records = [Record(1, mac(1), "multinic0"), Record(2, mac(2), "multinic1")]
    assert choose_names(wanted(1, 2, id2="multinic0"), records, {}) == {1: "multinic1", 2: "multinic0"}


@pytest.mark.parametrize("pinned", ["multinic3", None])
def test_a_name_that_is_kept_by_something_else_is_not_given(pinned: str | None) -> None:
    names = {} if pinned is None else {"id1": pinned}
    kept = {"multinic3"} if pinned else set(NAMES)
    assert choose_names(wanted(1, **names), [Record(1, mac(1), "multinic3")], {}, kept) == {}


def test_who_pinned_a_name_that_is_kept_gets_no_other_one() -> None:
    links, records = {mac(1): "multinic5"}, [Record(1, mac(1), "multinic4")]
    assert choose_names(wanted(1, id1="multinic3"), records, links, {"multinic3"}) == {}


def test_an_eleventh_interface_gets_no_name_and_takes_none() -> None:
    records = [Record(number, mac(number), f"multinic{number - 1}") for number in range(1, 11)]
    chosen = choose_names(wanted(*range(11)), records, {})
    assert chosen == {number: f"multinic{number - 1}" for number in range(1, 11)}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/etc/netplan/93-multinic3.yaml", "multinic3"),
        ("/etc/NetworkManager/system-connections/multinic0.nmconnection", "multinic0"),
        ("/etc/systemd/network/70-multinic9.link", "multinic9"),
        ("/etc/sysconfig/network-scripts/ifcfg-multinic1", "multinic1"),
        ("/etc/multinic1/ifcfg-eth0", None),
        ("/etc/netplan/93-multinic33.yaml", None),
    ],
)
def test_a_path_tells_the_name(path: str, name: str | None) -> None:
    assert slot_of_path(path) == name


def test_a_link_that_is_given_up_gets_a_name_that_is_free() -> None:
    assert orphan_name({"orph0", "orph2"}) == "orph1"
