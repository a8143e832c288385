# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of the fault matrix that covers every fault, every transport and every role; the whole of it is a command.

The cells of different transports run side by side, when the first of them is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from faults import matrix, random_cuts
from faults.cells import Runner
from faults.crew import Crew
from faults.model import Cell, Finding, Role, Transport
from faults.report import cut_lines
from faults.sites import Sites
from testbed.bed import Bed
from testbed.run import Run
from testbed.tier import Tier

pytestmark = pytest.mark.node

CUTS = 40
SEED = 40
_PATIENCE = 170.0
"""Seconds that a test waits for its cell, whose turn comes after those of others."""


@pytest.fixture(scope="session")
def sites(testbed_run: Run) -> Iterator[Sites]:
    """Where the steps run that faults befall."""
    with Bed(testbed_run, Tier.NODE) as bed:
        made = Sites(testbed_run, bed)
        yield made
        made.close()


def _cells_of(session: pytest.Session) -> list[Cell]:
    """Return the cells of pipelines that are asked for; those of transfers have the same name."""
    specs: list[Any] = [getattr(item, "callspec", None) for item in session.items]
    cells = [spec.params.get("cell") for spec in specs if spec is not None]
    return [cell for cell in cells if isinstance(cell, Cell)]


@pytest.fixture(scope="session")
def findings(testbed_run: Run, sites: Sites, request: pytest.FixtureRequest) -> Iterator[Callable[[Cell], Finding]]:
    """Return what came of a cell; the first question starts all that this session asks for."""
    with Bed(testbed_run, Tier.NODE) as bed:
        runner = Runner(testbed_run, bed, sites)
        with Crew(runner, _cells_of(request.session), runner.through_engine) as crew:
            yield lambda cell: crew.of(cell, _PATIENCE)


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in matrix.subset()])
def test_what_is_red_left_nothing_and_what_is_green_is_whole(cell: Cell, findings: Callable[[Cell], Finding]) -> None:
    assert findings(cell).problems == ()


def test_no_random_cut_goes_undetected(testbed_run: Run, sites: Sites) -> None:
    cuts = random_cuts.run(testbed_run, sites, CUTS, SEED)
    assert len(cuts.verdicts) == CUTS
    assert cuts.holds, "\n".join(cut_lines(cuts))


def test_the_subset_covers_every_fault_transport_and_role() -> None:
    cells = matrix.subset()
    assert {cell.fault for cell in cells} == set(matrix.FAULTS)
    assert {cell.transport for cell in cells} == set(Transport)
    assert {cell.role for cell in cells} == set(Role)
