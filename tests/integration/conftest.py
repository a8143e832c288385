# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the integration tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.workloads import await_pods
from testbed.bed import Bed
from testbed.fixtures import tier_of
from testbed.kube import Kube
from testbed.kube.errors import ApiError
from testbed.tier import Tier


@pytest.fixture(autouse=True)
def tier(request: pytest.FixtureRequest) -> Tier:
    """The tier of a test that is not parametrized by it."""
    return tier_of(request.node)


@pytest.fixture
def create(bed: Bed) -> Iterator[Callable[[Kube, dict[str, Any]], None]]:
    """Create objects, which are deleted before the bed is taken down."""
    del bed
    made: list[tuple[Kube, str, str]] = []

    def create(kube: Kube, obj: dict[str, Any]) -> None:
        kube.create(obj)
        made.append((kube, obj["kind"], obj["metadata"]["name"]))

    yield create
    for kube, kind, name in made:
        with contextlib.suppress(ApiError):
            kube.delete(kind, name)
    for kube, _kind, name in made:
        await_pods(kube, name, 0)
