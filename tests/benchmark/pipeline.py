# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline task against the raw shell one-liner on the same contexts.

    python -m benchmark.pipeline --size 1GiB --pairs 11 [--checksum none] [--no-compress]

Alternating pairs; the ratio is one-liner time over task time (1.00: as fast; 0.90: the task takes 11% longer), as
median with its 95% interval. ``task`` is a whole ansible-playbook, Python's start included; ``duration_ms`` is
the pipeline in it. CPU seconds are those of everything either started on this side: ansible, ssh and its
master, kubectl and zstd, not the test bed's servers.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.cost import Cost, CpuAccount, compare, interval
from benchmark.site import Site

_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size_in_bytes(text: str) -> int:
    """Return the bytes that a text such as ``4GiB`` means."""
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return int(float(text.removesuffix(unit)) * factor)
    return int(text)


@dataclass
class _Task:
    site: Site
    account: CpuAccount
    compress: bool
    checksum: str

    def __post_init__(self) -> None:
        self.durations: list[float] = []
        self.playbook = self.site.inventory.directory / "benchmark.yml"
        self.playbook.write_text(_PLAYBOOK)

    def _variables(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [{"name": "read", "context": "pod", "argv": ["cat", "/data/file"]}]
        if self.compress:
            steps.append({"name": "compress", "context": "local", "command": "zstd -q -1 -T0"})
        steps.append({"name": "save", "context": "host", "dest": str(self.site.host.data / "task.out")})
        return {"steps": steps, "checksum": self.checksum}

    def __call__(self) -> Cost:
        _remove(self.site.host.data / "task.out")
        play = self.site.inventory
        number = len(self.durations)
        variables = play.directory / "benchmark.json"
        variables.write_text(json.dumps(self._variables()))
        result = play.directory / f"duration-{number}"
        argv = [
            "ansible-playbook",
            "-i",
            str(play.path),
            "-e",
            f"@{variables}",
            "-e",
            f"record={result}",
            str(self.playbook),
        ]
        cost = self.account.run(argv, env=play.environment(), cwd=play.directory)
        self.durations.append(int(result.read_text()) / 1000)
        return cost


_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - manifold.core.pipeline: {steps: "{{ steps }}", checksum: "{{ checksum }}"}
      register: outcome
    - manifold.core.pipeline:
        steps:
          - {context: local, argv: [printf, "%s", "{{ outcome.duration_ms }}"]}
          - {context: local, dest: "{{ record }}"}
"""


def _one_liner(site: Site, account: CpuAccount, compress: bool) -> Cost:
    target = site.host.data / "raw.out"
    _remove(target)
    stages = [shlex.join(site.kubectl("exec", "pod", "--", "cat", "/data/file"))]
    if compress:
        stages.append("zstd -q -1 -T0")
    stages.append(site.ssh(f"cat > {shlex.quote(str(target))}"))
    return account.run(["bash", "-o", "pipefail", "-c", " | ".join(stages)])


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def main() -> None:
    """Run the comparison and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_in_bytes, default="1GiB")
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--checksum", choices=["sha256", "none"], default="sha256")
    parser.add_argument("--no-compress", dest="compress", action="store_false", help="leave zstd out of the chain")
    options = parser.parse_args()
    account = CpuAccount()
    try:
        with Site(options.size) as site:
            task = _Task(site, account, options.compress, options.checksum)
            costs = compare(task, lambda: _one_liner(site, account, options.compress), options.pairs)
            # the first duration belongs to the round that is not counted
            _report(site.size, costs, task.durations[1:])
    finally:
        account.close()


def _report(size: int, costs: list[tuple[Cost, Cost]], durations: list[float]) -> None:
    gib = size / (1 << 30)
    rows = {
        "task": [raw.wall / ours.wall for ours, raw in costs],
        "duration_ms": [raw.wall / duration for (_ours, raw), duration in zip(costs, durations, strict=True)],
        "CPU": [ours.cpu / raw.cpu for ours, raw in costs],
    }
    print(f"{len(costs)} pairs of {gib:.2f} GiB")
    for name, ratios in rows.items():
        low, high = interval(ratios)
        what = "CPU of task / one-liner" if name == "CPU" else f"one-liner / {name}"
        print(f"  {what:28} {statistics.median(ratios):.3f}  [{low:.3f}, {high:.3f}]")
    for name, position in (("task", 0), ("one-liner", 1)):
        walls = statistics.median(pair[position].wall for pair in costs)
        cpus = statistics.median(pair[position].cpu for pair in costs)
        print(f"  {name:10} {walls:6.2f} s  {gib * 1024 / walls:6.0f} MiB/s  {cpus / gib:5.2f} CPU s/GiB")


if __name__ == "__main__":
    main()
