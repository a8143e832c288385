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

pytestmark = pytest.mark.node
# names are swapped and change hands, an address moves, one goes and one comes
ONE = [entry(1), entry(2, address="2001:db8::2/64", cidr=None), entry(3)]
OTHER = [entry(3, name="multinic1"), entry(2, name="multinic2", mtu=1500), entry(4, address="10.0.1.1/24", cidr=None)]
_MOST = 200
_FOLDER = "etc/sysconfig/network-scripts"


@pytest.mark.long
def test_a_run_that_is_killed_at_any_point_is_mended_by_the_next(node: Callable[..., Node]) -> None:
    """With the backend that starts no tool of its own, which would only take time."""
    made = Machine(node(), 4)
    made.put(f"/{_FOLDER}/ifup-eth", "")
    _run(made, OTHER)
    looks = [_run(made, ONE), _run(made, OTHER)]
    assert _run(made, ONE) == looks[0]
    contents = {text for _nics, files in looks for text in files.values()}
    kept = made.untouchable()
    number, result = 0, KILLED
    while result == KILLED:
        number += 1
        assert number < _MOST
        result = made.remote.call("configure", number, interfaces=OTHER, backend="ifcfg")
        half = {name: text for name, text in made.files(_FOLDER).items() if not name.startswith(".")}
        assert set(half.values()) <= contents, f"killed at {number}"
        assert _run(made, OTHER) == looks[1], f"killed at {number}"
        assert list((made.node.root / "var/lib/manifold-core/multinic").iterdir()) == []
        assert made.guards() == []
        assert _run(made, ONE) == looks[0]
    assert number > 40
    assert made.untouchable() == kept
    made.close()


def _run(made: Machine, wanted: list[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Run to the end and return what the node looks like."""
    done = made.configure(wanted, backend="ifcfg", guard="none")
    assert done.get("failure", done.get("error")) is None, done
    return made.nics(), made.files(_FOLDER)
