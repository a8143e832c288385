# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import FailOn, Outcome, Report, State

MAC = "fa:16:3e:00:00:01"
GOOD = Outcome(1, MAC, "multinic0", State.CONFIGURED)
GONE = Outcome(None, MAC, "multinic5", State.REMOVED)
BAD = Outcome(2, None, None, State.REFUSED, reason="it is so")
WORSE = Outcome(None, MAC, None, State.FAILED, reason="it is worse")


@pytest.mark.parametrize(
    ("outcomes", "fails"),
    [
        ((GOOD, GONE), set()),
        ((GOOD, BAD), {FailOn.ANY}),
        ((GONE, BAD, WORSE), {FailOn.ANY, FailOn.ALL}),
        ((), set()),
    ],
)
def test_the_task_fails_as_it_is_asked_to(outcomes: tuple[Outcome, ...], fails: set[FailOn]) -> None:
    assert {when for when in FailOn if Report(outcomes, "netplan").failure(when) is not None} == fails


def test_a_failure_names_every_interface_and_its_reason() -> None:
    assert Report((GOOD, GONE, BAD, WORSE), "netplan").failure(FailOn.ANY) == (
        f"2 of 3 interfaces could not be configured: id 2: it is so; {MAC}: it is worse"
    )


def test_what_was_put_back_fails_in_any_case() -> None:
    report = Report((GOOD,), "netplan", rolled_back="the gateway is gone")
    assert report.failure(FailOn.NEVER) == "The node was put back as it was: the gateway is gone"
    assert report.as_result()["rolled_back"] is True
