# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the matrix showed, on the terminal and as docs/fault_matrix.md."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import matrix, transfers
from faults.model import SIZE, Fault, Finding, Transport
from faults.random_cuts import LARGEST, Cuts
from faults.transfers import TransferFinding

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "fault_matrix.md"
COMMAND = "./test.sh --suite faults-full"

_HEAD = """\
# Fault matrix

What becomes of a pipeline when something breaks. The table is written by the run that it describes:

    {command}

Each cell is one pipeline on a real sshd, a real kubectl and real containers, in which one step, over one
transport, meets one fault; the other steps run on the controller. {sizes} of random data go through it. A cell
holds if

- the destination is whole or untouched: an old file is still there, byte for byte and the same inode; where there
  was none, there is none;
- the task is red and names the step that the fault befell (or is green, and the destination is whole, where the
  fault came after everything was proven);
- no temporary is left beside the destination, and nothing is left running on the controller, on the SSH host or
  in the pod, some seconds after.

A number is how many cells held: the roles that the step may have (source, middle command, last command, sink)
times two, for an old destination that is there or is not.
"""

_AFTER_TABLE = """\
The last column is one of these cells per fault once more, through `ansible-playbook` and its workers.

How faults are made: the relay cuts in order (FIN) where there is an old destination and by a reset where there is
none, in the direction of the step's output (source, middle) or input (last, sink), counted in bytes on the wire.
"Exit status 0" comes from the test bed's API server over kubectl, and from a program between ssh and the pipeline
that swallows the end. Over SPDY, streams that lie and streams with input run against the test bed's own SPDY
server: containerd's cannot be made to lie, and loses the end of a large input by itself, with exit status 0
(containerd/containerd#13934), which is a fault that pipelines detect. A temporary may outlive the run, and then
has to be gone after the next one, where nobody is left to remove it (SIGKILL of the controller) or nothing leads
there any more (a deleted pod, a connection that stalls for good).
"""


@dataclass(frozen=True)
class Report:
    """The findings of one run."""

    engine: tuple[Finding, ...]
    playbooks: tuple[Finding, ...]
    cuts: Cuts
    seconds: float
    transfers: tuple[TransferFinding, ...] = ()

    @property
    def failures(self) -> list[Finding]:
        """The cells that do not hold."""
        return [finding for finding in (*self.engine, *self.playbooks) if finding.problems]

    @property
    def holds(self) -> bool:
        """Whether every cell holds and no cut went undetected."""
        return not self.failures and self.cuts.holds and not any(each.problems for each in self.transfers)

    def summary(self) -> str:
        """Return what the run showed, in a few lines."""
        lines = [f"{len(self.engine)} cells against the engine, {len(self.playbooks)} through ansible-playbook"]
        lines += [f"  does not hold: {each.cell.name}: {'; '.join(each.problems)}" for each in self.failures]
        lines.append("every cell holds" if not self.failures else f"{len(self.failures)} cells do not hold")
        lines += [
            f"  does not hold: transfer, {each.cell.name}: {each.problems}" for each in self.transfers if each.problems
        ]
        lines.append(f"{len(self.transfers)} transfers with a fault in one of their phases")
        if self.cuts.verdicts:
            lines += cut_lines(self.cuts)
        return "\n".join([*lines, f"{self.seconds:.0f} s"])


def cut_lines(cuts: Cuts) -> list[str]:
    """Return the counts of the random cuts, one line for each leg and kind."""
    undetected = sum(each.undetected for each in cuts.verdicts)
    partial = sum(each.partial for each in cuts.verdicts)
    succeeded = sum(each.cut.succeeds for each in cuts.verdicts)
    lines = [
        f"{len(cuts.verdicts)} streams cut at random (seed {cuts.seed}, {cuts.seconds:.0f} s), "
        f"{succeeded} of them with exit status 0: {undetected} undetected, {partial} partial destinations"
    ]
    rows = Counter((each.cut.transport.value, each.cut.leg.value, each.cut.action.value) for each in cuts.verdicts)
    for (transport, leg, action), count in sorted(rows.items()):
        these = [
            each
            for each in cuts.verdicts
            if (each.cut.transport.value, each.cut.leg.value, each.cut.action.value) == (transport, leg, action)
        ]
        struck = sum(each.struck for each in these)
        green = sum(each.green for each in these)
        lines.append(f"  {transport}, {leg}, {action}: {count}, of which {struck} struck; {green} green and whole")
    return lines


def write(report: Report) -> None:
    """Write the document."""
    sizes = f"{SIZE >> 20} MiB"
    notes: list[str] = []
    table = _table(report, notes)
    parts = [_HEAD.format(command=COMMAND, sizes=sizes), "\n".join(table), ""]
    parts += [f"[^{number}]: {note}" for number, note in enumerate(notes, 1)]
    parts += [
        "",
        *_failures_section(report),
        _AFTER_TABLE,
        *_cuts_section(report.cuts),
        "",
        *_transfers_section(report.transfers),
        _made_by(report),
    ]
    DOCUMENT.write_text("\n".join(parts).rstrip() + "\n")


def _failures_section(report: Report) -> list[str]:
    if not report.failures:
        return []
    lines = [f"- {each.cell.name.replace(' | ', ', ')}: {_first(each)}" for each in report.failures]
    return ["These cells do not hold:", "", *lines, ""]


def _first(finding: Finding) -> str:
    """Return the first problem of a cell, without what differs from run to run."""
    return finding.problems[0].partition(": ")[0]


def _table(report: Report, notes: list[str]) -> list[str]:
    names = [transport.value for transport in Transport]
    lines = [f"| fault | {' | '.join(names)} | ansible-playbook |", "|---" * (len(names) + 2) + "|"]
    for fault in matrix.FAULTS:
        cells = [_cell(report.engine, fault, transport, notes) for transport in Transport]
        plays = [each for each in report.playbooks if each.cell.fault is fault]
        through = ", ".join(f"{_count([each])} ({each.cell.transport.value})" for each in plays)
        lines.append(f"| {fault.name} | {' | '.join(cells)} | {through} |")
    return lines


def _cell(findings: Sequence[Finding], fault: Fault, transport: Transport, notes: list[str]) -> str:
    reason = fault.inapplicable.get(transport)
    if reason is not None:
        if reason not in notes:
            notes.append(reason)
        return f"n/a[^{notes.index(reason) + 1}]"
    return _count([each for each in findings if each.cell.fault is fault and each.cell.transport is transport])


def _count(findings: Sequence[Finding]) -> str:
    held = sum(not finding.problems for finding in findings)
    return f"{held}/{len(findings)}" if held == len(findings) else f"**{held}/{len(findings)}**"


def _cuts_section(cuts: Cuts) -> list[str]:
    return [
        "## Random cuts",
        "",
        f"Streams of 0 bytes to {LARGEST >> 20} MiB (the logarithm is uniform) through kubectl, cut at a random byte "
        "of their input",
        "or output: scripts and marks are cut as well as data, and a few cuts come after the end. Half of them end",
        "with success as far as kubectl can tell. One engine process runs them all, several at a time. *Undetected*",
        "would be a green task whose data did not arrive whole. Repeat a run with",
        f"`./test.sh --suite faults-full -- --seed {cuts.seed}`.",
        "",
        "```text",
        *cut_lines(cuts),
        "```",
    ]


_TRANSFERS = """\
## Transfers

Each cell is one transfer of a tree (160 directories, 80 files, 6 MiB) between the controller and a context, of which
one phase meets one fault: the step waits at a gate when it begins, or in the middle of what it reads or prints, and
there the fault strikes. A cell holds if the task is red or the destination is what the source is, if every file at
the destination is the old or the new one, whole, if nothing is left running, and if the next transfer repairs
everything, leaves nothing of the first behind, and the one after it has nothing to do. Each phase is tried with an
older tree at the destination (with `delete`) and with nothing there. The phases:

{phases}
"""


def _transfers_section(findings: Sequence[TransferFinding]) -> list[str]:
    lines = [_TRANSFERS.format(phases="\n".join(f"- {phase.name}" for phase in transfers.PHASES))]
    lines.append(f"| fault | {' | '.join(transport.value for transport in Transport)} |")
    lines.append("|---" * (len(Transport) + 1) + "|")
    for fault in transfers.FAULTS:
        cells = []
        for transport in Transport:
            these = [each for each in findings if each.cell.fault is fault and each.cell.transport is transport]
            held = sum(not each.problems for each in these)
            count = f"{held}/{len(these)}" if held == len(these) else f"**{held}/{len(these)}**"
            cells.append(count if these else "n/a")
        lines.append(f"| {fault.name} | {' | '.join(cells)} |")
    failed = [
        f"- {each.cell.name.replace(' | ', ', ')}: {each.problems[0].partition(': ')[0]}"
        for each in findings
        if each.problems
    ]
    return [*lines, "", *(["These do not hold:", "", *failed, ""] if failed else [])]


def _made_by(report: Report) -> str:
    cells = f"{len(report.engine)} cells, {len(report.playbooks)} playbooks and {len(report.transfers)} transfers"
    kernel = platform.release().partition("-")[0]
    machine = f"Linux {kernel}, Python {platform.python_version()}"
    return f"{cells} in {report.seconds / 60:.0f} minutes, on {machine}."
