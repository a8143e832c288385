# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline task against what a user would otherwise run on the same contexts.

    python -m benchmark.pipeline --size 1GiB --pairs 11 [--checksum none] [--no-compress]
    python -m benchmark.pipeline --size 1GiB --pairs 5 --against fetch-copy

The raw shell one-liner streams from the pod, through zstd, to the SSH host; fetch and copy, as Ansible has them,
take a file from the SSH host to the controller and back to the host under another name.

Alternating pairs; the ratio is their time over task time (1.00: as fast; 0.90: the task takes 11% longer), as
median with its 95% interval. ``task`` is a whole ansible-playbook, Python's start included; ``duration_ms`` is
the pipeline in it. CPU seconds are those of everything either started on this side: ansible, ssh and its
master, kubectl and zstd, not the test bed's servers.
"""

from __future__ import annotations

import argparse
import json
import re
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
    source: str = "pod"

    def __post_init__(self) -> None:
        self.durations: list[float] = []
        self.playbook = self.site.inventory.directory / "benchmark.yml"
        self.playbook.write_text(_PLAYBOOK)

    def _variables(self) -> dict[str, Any]:
        path = "/data/file" if self.source == "pod" else str(self.site.host.data / "source")
        steps: list[dict[str, Any]] = [{"name": "read", "context": self.source, "argv": ["cat", path]}]
        if self.compress:
            steps.append({"name": "compress", "context": "local", "command": "zstd -q -1 -T0"})
        steps.append({"name": "save", "context": "host", "dest": str(self.site.host.data / "task.out")})
        return {"steps": steps, "checksum": self.checksum}

    def __call__(self) -> Cost:
        _remove(self.site.host.data / "task.out")
        play = self.site.inventory
        variables = play.directory / "benchmark.json"
        variables.write_text(json.dumps(self._variables()))
        argv = ["ansible-playbook", "-v", "-i", str(play.path), "-e", f"@{variables}", str(self.playbook)]
        cost = self.account.run(argv, env=play.environment(), cwd=play.directory)
        self.durations.append(_duration(cost.output))
        return cost


def _duration(output: str) -> float:
    """Return the seconds that a pipeline took, from what ``ansible-playbook -v`` printed of its result."""
    match = re.search(r'"duration_ms": (\d+)', output)
    assert match, output
    return int(match[1]) / 1000


_PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - manifold.core.pipeline: {steps: "{{ steps }}", checksum: "{{ checksum }}"}
"""


_FETCH_COPY = """
- hosts: host
  gather_facts: false
  tasks:
    - ansible.builtin.fetch: {src: "{{ source }}", dest: "{{ middle }}", flat: true}
    - ansible.builtin.copy: {src: "{{ middle }}", dest: "{{ target }}"}
"""


def _fetch_copy(site: Site, account: CpuAccount) -> Cost:
    directory = site.inventory.directory
    paths = {"source": site.host.data / "source", "middle": directory / "middle", "target": site.host.data / "raw.out"}
    _remove(paths["middle"])
    _remove(paths["target"])
    playbook = directory / "fetch-copy.yml"
    playbook.write_text(_FETCH_COPY)
    variables = json.dumps({name: str(path) for name, path in paths.items()})
    argv = ["ansible-playbook", "-i", str(site.inventory.path), "-e", variables, str(playbook)]
    return account.run(argv, env=site.inventory.environment(), cwd=directory)


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
    parser.add_argument("--against", choices=["one-liner", "fetch-copy"], default="one-liner")
    parser.add_argument("--image", choices=["busybox", "debian"], default="busybox", help="what the pod runs")
    options = parser.parse_args()
    account = CpuAccount()
    try:
        with Site(options.size, options.image) as site:
            if options.against == "one-liner":
                task = _Task(site, account, options.compress, options.checksum)
                costs = compare(task, lambda: _one_liner(site, account, options.compress), options.pairs)
            else:
                copy = f"{shlex.join(site.kubectl('exec', 'pod', '--', 'cat', '/data/file'))} >{site.host.data}/source"
                account.run(["bash", "-c", copy])
                task = _Task(site, account, False, options.checksum, source="host")
                costs = compare(task, lambda: _fetch_copy(site, account), options.pairs)
            # the first duration belongs to the round that is not counted
            _report(options.against, site.size, costs, task.durations[1:])
    finally:
        account.close()


def _report(theirs: str, size: int, costs: list[tuple[Cost, Cost]], durations: list[float]) -> None:
    gib = size / (1 << 30)
    rows = {
        "task": [raw.wall / ours.wall for ours, raw in costs],
        "duration_ms": [raw.wall / duration for (_ours, raw), duration in zip(costs, durations, strict=True)],
        "CPU": [ours.cpu / raw.cpu for ours, raw in costs],
    }
    print(f"{len(costs)} pairs of {gib:.2f} GiB")
    for name, ratios in rows.items():
        low, high = interval(ratios)
        what = f"CPU of task / {theirs}" if name == "CPU" else f"{theirs} / {name}"
        print(f"  {what:28} {statistics.median(ratios):.3f}  [{low:.3f}, {high:.3f}]")
    for name, position in (("task", 0), (theirs, 1)):
        walls = statistics.median(pair[position].wall for pair in costs)
        cpus = statistics.median(pair[position].cpu for pair in costs)
        print(f"  {name:10} {walls:6.2f} s  {gib * 1024 / walls:6.0f} MiB/s  {cpus / gib:5.2f} CPU s/GiB")


if __name__ == "__main__":
    main()
