# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers against what a user would otherwise run for the same work: scp, rsync, kubectl cp and cp.

    python -m benchmark.transfer                        every row
    python -m benchmark.transfer --only tree --pairs 3  the rows whose name begins so
    python -m benchmark.transfer --scale 0.05           smaller inputs, for a trial

All take turns in one run, and who begins changes from round to round. A round that is not counted comes first. What
each one wrote is hashed before its time counts. The others run with their defaults, on the same server with the same
key; nobody finds a connection open. Data that waits to be written to disk is written before each run begins, and the
others then wait about as long as Ansible takes to get to the transfer, so that all find memory in the same state.

``task`` is a whole ansible-playbook with Python's start, ``duration_ms`` the transfer in it. Printed are medians with
quartiles, and as ratio the time of the other over ours in the same round (2.00: ours takes half of the time).
"""

from __future__ import annotations

import argparse
import subprocess

from benchmark.contest import NotComplete, measure, report
from benchmark.site import Site
from benchmark.transfer_rows import DELAY, Rows, memory_lines


def main() -> None:
    """Run the rows and print each as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name begins so; 'list' names them")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="of sizes and numbers of files")
    parser.add_argument("--image", choices=["busybox", "debian"], default="busybox", help="what the pod runs")
    parser.add_argument("--streams", type=int, default=8, help="of the row with a delay")
    parser.add_argument("--memory-size", type=float, default=20.0, help="GiB of the file of the row 'memory'")
    parser.add_argument("--memory-files", type=int, default=200_000, help="files of the tree of the row 'memory'")
    options = parser.parse_args()
    if options.only == "list":
        print("\n".join([*Rows.names(), "memory"]))
        return
    scaled = (
        "" if options.scale == 1 else f"; A TRIAL: sizes and numbers of files are {options.scale:g} of the real ones"
    )
    print(f"{options.pairs} rounds, medians [quartiles]; the pod runs {options.image}{scaled}", flush=True)
    with Site(1 << 24, options.image, delay=DELAY) as site:
        rows = Rows(site, options.scale, options.streams)
        for name in Rows.names():
            if name.startswith(options.only):
                print("\n".join(_tried(rows, name, options.pairs)), flush=True)
        if "memory".startswith(options.only):
            sizes = (int(options.memory_size * options.scale * (1 << 30)), int(options.memory_files * options.scale))
            print("\n".join(memory_lines(site, *sizes)), flush=True)


def _tried(rows: Rows, name: str, pairs: int) -> list[str]:
    """Return the report of a row, or what kept it from being measured."""
    try:
        row = rows.make(name)
        measure(row, pairs)
        return report(row)
    except NotComplete as exc:
        return [f"{name}: NOT COMPLETE: {exc}"]
    except subprocess.CalledProcessError as exc:
        said = " / ".join(str(part).strip()[-1500:] for part in (exc.stdout, exc.stderr) if part)
        return [f"{name}: NOT MEASURED: {exc.cmd[0]} failed: {said}"]
    finally:
        rows.tidy()


if __name__ == "__main__":
    main()
