# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transfers that meet a fault: a part that covers every fault, phase and transport; the whole of it is a command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faults import transfers
from faults.model import Transport
from faults.sites import Sites
from faults.transfers import TransferCell, TransferRunner
from testbed.bed import Bed
from testbed.run import Run
from testbed.tier import Tier

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def runner(testbed_run: Run) -> Iterator[TransferRunner]:
    """What runs cells; each site starts when it is first needed."""
    with Bed(testbed_run, Tier.NODE) as bed:
        sites = Sites(testbed_run, bed)
        try:
            yield TransferRunner(testbed_run, sites)
        finally:
            sites.close()


@pytest.mark.parametrize("cell", [pytest.param(cell, id=cell.name) for cell in transfers.subset()])
def test_a_transfer_is_red_or_right_and_the_next_one_repairs_it(cell: TransferCell, runner: TransferRunner) -> None:
    assert runner.problems(cell) == []


def test_the_subset_covers_every_fault_phase_and_transport() -> None:
    cells = transfers.subset()
    assert {cell.fault for cell in cells} == set(transfers.FAULTS)
    assert {cell.phase for cell in cells} == set(transfers.PHASES)
    assert {cell.transport for cell in cells} == set(Transport)
