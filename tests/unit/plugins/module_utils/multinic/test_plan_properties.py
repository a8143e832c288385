# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any list of interfaces on any node."""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.manifold.core.plugins.module_utils.multinic._apply import apply
from ansible_collections.manifold.core.plugins.module_utils.multinic._judge import Observed
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import observe_links
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import parse
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Plan, Policy, make_plan
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import State
from ansible_collections.manifold.core.plugins.module_utils.multinic._view import look
from hypothesis import example, given, settings
from hypothesis import strategies as st

from unit.nic_strategies import Others, Start, entries, talked_of
from unit.simulated_nics import PlainBackend, SimulatedLink, SimulatedNode, Unguarded

_POLICIES = st.builds(Policy, allow_up=st.booleans(), purge=st.booleans())


@contextmanager
def _node(start: Start) -> Iterator[tuple[SimulatedNode, PlainBackend]]:
    with tempfile.TemporaryDirectory() as root:
        node = SimulatedNode(Path(root), start.links, start.routes)
        backend = PlainBackend(node)
        for name, content in start.files.items():
            path = node.path(f"/etc/netplan/9{name[-1]}-{name}.yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o600)
        yield node, backend


@dataclass(frozen=True)
class _Runs:
    """Plans for a node, again and again."""

    node: SimulatedNode
    backend: PlainBackend
    wanted: Sequence[dict[str, Any]]
    policy: Policy
    others: Others

    def observe(self) -> Observed:
        """Look at the node."""
        said = self.others
        return Observed(observe_links(self.node), self.backend.own(), said.claims, said.named, said.connected)

    def plan(self) -> Plan:
        """Plan what is to be done."""
        return make_plan(parse(self.wanted), self.observe(), self.policy, self.backend.render)


def _record(number: int, mac: int, name: int) -> str:
    head = "# Managed by manifold.core (multinic); changes made here are undone."
    return f"{head}\n# id={number} mac=fa:16:3e:00:00:{mac:02x} name=multinic{name}\n"


def _link(name: str, mac: int, *addresses: str) -> SimulatedLink:
    return SimulatedLink(
        name, f"fa:16:3e:00:00:{mac:02x}", True, 1450, [ipaddress.ip_interface(each) for each in addresses]
    )


def _entry(number: int, mac: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "mac_address": f"fa:16:3e:00:00:{mac:02x}", "mtu": 1450, **more}


def _left(*names: int) -> dict[str, str]:
    """Return files that nobody knows the interface of, and that keep their names where nothing is purged."""
    return {f"multinic{name}": "" for name in names}


_KEEP = Policy(allow_up=True, purge=False)


# Each of these once left something to do for a second plan. Names are short, and the record of one that gets no name
# is that of the name which another one's NIC has:
@example(
    [_entry(11, 9), _entry(12, 4), _entry(6, 8)],
    (
        Start(
            links=[_link("eth1", 9), _link("multinic6", 4), _link("eth8", 8)],
            files={"multinic6": _record(2, 9, 6), "multinic9": _record(12, 5, 9), **_left(0, 1, 2, 3, 4, 5, 7, 8)},
            routes=[],
        ),
        Others(),
    ),
    _KEEP,
)
# the same, and one that gets no name has an address that another one wants:
@example(
    [
        _entry(7, 1, address="10.0.0.3/24"),
        _entry(6, 11),
        _entry(12, 3),
        _entry(10, 8, address="10.0.2.5/24"),
        _entry(1, 6),
        _entry(0, 9),
    ],
    (
        Start(
            links=[
                _link("eth6", 11),
                _link("multinic4", 8),
                _link("eth11", 3, "10.0.0.3/24"),
                _link("multinic9", 5),
                _link("multinic0", 1, "10.0.2.5/24"),
                _link("mnic0", 6),
                _link("eth2", 9),
            ],
            files={"multinic6": _record(5, 7, 1), **_left(4, 7, 8)},
            routes=[],
        ),
        Others(),
    ),
    _KEEP,
)
# names are there, but the record of another one is that of the name of the NIC by which the node is reached:
@example(
    [_entry(1, 13), _entry(5, 7)],
    (
        Start(
            links=[_link("multinic3", 13), _link("eth2", 7)],
            files={"multinic3": _record(11, 7, 3)},
            routes=[{"dst": "default", "gateway": "10.9.9.9", "dev": "multinic3"}],
        ),
        Others(),
    ),
    _KEEP,
)
# nearly all names are taken, and one becomes free because an interface is refused for its address
@example(
    [
        {"id": number, "mac_address": f"fa:16:3e:00:00:{mac:02x}", "mtu": 1500, "address": address}
        for number, mac, address in (
            (13, 4, "10.0.1.1/24"),
            (4, 13, "10.0.0.4/24"),
            (7, 8, "10.0.1.2/24"),
            (9, 3, "2001:db8::1/64"),
            (0, 5, "10.0.2.1/24"),
        )
    ],
    (
        Start(
            links=[
                _link("eth6", 8),
                _link("multinic9", 13, "10.0.0.4/24"),
                _link("multinic3", 5),
                _link("eth7", 4),
                _link("multinic7", 3, "10.0.2.5/24"),
                _link("multinic6", 12, "10.0.1.1/24"),
                _link("multinic5", 1, "10.0.0.4/24"),
            ],
            files={
                "multinic0": "",
                "multinic2": "",
                "multinic3": _record(13, 3, 3),
                "multinic8": _record(12, 9, 0),
                "multinic9": "",
            },
            routes=[],
        ),
        Others(),
    ),
    Policy(allow_up=False, purge=False),
)
@given(entries(), st.one_of(talked_of(), talked_of(crowded=True)), _POLICIES)
@settings(max_examples=150)
def test_what_is_planned_works_and_a_second_plan_is_empty(
    wanted: list[dict[str, Any]], talked: tuple[Start, Others], policy: Policy
) -> None:
    start, said = talked
    with _node(start) as (node, backend):
        runs = _Runs(node, backend, wanted, policy, said)
        plan = runs.plan()
        assert apply(node, plan, Unguarded()) == ()
        again = runs.plan()
        assert again.steps == ()
        names = {target.outcome.id: target.outcome.name for target in plan.targets if target.outcome.id is not None}
        kept = {target.outcome.id: target.outcome.name for target in again.targets if target.outcome.id is not None}
        assert kept.items() <= names.items()
        configured = [target for target in plan.targets if target.outcome.state is State.CONFIGURED]
        assert {target.outcome.id for target in again.targets} == {target.outcome.id for target in configured}
        seen = runs.observe()
        macs = plan.before.links.keys() | plan.after.links.keys()
        assert look(seen.links, seen.files, macs) == plan.after
