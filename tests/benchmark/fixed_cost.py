# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pipeline costs besides moving data: connections that are warm, checks, proofs and the commit.

    python -m benchmark.fixed_cost --runs 15

The median of ``duration_ms`` of a pipeline of three steps (pod, local, SSH host) that moves a few bytes.
"""

from __future__ import annotations

import argparse
import statistics

from benchmark.site import Site

_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - manifold.core.pipeline:
        steps:
          - {name: read, context: pod, argv: [echo, "{{ item }}"]}
          - {name: pass, context: local, command: cat}
          - {name: save, context: host, dest: "{{ target }}"}
      loop: "{{ range(runs | int) | list }}"
      register: outcome
    - ansible.builtin.set_fact:
        durations: "{{ outcome.results | map(attribute='duration_ms') | list }}"
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    with Site(0) as site:
        variables = {"runs": options.runs + 1, "target": str(site.host.data / "out")}
        result = site.inventory.run_playbook(_PLAYBOOK, extra_vars=variables).check()
    # the first run starts the master connection
    durations = result.tasks[-1].result["ansible_facts"]["durations"][1:]
    low, high = min(durations), max(durations)
    print(
        f"{len(durations)} warm pipelines of three steps: median {statistics.median(durations)} ms, {low} to {high} ms"
    )


if __name__ == "__main__":
    main()
