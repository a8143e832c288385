# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stream costs in memory: the ansible processes against an idle task, the tools they start apart.

    python -m benchmark.memory --size 1GiB

PSS (proportional set size), sampled while the task runs; the largest sum is printed. The data goes from a container
through zstd here to a real sshd.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmark.cost import family, pss
from benchmark.pipeline import size_in_bytes
from benchmark.site import Site
from testbed.inventory import Inventory

_SAMPLE_SECONDS = 0.1
IDLE = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.pause: {seconds: 4}
"""
_STREAM = """
- hosts: localhost
  gather_facts: false
  tasks:
    - manifold.core.pipeline:
        steps:
          - {name: read, context: pod, argv: [cat, /data/file]}
          - {name: compress, context: local, command: zstd -q -1 -T0}
          - {name: save, context: host, dest: "TARGET"}
"""


@dataclass
class Peak:
    """The largest sums of PSS, in bytes."""

    ansible: int = 0
    tools: Counter[str] = field(default_factory=Counter)


def measure(inventory: Inventory, playbook: str) -> Peak:
    """Run a playbook and return what it took; raise CalledProcessError if it failed."""
    path = inventory.directory / "memory.yml"
    path.write_text(playbook)
    argv = ["ansible-playbook", "-i", str(inventory.path), str(path)]
    peak = Peak()
    process = subprocess.Popen(
        argv, env=inventory.environment(), cwd=inventory.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    while process.poll() is None:
        ansible, tools = 0, Counter[str]()
        for pid, name in family(process.pid).items():
            if name.startswith("ansible"):
                ansible += pss(pid)
            else:
                tools[name] += pss(pid)
        peak.ansible = max(peak.ansible, ansible)
        for name, size in tools.items():
            peak.tools[name] = max(peak.tools[name], size)
        time.sleep(_SAMPLE_SECONDS)
    output = process.stdout.read() if process.stdout else b""
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, argv, output)
    return peak


def main() -> None:
    """Measure both and print the difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_in_bytes, default="1GiB")
    options = parser.parse_args()
    with Site(options.size) as site:
        idle = measure(site.inventory, IDLE)
        stream = measure(site.inventory, _STREAM.replace("TARGET", str(site.host.data / "memory.out")))
    mib = 1 << 20
    print(f"PSS of the ansible processes: idle task {idle.ansible / mib:.1f} MiB, ", end="")
    print(f"stream of {site.size / mib:.0f} MiB {stream.ansible / mib:.1f} MiB, ", end="")
    print(f"difference {(stream.ansible - idle.ansible) / mib:+.1f} MiB")
    for name, size in stream.tools.most_common():
        print(f"  {name:12} {size / mib:6.1f} MiB")


if __name__ == "__main__":
    main()
