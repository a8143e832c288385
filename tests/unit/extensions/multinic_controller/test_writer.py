# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Without the Lease nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

import pytest
from ansible_collections.manifold.core.extensions.multinic_controller._metrics import Metrics
from ansible_collections.manifold.core.extensions.multinic_controller._writer import GuardedWriter
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._errors import ApiError


@pytest.mark.parametrize("held", [True, False])
def test_only_who_may_act_writes(held: bool) -> None:
    api, metrics = Mock(), Mock(wraps=Metrics())
    writer = GuardedWriter(api, lambda: held, metrics)
    calls: tuple[Callable[[], object], ...] = (
        lambda: writer.patch_config("n", "a", {}),
        lambda: writer.patch_status("n", "a", {}),
        lambda: writer.create_job("n", {}),
        lambda: writer.delete_job("n", "a", "uid"),
    )
    for call in calls:
        if held:
            call()
        else:
            with pytest.raises(ApiError, match="the Lease is not held any more"):
                call()
    writer.create_event(Mock(), Mock())
    assert len(api.method_calls) == (5 if held else 0)
