# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check that no test leaves a process behind.

Imports of the collection wait until a fixture runs: pytest may load this file before it knows the collection.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ansible_collections.manifold.core.plugins.plugin_utils.streams._loop import Loop

    from unit.support import Pipelines

_TAG = "MANIFOLD_UNIT_TEST"


@pytest.fixture(autouse=True)
def _nothing_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test starts inherits a mark; none of it may be alive when the test is over."""
    from unit.support import leftovers

    tag = secrets.token_hex(8)
    monkeypatch.setenv(_TAG, tag)
    yield
    left = leftovers(f"{_TAG}={tag}", 5)
    assert not left, f"left running: {left}"


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A loop that stages are watched by."""
    from ansible_collections.manifold.core.plugins.plugin_utils.streams._loop import Loop

    made = Loop()
    yield made
    made.close()


@pytest.fixture
def pipelines() -> Pipelines:
    """Runs pipelines."""
    from unit.support import Pipelines

    return Pipelines()
