# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fault matrix on this machine; it needs the node tier (root, containerd, sshd).

python -m faults                                the subset that CI runs, and 40 random cuts
python -m faults --full --cuts 1000             every cell, every class of faults through ansible-playbook too
python -m faults --full --cuts 1000 --write-docs    the same, and docs/fault_matrix.md from it
python -m faults --only 'SIGKILL.*middle' --cuts 0  the cells whose name matches
python -m faults --transfers [--full] [--only REGEX]    the same of transfers alone
"""

from __future__ import annotations

import argparse
import contextlib
import re
import secrets
import sys
import time

from faults import matrix, random_cuts, report, transfers
from faults.cells import Runner
from faults.crew import Crew
from faults.model import Cell, Finding
from faults.sites import Sites
from faults.transfers import TransferCell, TransferFinding
from testbed.bed import Bed
from testbed.run import Run
from testbed.tier import Tier, missing


def _tell(finding: Finding) -> None:
    verdict = "FAIL" if finding.problems else "ok  "
    print(f"{verdict} {finding.seconds:5.1f} s  {finding.cell.name}", flush=True)
    for problem in finding.problems:
        print(f"       {problem}", flush=True)


def _tell_transfer(finding: TransferFinding, seconds: float) -> None:
    print(f"{'FAIL' if finding.problems else 'ok  '} {seconds:5.1f} s  transfer | {finding.cell.name}", flush=True)
    for problem in finding.problems:
        print(f"       {problem}", flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="every cell, and every class through ansible-playbook")
    parser.add_argument("--only", metavar="REGEX", help="only the cells whose name matches, of all")
    parser.add_argument("--playbooks", action="store_true", help="only through ansible-playbook: a cell of each fault")
    parser.add_argument("--transfers", action="store_true", help="only transfers")
    parser.add_argument("--cuts", type=int, default=40, help="how many streams are cut at random (default: 40)")
    parser.add_argument("--seed", type=int, default=None, help="repeat the random cuts of another run")
    parser.add_argument("--write-docs", action="store_true", help="write docs/fault_matrix.md")
    options = parser.parse_args()
    if options.write_docs and (
        options.only or options.transfers or options.playbooks or not options.full or not options.cuts
    ):
        parser.error("--write-docs takes the whole matrix: --full and --cuts, without --only")
    return options


def _choose(options: argparse.Namespace) -> tuple[list[Cell], list[Cell]]:
    """Return the cells for the engine, and those for ansible-playbook."""
    if options.only:
        chosen = [cell for cell in matrix.cells() if re.search(options.only, cell.name)]
        return ([], chosen) if options.playbooks else (chosen, [])
    if options.playbooks:
        return [], matrix.classes()
    if options.full:
        return list(matrix.cells()), matrix.classes()
    return matrix.subset(), []


def _choose_transfers(options: argparse.Namespace) -> list[TransferCell]:
    chosen = list(transfers.cells()) if options.full or options.only else transfers.subset()
    return [cell for cell in chosen if re.search(options.only or "", cell.name)]


def _run_transfers(options: argparse.Namespace) -> int:
    """Run transfers alone; return the exit status."""
    with Run() as run, Bed(run, Tier.NODE) as bed, contextlib.closing(Sites(run, bed)) as sites:
        found = transfers.run_all(transfers.TransferRunner(run, sites), _choose_transfers(options), _tell_transfer)
    failures = sum(bool(finding.problems) for finding in found)
    print(f"{len(found)} transfers, {failures} of them do not hold")
    return 1 if failures else 0


def main() -> int:
    """Run what was asked for; return the exit status."""
    options = _parse()
    reason = missing(Tier.NODE)
    if reason is not None:
        sys.exit(f"the node tier cannot run here: {reason}")
    if options.transfers:
        return _run_transfers(options)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    for_engine, for_playbooks = _choose(options)
    started = time.monotonic()
    with Run() as run, Bed(run, Tier.NODE) as bed:
        sites = Sites(run, bed)
        try:
            runner = Runner(run, bed, sites)
            with Crew(runner, for_engine, runner.through_engine, _tell) as crew:
                engine = crew.all()
            with Crew(runner, for_playbooks, runner.through_playbook, _tell) as crew:
                plays = crew.all()
            cuts = random_cuts.run(run, sites, options.cuts, seed)
            runner_of_transfers = transfers.TransferRunner(run, sites)
            moved = transfers.run_all(runner_of_transfers, _choose_transfers(options), _tell_transfer)
        finally:
            sites.close()
    told = report.Report(tuple(engine), tuple(plays), cuts, time.monotonic() - started, tuple(moved))
    print(told.summary())
    if options.write_docs:
        report.write(told)
    return 0 if told.holds else 1


if __name__ == "__main__":
    sys.exit(main())
