# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller tells of itself to Prometheus."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterator

from ansible_collections.manifold.core.extensions.multinic_controller._feed import SharedIndex
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Metrics:
    """The counters; gauges are read when somebody asks for them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reconciles = Counter(
            "multinic_reconciles",
            "Looks at a resource, by how they ended: done, conflict, error.",
            ["outcome"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "multinic_reconcile_seconds", "How long a look at a resource took, writes included.", registry=self.registry
        )
        self.writes = Counter(
            "multinic_api_writes", "Calls that change something.", ["call", "outcome"], registry=self.registry
        )
        self.resyncs = Counter("multinic_resyncs", "Full lists.", ["outcome"], registry=self.registry)

    def watch(self, index: SharedIndex, queued: Callable[[], int], held: Callable[[], bool]) -> None:
        """Read gauges from here."""
        self.registry.register(_Gauges(index, queued, held))


class _Gauges(Collector):
    def __init__(self, index: SharedIndex, queued: Callable[[], int], held: Callable[[], bool]) -> None:
        self._index = index
        self._queued = queued
        self._held = held

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield how things are now."""
        with self._index.lock:
            configs = [self._index.config(uid) for uid in self._index.configs()]
            in_flight = len(self._index.fleet().in_flight)
        states = Tally(
            "New" if config.status.state is None else config.status.state.value
            for config in configs
            if config is not None
        )
        nodes = GaugeMetricFamily("multinic_nodes", "Resources, by status.state.", labels=["state"])
        for state, number in states.items():
            nodes.add_metric([state], number)
        yield nodes
        yield GaugeMetricFamily("multinic_jobs_in_flight", "Resources with a Job that has not ended.", value=in_flight)
        yield GaugeMetricFamily("multinic_queue_length", "Resources that wait for a worker.", value=self._queued())
        yield GaugeMetricFamily("multinic_lease_held", "Whether this controller acts.", value=float(self._held()))
