# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the status has to be written."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._actions import WriteStatus
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._observed import Observed
from ansible_collections.manifold.core.plugins.module_utils.multinic_cluster._status import patch


def write(observed: Observed, wanted: Mapping[str, Any]) -> tuple[WriteStatus, ...]:
    """Return the write that makes the status say this; none if it does."""
    found = patch(observed.config.status, observed.config.generation, wanted, observed.now)
    return (WriteStatus(found),) if found else ()
