# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run as a whole: what is asked for, suite after suite, and what is said at the end."""

from __future__ import annotations

import time

from tools import interpreters, places, processes, suites
from tools.report import Report, Result, Verdict, say
from tools.request import FOLDERS, Leg, Request, Suite, parse
from tools.workshop import Workshop

_INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Run ``./test.sh`` and return its exit status."""
    request = parse(arguments)
    processes.stop_on_signals()
    report = Report()
    try:
        with places.run_folder() as folder:
            _run(Workshop(request, report, folder))
    except KeyboardInterrupt:
        report.close()
        print("interrupted", flush=True)
        return _INTERRUPTED
    return report.close()


def _run(workshop: Workshop) -> None:
    for leg in workshop.request.legs:
        if leg is Leg.NEWEST:
            try:
                interpreters.for_newest_leg()
            except interpreters.NoInterpreter as reason:
                workshop.report.skip("the newest ansible-core", f"{reason} on this machine")
                continue
        for suite in _suites_of(leg, workshop.request):
            workshop.report.add(_one(workshop, suite, leg))


def _suites_of(leg: Leg, request: Request) -> list[Suite]:
    """Return what runs on a leg: on the newest core the integration tests, or what was chosen for it alone."""
    if leg is Leg.DEFAULT:
        return list(request.suites)
    if Leg.DEFAULT in request.legs:
        return [suite for suite in request.suites if suite is Suite.INTEGRATION]
    return [suite for suite in request.suites if suite in FOLDERS]


def _one(workshop: Workshop, suite: Suite, leg: Leg) -> Result:
    say(f"{suite.value}{'' if leg is Leg.DEFAULT else f' on the {leg.value} core'}")
    started = time.monotonic()
    try:
        outcome = suites.RUNNERS[suite](workshop, leg)
        verdict, note = (Verdict.PASSED if outcome.passed else Verdict.FAILED), outcome.note
    except suites.Skip as skip:
        verdict, note = Verdict.SKIPPED, str(skip)
    except interpreters.NoInterpreter as missing:
        verdict, note = Verdict.FAILED, str(missing)
    except processes.Failed as failure:
        print(failure.output, flush=True)
        verdict, note = Verdict.FAILED, str(failure)
    return Result(suite, leg, verdict, time.monotonic() - started, note)
