# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any list of interfaces on any node."""

from __future__ import annotations

import ipaddress
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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

from unit.nic_strategies import Start, entries, starts
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


def _observe(node: SimulatedNode, backend: PlainBackend) -> Observed:
    return Observed(observe_links(node), backend.own())


def _plan(node: SimulatedNode, backend: PlainBackend, wanted: Sequence[dict[str, Any]], policy: Policy) -> Plan:
    return make_plan(parse(wanted), _observe(node, backend), policy, backend.render)


def _record(number: int, mac: int, name: int) -> str:
    head = "# Managed by manifold.core (multinic); changes made here are undone."
    return f"{head}\n# id={number} mac=fa:16:3e:00:00:{mac:02x} name=multinic{name}\n"


def _link(name: str, mac: int, *addresses: str) -> SimulatedLink:
    return SimulatedLink(
        name, f"fa:16:3e:00:00:{mac:02x}", True, 1450, [ipaddress.ip_interface(each) for each in addresses]
    )


def _comes_to_rest(
    node: SimulatedNode, backend: PlainBackend, wanted: Sequence[dict[str, Any]], policy: Policy
) -> None:
    """Where names ran short, one that became free may serve somebody else in the next run."""
    for _run in range(5):
        plan = _plan(node, backend, wanted, policy)
        assert apply(node, plan, Unguarded()) == ()
        if plan.steps == ():
            return
    raise AssertionError("it does not come to rest")


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
    Policy(allow_up=False, purge=False),
)
@given(entries(), starts(), _POLICIES)
@settings(max_examples=150)
def test_what_is_planned_works_and_a_second_plan_is_empty(
    wanted: list[dict[str, Any]], start: Start, policy: Policy
) -> None:
    with _node(start) as (node, backend):
        plan = _plan(node, backend, wanted, policy)
        assert apply(node, plan, Unguarded()) == ()
        again = _plan(node, backend, wanted, policy)
        if plan.short:
            _comes_to_rest(node, backend, wanted, policy)
            return
        assert again.steps == ()
        names = {target.outcome.id: target.outcome.name for target in plan.targets if target.outcome.id is not None}
        kept = {target.outcome.id: target.outcome.name for target in again.targets if target.outcome.id is not None}
        assert kept.items() <= names.items()
        configured = [target for target in plan.targets if target.outcome.state is State.CONFIGURED]
        assert {target.outcome.id for target in again.targets} == {target.outcome.id for target in configured}
        seen = _observe(node, backend)
        macs = plan.before.links.keys() | plan.after.links.keys()
        assert look(seen.links, seen.files, macs) == plan.after
