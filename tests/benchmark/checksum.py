# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checksum costs the controller, against what hashing the same bytes costs a program of its own.

    python -m benchmark.checksum --size 1GiB --pairs 11

A file of this machine goes to the SSH host with and without ``checksum``, in alternating pairs; what counts is the CPU
time of this process, which moves and hashes. The program is ``openssl dgst -sha256``, fed by a pipe as it would be
behind ``tee`` in a shell; at 1.00 or less, hashing on the way costs no more than that alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options, run_pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import parse_steps

from benchmark.cost import Cost, compare, interval
from benchmark.pipeline import size_in_bytes
from benchmark.site import Site


def measured(work: Callable[[], object]) -> Cost:
    """Return what some work costs this process."""
    start, cpu = time.monotonic(), time.process_time()
    work()
    return Cost(time.monotonic() - start, time.process_time() - cpu)


def _runner(site: Site, source: Path, checksum: bool) -> Callable[[], Cost]:
    target = site.host.data / "checksum.out"
    steps = parse_steps([{"context": "local", "src": str(source)}, {"name": "save", "dest": str(target)}])

    def run() -> Cost:
        target.unlink(missing_ok=True)
        cost = measured(
            lambda: run_pipeline(
                steps, lambda name, *_: LocalContext("local") if name else site.ssh_context(), Options(checksum)
            )
        )
        assert target.stat().st_size == source.stat().st_size
        return cost

    return run


def _openssl(source: Path) -> float:
    """Return the CPU seconds of openssl that hashes a file out of a pipe."""
    with subprocess.Popen(["cat", str(source)], stdout=subprocess.PIPE) as cat:
        hashing = subprocess.Popen(["openssl", "dgst", "-sha256"], stdin=cat.stdout, stdout=subprocess.DEVNULL)
        _pid, status, usage = os.wait4(hashing.pid, 0)
        hashing.returncode = os.waitstatus_to_exitcode(status)
        assert hashing.returncode == 0
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_in_bytes, default="1GiB")
    parser.add_argument("--pairs", type=int, default=11)
    options = parser.parse_args()
    with Site(0) as site:
        source = site.inventory.directory / "source"
        with source.open("wb") as stream:
            stream.truncate(options.size)
        costs = compare(_runner(site, source, True), _runner(site, source, False), options.pairs)
        own = statistics.median(_openssl(source) for _number in range(options.pairs))
    ratios = [(hashed.cpu - plain.cpu) / own for hashed, plain in costs]
    low, high = interval(ratios)
    gib = options.size / (1 << 30)
    print(f"CPU that a checksum adds / CPU of openssl, {options.pairs} pairs of {gib:.2f} GiB")
    print(f"  {statistics.median(ratios):.3f}  [{low:.3f}, {high:.3f}]  ({own / gib:.2f} CPU s/GiB openssl)")


if __name__ == "__main__":
    main()
