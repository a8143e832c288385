# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a thousand nodes take: the shipped controller as a process, over HTTP, with the shipped rights.

    python -m benchmark.multinic_cluster --nodes 1000 --rounds 3 --plot ../docs/multinic_cluster_progress.svg

The nodes and their agents are stubs: a function says how each pod ends. So this measures the controller, not NICs; nor
are the schema's CEL rules evaluated. Each call of the controller is delayed, and a part of its writes is refused or cut
off. A round is a change of every resource, all at once through the API's own store; the first one creates them. The
floor of a round is the time that its writes take at the rate that is allowed. It exits with 1 if a limit is exceeded.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task

from integration.controllers import CLIENT, CRD, Cluster, Controller, Nursery, interfaces, report
from testbed.kube.calls import CallFault, Reset
from testbed.kube.stub_backend import Outcome
from testbed.run import Run

_MEMORY_MIB = 300
_GROWTH_MIB = 30
_STATUS_WRITES = 3
_SETTLED = ("Configured", "PartiallyConfigured", "Failed")


@dataclass
class Round:
    """One change of every resource."""

    seconds: float = 0.0
    writes: int = 0
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    memory: float = 0.0
    cpu: float = 0.0
    status_writes: float = 0.0
    progress: list[tuple[float, int]] = field(default_factory=list)
    in_flight: int = 0


class Fleet(Cluster):
    """Many nodes, some of which always fail; counts what happens to each of them."""

    def __init__(self, folder: Path, nursery: Nursery, options: argparse.Namespace) -> None:
        self.failing = {f"node-{number}" for number in range(1, options.nodes + 1) if number % 20 == 7}
        self.running: Counter[str] = Counter()
        self.doubled: list[str] = []
        super().__init__(folder, nursery, options.nodes, options.agent_seconds, _without_rules())

    def _agent(self, pod: dict[str, Any]) -> Outcome:
        env = {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}
        spec, node = json.loads(env["AGENT_SPEC"]), pod["spec"]["nodeName"]
        generation = f"{node} {spec['generation']}"
        self.running[generation] += 1
        missing = spec["interfaces"][0]["macAddress"] if node in self.failing else ""
        return report(Task(env["AGENT_ACTION"]), spec, failing=missing, seconds=self.seconds)

    def told(self) -> list[dict[str, Any]]:
        """Return all resources."""
        return self.kube.front.objects.store.items("multinic.io", "multinicnodeconfigs")[0]


def _without_rules() -> dict[str, Any]:
    """Return the definition without its CEL rules: they cost the test bed a third of a second for ten interfaces."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: stripped(each) for key, each in value.items() if key != "x-kubernetes-validations"}
        return [stripped(each) for each in value] if isinstance(value, list) else value

    found: dict[str, Any] = stripped(yaml.safe_load(CRD.read_text()))
    return found


def main() -> int:
    """Measure and print; return 1 if a limit is exceeded."""
    options = _options()
    with Run() as run:
        nursery = Nursery()
        cluster = Fleet(run.new_directory("fleet"), nursery, options)
        try:
            rounds = _measure(cluster, options)
        finally:
            cluster.close()
            nursery.close()
    if options.plot is not None:
        options.plot.write_text(_svg(rounds, options))
    return _judge(rounds, cluster, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interfaces", type=int, default=10, help="of each node")
    parser.add_argument("--writes", type=float, default=50, help="writes per second that the controller is allowed")
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--agent-seconds", type=float, default=3.0)
    parser.add_argument("--latency", type=float, default=0.02, help="mean seconds by which each call is delayed")
    parser.add_argument("--faults", type=float, default=0.01, help="share of writes that are refused, and cut off")
    parser.add_argument("--plot", type=Path)
    return parser.parse_args()


def _measure(cluster: Fleet, options: argparse.Namespace) -> list[Round]:
    calls, chance = cluster.kube.calls, random.Random(1)
    writes = ("create", "patch", "delete")

    def unlucky(call: Any) -> bool:
        return call.verb in writes and call.resource != "events" and chance.random() < options.faults

    calls.add(CallFault(client=CLIENT, delay=lambda: chance.expovariate(1 / options.latency), times=None))
    calls.add(CallFault(client=CLIENT, where=unlucky, code=500, times=None))
    calls.add(CallFault(client=CLIENT, where=unlucky, reset=Reset.AFTER, times=None))
    controller = cluster.start(
        writes_per_second=f"{options.writes:g}", max_in_flight=str(options.in_flight), workers="16", max_failing="50%"
    )
    controller.wait_for("holds the Lease")
    rounds = []
    for number in range(1, options.rounds + 1):
        found = _round(cluster, controller, options, number)
        rounds.append(found)
        _print(found, number, options)
    return rounds


def _round(cluster: Fleet, controller: Controller, options: argparse.Namespace, number: int) -> Round:
    found, process = Round(), psutil.Process(controller.pid)
    before, cpu = _calls(cluster), sum(process.cpu_times()[:2])
    begun = time.monotonic()
    for node in range(1, options.nodes + 1):
        wanted = interfaces(node, options.interfaces)
        if number == 1:
            cluster.config(node, interfaces=wanted)
        else:
            cluster.change(f"node-{node}", interfaces=[{**each, "mtu": 1450 + number} for each in wanted])
    while True:
        time.sleep(options.nodes / 1000)
        done = [
            obj
            for obj in cluster.told()
            if (obj.get("status") or {}).get("observedGeneration") == number and obj["status"]["state"] in _SETTLED
        ]
        found.seconds = time.monotonic() - begun
        found.progress.append((found.seconds, len(done)))
        found.in_flight = max(found.in_flight, _in_flight(cluster))
        found.memory = max(found.memory, process.memory_info().rss / 2**20)
        if len(done) == options.nodes and _in_flight(cluster) == 0:
            break
        assert controller.poll() is None, controller.log.read_text()[-2000:]
        assert found.seconds < 1800, found.progress[-1]
    found.calls = _calls(cluster) - before
    found.writes = sum(each for (verb, resource), each in found.calls.items() if _counts(verb, resource))
    found.status_writes = found.calls["patch", "multinicnodeconfigs/status"] / options.nodes
    found.states = Counter(obj["status"]["state"] for obj in cluster.told())
    found.cpu = sum(process.cpu_times()[:2]) - cpu
    return found


def _counts(verb: str, resource: str) -> bool:
    return verb in ("create", "patch", "delete") and resource not in ("events", "leases")


def _in_flight(cluster: Fleet) -> int:
    ended = ("Complete", "Failed")
    return sum(
        not any(each["type"] in ended for each in (job.get("status") or {}).get("conditions", ()))
        for job in cluster.jobs()
    )


def _calls(cluster: Fleet) -> Counter[tuple[str, str]]:
    return Counter(
        {(verb, what): count for (who, verb, what), count in cluster.kube.calls.counts().items() if who == CLIENT}
    )


def _floor(found: Round, options: argparse.Namespace) -> float:
    """Return the seconds that the writes take; what is allowed in one second may be written at once."""
    allowed: float = options.writes
    return max(0.001, (found.writes - allowed) / allowed)


def _print(found: Round, number: int, options: argparse.Namespace) -> None:
    floor = _floor(found, options)
    print(
        f"round {number}: {found.seconds:6.1f} s; {found.writes} writes at {options.writes:g}/s are a floor of "
        f"{floor:.1f} s ({100 * (found.seconds / floor - 1):+.0f}%); {sum(found.calls.values()) / options.nodes:.2f} "
        f"calls per node; {found.status_writes:.2f} status writes per node; at most {found.in_flight} in flight; "
        f"memory {found.memory:.0f} MiB; CPU {found.cpu:.1f} s; {dict(found.states)}",
        flush=True,
    )
    print("  " + ", ".join(f"{verb} {what} {count}" for (verb, what), count in sorted(found.calls.items())), flush=True)


def _judge(rounds: list[Round], cluster: Fleet, options: argparse.Namespace) -> int:
    size = max(len(json.dumps(obj, separators=(",", ":"))) for obj in cluster.told())
    growth = rounds[-1].memory - rounds[0].memory
    twice = sorted(name for name, count in cluster.running.items() if count > 1)
    well = [name for name in twice if name.partition(" ")[0] not in cluster.failing]
    print(
        f"largest object {size} bytes; {len(cluster.failing)} nodes fail; memory grew by {growth:.0f} MiB since round 1"
    )
    print(f"agents run again for a generation: {len(twice)}, of which {len(well)} on nodes that do not fail")
    trouble = [f"memory grew by {growth:.0f} MiB"] if growth > _GROWTH_MIB else []
    trouble += [f"run twice: {well}"] if len(well) > 0 else []
    for number, each in enumerate(rounds, 1):
        exceeded = {
            f"{each.memory:.0f} MiB": each.memory > _MEMORY_MIB,
            f"{each.status_writes:.2f} status writes per node": each.status_writes > _STATUS_WRITES,
            f"{each.states}": each.states["Configured"] != options.nodes - len(cluster.failing),
            f"{each.in_flight} in flight": each.in_flight > options.in_flight,
        }
        trouble += [f"round {number}: {what}" for what, wrong in exceeded.items() if wrong]
    for what in trouble:
        print(f"EXCEEDED: {what}")
    return 1 if trouble else 0


def _svg(rounds: list[Round], options: argparse.Namespace) -> str:
    """Return a plot of how many nodes were done when, and of the floor of each round."""
    width, height, left, bottom = 760, 380, 60, 50
    longest = max(each.seconds for each in rounds) * 1.05
    step = next(each for each in (5, 10, 20, 30, 60, 120, 300, 600, 1200) if longest / each <= 10)

    def x(seconds: float) -> float:
        return left + seconds / longest * (width - left - 20)

    def y(nodes: float) -> float:
        share: float = nodes / options.nodes
        return height - bottom - share * (height - bottom - 40)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">{options.nodes} simulated nodes, {options.writes:g} writes per second'
        f", {len(rounds)} rounds</text>",
    ]
    for nodes in range(0, options.nodes + 1, max(1, options.nodes // 5)):
        parts.append(f'<line x1="{left}" x2="{width - 20}" y1="{y(nodes):.1f}" y2="{y(nodes):.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(nodes) + 4:.1f}" text-anchor="end">{nodes}</text>')
    for seconds in range(0, int(longest) + 1, step):
        parts.append(f'<text x="{x(seconds):.1f}" y="{height - bottom + 18}" text-anchor="middle">{seconds} s</text>')
    for each, colour in zip(rounds, ("#1b6ca8", "#2e8b57", "#b8860b", "#8b4789", "#555"), strict=False):
        number, floor = rounds.index(each) + 1, _floor(each, options)
        points = " ".join(f"{x(seconds):.1f},{y(nodes):.1f}" for seconds, nodes in [(0.0, 0), *each.progress])
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<line x1="{x(floor):.1f}" x2="{x(floor):.1f}" y1="{y(options.nodes):.1f}" y2="{y(0):.1f}" '
            f'stroke="{colour}" stroke-dasharray="4 4"/>'
        )
        parts.append(
            f'<text x="{width - 24}" y="{y(0) - 70 + 18 * number:.1f}" text-anchor="end" fill="{colour}">'
            f"round {number}: {each.seconds:.0f} s, floor {floor:.0f} s (dashed), {each.memory:.0f} MiB</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
