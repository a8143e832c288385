# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tools import coverage_table, interpreters, suites
from tools.request import Leg, Suite, parse
from tools.suites import tier_for


def test_the_counts_of_a_junit_report_are_told(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text('<testsuites><testsuite tests="7" failures="1" errors="0" skipped="2"/></testsuites>')
    assert suites.counted(report) == "7 tests, 1 failed, 2 skipped"
    assert suites.counted(tmp_path / "none.xml") == "ended before it counted its tests"


@pytest.mark.parametrize(("covered", "held"), [(100, True), (99, False)])
def test_the_table_fails_below_a_threshold(covered: int, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {threshold.file: (100, 100) for threshold in coverage_table.THRESHOLDS}
    rows[coverage_table.THRESHOLDS[0].file] = (covered, 100)
    monkeypatch.setattr(coverage_table, "measured", lambda _workshop: rows)
    workshop: Any = None
    assert coverage_table.run(workshop) is held


def test_a_kind_of_context_that_nothing_ran_is_below_its_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_table, "measured", lambda _workshop: {})
    workshop: Any = None
    assert not coverage_table.run(workshop)


@pytest.mark.parametrize(
    ("words", "there", "tiers"),
    [
        ([], True, ("once", "embedded")),
        ([], False, ("all", "all")),
        (["--suite", "integration", "--leg", "both"], True, ("all", "all")),
        (["--tier", "node"], True, ("node", "node")),
    ],
    ids=["everything", "no newest core", "chosen", "one tier"],
)
def test_every_integration_test_runs_somewhere(
    words: list[str], there: bool, tiers: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreters, "has_newest_leg", lambda: there)
    request = parse(words)
    assert tuple(tier_for(request, Suite.INTEGRATION, leg) for leg in Leg) == tiers
    assert tier_for(request, Suite.TESTBED, Leg.DEFAULT) == request.tier.value
