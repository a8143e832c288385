# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any list of interfaces on a real node in any state: one run settles it. The unit tests try many more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from integration.on_node import Remote
from testbed.net.node import Node
from unit.nic_strategies import Start, entries, starts

pytestmark = pytest.mark.node
_FOLDER = "etc/sysconfig/network-scripts"


def _begin(node: Node, start: Start) -> None:
    """Make the node what an example says."""
    for old in node.links():
        if old["ifname"] != "lo":
            node.remove_nic(old["ifname"])
    folder = node.root / _FOLDER
    for path in folder.glob("ifcfg-*"):
        path.unlink()
    for name, content in start.files.items():
        (folder / f"ifcfg-{name}").write_text(content)
    commands = []
    for link in start.links:
        node.add_nic(link.name, link.mac)
        commands.append(f"link set dev {link.name} mtu {link.mtu} {'up' if link.up else 'down'}")
        commands += [f"address add {address} dev {link.name}" for address in link.addresses]
    done = node.run(["ip", "-batch", "-"], "".join(f"{command}\n" for command in commands).encode())
    assert done.returncode == 0, done.stderr


def test_a_second_run_finds_nothing_to_do(node: Callable[..., Node]) -> None:
    made = node()
    (made.root / _FOLDER).mkdir(parents=True)
    (made.root / _FOLDER / "ifup-eth").touch()
    remote = Remote(made)

    @given(entries(), starts())
    @settings(max_examples=15, derandomize=True, phases=[Phase.generate])
    def settles(wanted: list[dict[str, Any]], start: Start) -> None:
        _begin(made, start)
        options: dict[str, Any] = {
            "interfaces": wanted,
            "backend": "ifcfg",
            "allow_up": True,
            "guard": "none",
            "fail_on": "never",
        }
        done = remote.call("configure", **options)
        assert "error" not in done and not done["rolled_back"], done
        failed = [each["reason"] for each in done["interfaces"] if each["state"] == "failed"]
        assert all("no NIC of this node" in reason or "IPv6 needs" in reason for reason in failed), failed
        again = remote.call("configure", **options)
        assert again["steps"] == [] and not again["changed"], (done, again)

    settles()
    remote.close()
