# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs that a command counts its own input.

    python -m benchmark.counting --size 1GiB --pairs 11

A file of this machine goes to ``cat >/dev/null`` on the SSH host, in a pod with Debian's tools (perl counts; dd once
perl is out of the way) and in one with busybox (tee and wc), with and without the count, in alternating pairs; the
ratio is the time without over the time with it. Everything runs on this machine: who counts takes its time from the
others unless they leave a processor idle.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import Context
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubernetes import KubernetesContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._ssh import SshContext
from ansible_collections.manifold.core.plugins.plugin_utils.streams._pipeline import Options, run_pipeline
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import parse_steps

from benchmark.cost import Cost, compare, interval
from benchmark.pipeline import size_in_bytes
from benchmark.site import Site


class _TrustingSsh(SshContext):
    """An SSH host whose transport is believed."""

    @property
    def counts_input(self) -> bool:
        return False


class _TrustingPod(KubernetesContext):
    """A pod whose transport is believed."""

    @property
    def counts_input(self) -> bool:
        return False


def _runner(source: Path, context: Callable[[], Context]) -> Callable[[], Cost]:
    steps = parse_steps(
        [{"name": "read", "context": "local", "src": str(source)}, {"name": "drop", "command": "cat >/dev/null"}]
    )

    def run() -> Cost:
        start = time.monotonic()
        result = run_pipeline(steps, lambda name, *_: LocalContext("local") if name else context(), Options())
        if result.failed_step:
            raise RuntimeError(result.msg)
        return Cost(time.monotonic() - start, 0.0)

    return run


def _print(name: str, counted: Callable[[], Cost], trusted: Callable[[], Cost], pairs: int) -> None:
    ratios = [without.wall / having.wall for having, without in compare(counted, trusted, pairs)]
    low, high = interval(ratios)
    print(f"  {name:12} {statistics.median(ratios):.3f}  [{low:.3f}, {high:.3f}]", flush=True)


def _trusting(context: Context, kind: type[Context]) -> Context:
    """Return the context as one of a kind that differs in nothing but its trust."""
    context.__class__ = kind
    return context


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=size_in_bytes, default="1GiB")
    parser.add_argument("--pairs", type=int, default=11)
    options = parser.parse_args()
    print(f"time without the count / time with it, {options.pairs} pairs")
    for image in ("debian", "busybox"):
        with Site(0, image) as site:
            source = site.inventory.directory / "source"
            with source.open("wb") as stream:
                stream.truncate(options.size)
            if image == "debian":
                trusted = _runner(source, lambda: _trusting(site.ssh_context(), _TrustingSsh))
                _print("SSH host", _runner(source, site.ssh_context), trusted, options.pairs)
            trusted = _runner(source, lambda: _trusting(site.pod_context(), _TrustingPod))
            counted = _runner(source, site.pod_context)
            _print(f"{image} pod", counted, trusted, options.pairs)
            if image == "debian":
                subprocess.run(site.kubectl("exec", "pod", "--", "rm", "/usr/bin/perl"), check=True)
                _print("without perl", counted, trusted, options.pairs)


if __name__ == "__main__":
    main()
