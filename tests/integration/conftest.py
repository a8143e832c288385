# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the integration tests."""

from __future__ import annotations

import pytest

from testbed.fixtures import tier_of
from testbed.tier import Tier


@pytest.fixture(autouse=True)
def tier(request: pytest.FixtureRequest) -> Tier:
    """The tier of a test that is not parametrized by it."""
    return tier_of(request.node)
