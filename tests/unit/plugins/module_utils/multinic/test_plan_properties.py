# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for any list of interfaces on any node."""

from __future__ import annotations

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
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.nic_strategies import Start, entries, starts
from unit.simulated_nics import PlainBackend, SimulatedNode, Unguarded

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


@given(entries(), starts(), _POLICIES)
@settings(max_examples=150)
def test_what_is_planned_works_and_a_second_plan_is_empty(
    wanted: list[dict[str, Any]], start: Start, policy: Policy
) -> None:
    with _node(start) as (node, backend):
        plan = _plan(node, backend, wanted, policy)
        assert apply(node, plan, Unguarded()) == ()
        again = _plan(node, backend, wanted, policy)
        assert again.steps == ()
        names = {target.outcome.id: target.outcome.name for target in plan.targets if target.outcome.id is not None}
        kept = {target.outcome.id: target.outcome.name for target in again.targets if target.outcome.id is not None}
        assert kept.items() <= names.items()
        configured = [target for target in plan.targets if target.outcome.state is State.CONFIGURED]
        assert {target.outcome.id for target in again.targets} == {target.outcome.id for target in configured}
        seen = _observe(node, backend)
        macs = plan.before.links.keys() | plan.after.links.keys()
        assert look(seen.links, seen.files, macs) == plan.after
