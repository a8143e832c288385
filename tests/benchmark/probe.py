# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looking at many contexts costs beside looking at one.

    python -m benchmark.probe --contexts 50 --runs 5

Each context is an SSH host with a server and a key of its own, and every run logs in again everywhere. The servers
share this machine's processors with what is measured; ``--delay`` puts a network of so many milliseconds (one way) in
front of each, which takes time and no processor. Printed are ``duration_ms`` of the task and the time of the whole of
``playbooks/contexts.yml``, as medians, and the ratio of many to one.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from testbed.bed import Bed
from testbed.contexts import NAME, context_of, contexts_file
from testbed.inventory import Inventory
from testbed.run import Run
from testbed.ssh.masters import close_masters
from testbed.tier import Tier

_PLAYBOOK = Path(__file__).resolve().parents[2] / "playbooks" / "contexts.yml"


@dataclass(frozen=True)
class _Cost:
    task: float
    """Seconds."""
    run: float


def look(inventory: Inventory) -> _Cost:
    """Run the playbook once, without any connection that is warm."""
    close_masters(inventory.directory)
    started = time.monotonic()
    result = inventory.run_playbook(_PLAYBOOK, extra_vars={"fail_on_unready": True, "probe_timeout": 60}).check()
    elapsed = time.monotonic() - started
    return _Cost(result.task("Try them").result["duration_ms"] / 1000, elapsed)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds, one way")
    options = parser.parse_args()
    with Run() as run, Bed(run, Tier.NODE) as bed:
        hosts = [bed.ssh_host(f"host{number}", relay=options.delay > 0) for number in range(options.contexts)]
        for host in hosts:
            if host.relay is not None:
                host.relay.set_delay(options.delay / 1000)
        one, many = (
            bed.inventory(text=contexts_file({host.name: context_of(host) for host in some}), filename=NAME)
            for some in (hosts[:1], hosts)
        )
        costs = [(look(one), look(many)) for _each in range(options.runs)]
    for what in ("task", "run"):
        first = statistics.median(getattr(cost, what) for cost, _many in costs)
        second = statistics.median(getattr(cost, what) for _one, cost in costs)
        print(
            f"{what}: 1 context {first:.2f} s, {options.contexts} contexts {second:.2f} s, ratio {second / first:.1f}"
        )


if __name__ == "__main__":
    main()
