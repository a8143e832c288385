# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from tools.request import Leg, Suite, Tier, parse, suite_of


def test_a_bare_run_is_everything_on_both_legs() -> None:
    request = parse([])
    on_request = (Suite.FAULTS_FULL, Suite.BENCHMARK)
    assert request.suites == tuple(suite for suite in Suite if suite not in on_request)
    assert request.legs == (Leg.DEFAULT, Leg.NEWEST)
    assert request.whole
    assert request.everything


@pytest.mark.parametrize(
    "words", [["--leg", "default"], ["--suite", "integration", "--leg", "both"], ["--tier", "all"]]
)
def test_a_run_of_which_something_was_chosen_is_not_everything(words: list[str]) -> None:
    assert not parse(words).everything


def test_a_file_chooses_its_suite_and_the_default_leg() -> None:
    request = parse(["tests/tools_tests/test_request.py::test_x"])
    assert request.suites == (Suite.UNIT,)
    assert request.legs == (Leg.DEFAULT,)
    assert not request.whole


def test_what_stands_behind_two_dashes_is_for_pytest() -> None:
    request = parse(["--suite", "integration", "--", "-k", "become", "--suite"])
    assert request.suites == (Suite.INTEGRATION,)
    assert request.pytest_arguments == ("-k", "become", "--suite")


def test_the_unit_tier_needs_the_unit_suite_only() -> None:
    request = parse(["--tier", "unit"])
    assert request.suites == (Suite.UNIT,)
    assert request.tier is Tier.UNIT


@pytest.mark.parametrize("path", ["tests/no_such_test.py", "README.md"])
def test_a_path_that_is_no_test_is_refused(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([path])
    assert path in capsys.readouterr().err


def test_a_folder_beside_the_suites_belongs_to_none() -> None:
    assert suite_of("tests/testbed/kube") is None
    assert suite_of("tests/testbed_tests/kube/test_exec.py") is Suite.TESTBED
