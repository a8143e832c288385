# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which partial files are gone on with, which go, which are left alone."""

from __future__ import annotations

import os
from collections.abc import Collection

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils import _owner
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._partial import Left, judge, origin, owner_in

WANTED = origin(Endpoint("a", "/x"), "/y", 5, 7)
OTHER_STATE = origin(Endpoint("a", "/x"), "/y", 6, 7)
OTHER_SOURCE = origin(Endpoint("b", "/x"), "/y", 5, 7)
MACHINE = _owner.owner().partition("-")[0]
GONE = f"{MACHINE}-{os.getpid()}-1"  # another process once had the number
ALIVE = f"{MACHINE}-1-{_owner._started(1)}"
FOREIGN = "00000000-1-1"


def name(of: object, whose: str) -> str:
    return f"{of.place}-{of.state}.{whose}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("left", "idle", "old", "expected"),
    [
        ([WANTED.mine()], (), (), Left(WANTED.mine())),
        ([name(WANTED, GONE)], (), (), Left(name(WANTED, GONE))),
        ([name(WANTED, ALIVE)], "all", "all", Left()),
        ([name(WANTED, FOREIGN)], (), (), Left()),
        ([name(WANTED, FOREIGN)], "all", (), Left(name(WANTED, FOREIGN))),
        ([name(OTHER_STATE, GONE)], (), (), Left(None, [name(OTHER_STATE, GONE)])),
        ([name(OTHER_STATE, ALIVE)], "all", "all", Left()),
        ([name(OTHER_SOURCE, GONE)], "all", (), Left()),
        ([name(OTHER_SOURCE, GONE)], (), "all", Left(None, [name(OTHER_SOURCE, GONE)])),
        (["2026-01-14-170234-1f8a0c3e." + GONE, "x", ""], "all", "all", Left()),
        ([name(WANTED, GONE), WANTED.mine()], (), (), Left(WANTED.mine(), [name(WANTED, GONE)])),
    ],
)
def test_only_what_is_free_is_taken_or_removed(
    left: list[str], idle: Collection[str], old: Collection[str], expected: Left
) -> None:
    assert judge(left, left if idle else (), left if old else (), WANTED) == expected


def test_a_name_says_what_it_is_a_part_of_and_whose_it_is() -> None:
    assert owner_in(WANTED.mine()) == _owner.owner()
    others = [
        OTHER_STATE,
        OTHER_SOURCE,
        origin(Endpoint("a", "/x"), "/z", 5, 7),
        origin(Endpoint("a", "/x"), "/y", 5, 8),
    ]
    assert len({WANTED, *others}) == 5
