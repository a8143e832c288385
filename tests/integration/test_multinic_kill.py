# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that is killed at any point: no half-written file is seen, and the next run makes all as it is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from integration.nic_machine import Machine, entry
from integration.on_node import KILLED
from testbed.net.node import Node
from testbed.processes import naming

pytestmark = pytest.mark.node
# names are swapped and change hands, an address moves, one goes and one comes
ONE = [entry(1), entry(2, address="2001:db8::2/64", cidr=None), entry(3)]
OTHER = [entry(3, name="multinic1"), entry(2, name="multinic2", mtu=1500), entry(4, address="10.0.1.1/24", cidr=None)]
_MOST = 200


@pytest.mark.long
def test_a_run_that_is_killed_at_any_point_is_mended_by_the_next(node: Callable[..., Node]) -> None:
    made = Machine(node(), 4)
    looks = {}
    for name, wanted in (("other", OTHER), ("one", ONE), ("other", OTHER), ("one", ONE)):
        made.configured(wanted)
        assert looks.setdefault(name, (made.nics(), made.files())) == (made.nics(), made.files())
    kept = made.untouchable()
    contents = {text for _nics, files in looks.values() for text in files.values()}
    killed = 0
    with made.flooded():
        for number in range(1, _MOST):
            results = [_cut_short(made, OTHER, number, looks["other"], contents)]
            results.append(_cut_short(made, ONE, number, looks["one"], contents))
            if KILLED not in results:
                break
            killed += 1
    assert 20 < killed < _MOST - 1
    assert made.untouchable() == kept
    made.close()


def _cut_short(made: Machine, wanted: list[Any], number: int, look: Any, contents: set[str]) -> Any:
    """Kill a run before the n-th thing that it changes, then run again; return the result of the killed one."""
    result = made.remote.call("configure", number, interfaces=wanted, backend="netplan")
    seen = {name: text for name, text in made.files().items() if not name.startswith(".")}
    assert set(seen.values()) <= contents, f"killed at {number}"
    again = made.configure(wanted)
    assert again.get("failure", again.get("error")) is None, f"killed at {number}: {again}"
    assert (made.nics(), made.files()) == look, f"killed at {number}"
    state = made.node.root / "var/lib/manifold-core/multinic"
    assert list(state.iterdir()) == []
    assert naming("manifold-core/multinic") == []
    return result
