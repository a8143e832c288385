# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interfaces of a MultiNicNodeConfig, between what the resource says and the model of a node."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._model import SLOTS, Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._parse import parse


def as_resource(interface: Interface) -> dict[str, Any]:
    """Return an interface as the resource spells it: address without prefix length, beside its cidr."""
    found: dict[str, Any] = {"id": interface.id, "macAddress": interface.mac}
    if interface.address is not None:
        found["address"] = str(interface.address.ip)
        found["cidr"] = str(interface.address.network)
    if interface.mtu is not None:
        found["mtu"] = interface.mtu
    if interface.name is not None:
        found["name"] = interface.name
    return found


def wrong_with(interfaces: Sequence[Mapping[str, Any]]) -> str | None:
    """Return why no node can have these interfaces, or None.

    The schema refuses them before; an object that is older than the schema, or than a rule of it, was not asked.
    """
    if len(interfaces) > SLOTS:
        return f"there are {len(interfaces)} interfaces, at most {SLOTS} can be configured"
    return "; ".join(refused.reason for refused in parse(interfaces).refused) or None
