# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What configuring ten NICs takes, next to a module that does nothing and to plain ``ip``.

    python -m benchmark.multinic --runs 5

Each row is the median over the runs: of a whole play of one task, Ansible's own start included, or of the script.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from testbed.bed import Bed
from testbed.inventory import Inventory
from testbed.net.node import Node
from testbed.run import Run
from testbed.tier import Tier

_NICS = 10
_TASKS = {
    "idle": "ansible.builtin.ping:",
    "create": 'manifold.core.multinic_config: {backend: netplan, interfaces: "{{ wanted }}"}',
    "again": 'manifold.core.multinic_config: {backend: netplan, interfaces: "{{ wanted }}"}',
    "remove": "manifold.core.multinic_config: {backend: netplan, state: absent}",
}
_PLAYBOOK = """
- hosts: node1
  gather_facts: false
  tasks:
    - {task}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in (*_TASKS, "plain ip")}
    with Run() as run, Bed(run, Tier.NODE) as bed:
        node = bed.node("node1")
        for number in range(1, _NICS + 1):
            node.add_nic(f"eth{number}", f"fa:16:3e:00:00:{number:02x}")
        node.run(["mkdir", "-p", "/etc/netplan"])
        inventory = bed.inventory(node)
        for _run in range(options.runs):
            taken["plain ip"].append(_plain(node))
            for name, task in _TASKS.items():
                taken[name].append(_play(inventory, task, changes=name in ("create", "remove")))
    idle = statistics.median(taken["idle"])
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        apart = "" if name in ("idle", "plain ip") else f"  apart from an idle module: {median - idle:5.2f} s"
        print(f"{name:10} {median:6.2f} s ({spread}){apart}")


def _play(inventory: Inventory, task: str, changes: bool) -> float:
    """Return how many seconds a play of one task took."""
    variables = {"wanted": _wanted()}
    began = time.monotonic()
    result = inventory.run_playbook(_PLAYBOOK.format(task=task), extra_vars=variables).check()
    took = time.monotonic() - began
    if result.tasks[-1].changed != changes:
        raise SystemExit(result.describe())
    return took


def _plain(node: Node) -> float:
    """Return how many seconds it takes to do the same by ``ip`` and nothing else, in a script; then undo it."""
    links = [link["ifname"] for link in node.links() if link["ifname"] != "lo"]
    do = [
        f"ip link set dev {name} down; ip link set dev {name} name plain{number}; "
        f"ip link set dev plain{number} mtu 1450; ip link set dev plain{number} up; "
        f"ip address add 10.0.{number}.1/24 dev plain{number}"
        for number, name in enumerate(links)
    ]
    undo = [
        f"ip address flush dev plain{number}; ip link set dev plain{number} down; "
        f"ip link set dev plain{number} name {name}; ip link set dev {name} mtu 1500"
        for number, name in enumerate(links)
    ]
    began = time.monotonic()
    _script(node, do)
    took = time.monotonic() - began
    _script(node, undo)
    return took


def _script(node: Node, lines: list[str]) -> None:
    done = node.run(["sh", "-ec", "\n".join(lines)])
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())


def _wanted() -> list[dict[str, Any]]:
    return [
        {"id": number, "mac": f"fa:16:3e:00:00:{number:02x}", "address": f"10.0.{number}.1/24", "mtu": 1450}
        for number in range(1, _NICS + 1)
    ]


if __name__ == "__main__":
    main()
