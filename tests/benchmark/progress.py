# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to say how far a stream is.

    python -m benchmark.progress --size 4GiB --pairs 11

A stream between two processes of this machine, with a text every half second and without, in alternating pairs; time
and CPU time of this process, which moves the data and writes the texts.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.operations._progress import Meter
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options, run_pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import parse_steps

from benchmark.checksum import measured
from benchmark.cost import Cost, compare, interval
from benchmark.pipeline import size_in_bytes

_SECONDS = 0.5


def _runner(size: int, *, shown: bool) -> Callable[[], Cost]:
    steps = parse_steps([{"command": f"head -c {size} /dev/zero"}, {"command": "cat >/dev/null"}])

    def run() -> Cost:
        texts: list[str] = []
        meter = Meter(texts.append, bytes_to_human, _SECONDS) if shown else None
        return measured(lambda: run_pipeline(steps, lambda *_: LocalContext("local"), Options(meter=meter)))

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_in_bytes, default="4GiB")
    parser.add_argument("--pairs", type=int, default=11)
    options = parser.parse_args()
    costs = compare(_runner(options.size, shown=True), _runner(options.size, shown=False), options.pairs)
    print(f"with progress / without, {options.pairs} pairs of {options.size / (1 << 30):.2f} GiB")
    for name, ratios in {
        "time": [ours.wall / theirs.wall for ours, theirs in costs],
        "CPU": [ours.cpu / theirs.cpu for ours, theirs in costs],
    }.items():
        low, high = interval(ratios)
        print(f"  {name:5} {statistics.median(ratios):.3f}  [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
