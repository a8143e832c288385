# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's summary fits into a termination message, names every interface, and is believed only if it is whole."""

from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ClusterError
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Task
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._summary import (
    LIMIT,
    InterfaceResult,
    Summary,
    Unreadable,
    from_result,
    read,
    write,
)
from hypothesis import given
from hypothesis import strategies as st

_REASONS = st.one_of(st.none(), st.text(max_size=40), st.text(min_size=1, max_size=5).map(lambda text: text * 1500))
_RESULTS = st.builds(
    InterfaceResult,
    st.one_of(st.none(), st.integers(0, 2**63 - 1)),
    st.sampled_from(["configured", "failed", "refused"]),
    st.one_of(st.none(), st.sampled_from(["multinic0", "averylongname15"])),
    _REASONS,
)
_SUMMARIES = st.builds(
    Summary, st.sampled_from(Task), st.integers(1, 2**63 - 1), st.lists(_RESULTS, max_size=20).map(tuple), _REASONS
)


@given(_SUMMARIES)
def test_a_summary_fits_and_loses_nothing_but_the_ends_of_reasons(summary: Summary) -> None:
    text = write(summary)
    assert len(text.encode()) <= LIMIT
    found = read(text)
    assert (found.task, found.generation) == (summary.task, summary.generation)
    assert [(each.id, each.state, each.name) for each in found.interfaces] == [
        (each.id, each.state, each.name) for each in summary.interfaces
    ]
    assert (found.failure is None) == (summary.failure is None)
    for before, after in zip(summary.interfaces, found.interfaces, strict=True):
        assert (before.reason is None) == (after.reason is None)


@given(_SUMMARIES, st.data())
def test_a_summary_that_is_cut_off_is_never_believed(summary: Summary, data: st.DataObject) -> None:
    text = write(summary)
    with pytest.raises(Unreadable):
        read(text[: data.draw(st.integers(0, len(text) - 1))])


@given(st.text())
def test_any_text_is_a_summary_or_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "7",
        "{}",
        '{"v":2,"t":"configure","g":1,"i":[]}',
        '{"v":1,"t":"other","g":1,"i":[]}',
        '{"v":1,"t":"configure","g":true,"i":[]}',
        '{"v":1,"t":"configure","g":1,"i":[[1,"x",null,null]]}',
        '{"v":1,"t":"configure","g":1,"i":[[1,"c"]]}',
        '{"v":1,"t":"configure","g":1,"i":{"1":"c"}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_summary_of_ours_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match=r"is not a summary|is of format"):
        read(text)


def test_long_reasons_are_shortened_and_short_ones_kept() -> None:
    results = tuple(
        InterfaceResult(2**63 - 1 - number, "failed", f"multinic{number}", "x" * 4000) for number in range(9)
    )
    summary = Summary(Task.CONFIGURE, 3, (*results, InterfaceResult(1, "refused", None, "it is in use")))
    text = write(summary)
    assert LIMIT - 60 < len(text.encode()) <= LIMIT
    found = read(text)
    assert found.interfaces[-1].reason == "it is in use"
    assert {len(each.reason or "") for each in found.interfaces[:-1]} == {len(found.interfaces[0].reason or "")}
    assert (found.interfaces[0].reason or "").endswith("x...")


def test_more_than_fits_without_any_reason_is_an_error() -> None:
    with pytest.raises(ClusterError, match="400 interfaces do not fit"):
        write(Summary(Task.CONFIGURE, 1, (InterfaceResult(2**62, "failed"),) * 400))


def test_what_was_removed_as_it_should_be_is_not_mentioned() -> None:
    interfaces = [
        {"id": 1, "state": "configured", "name": "multinic0", "reason": None},
        {"id": None, "state": "removed", "name": "multinic1", "reason": None},
        {"id": 3, "state": "failed", "name": "multinic2", "reason": "busy"},
    ]
    summary = from_result(Task.CONFIGURE, 2, {"interfaces": interfaces}, None)
    assert summary.interfaces == (
        InterfaceResult(1, "configured", "multinic0"),
        InterfaceResult(3, "failed", "multinic2", "busy"),
    )
