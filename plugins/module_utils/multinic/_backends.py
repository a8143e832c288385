# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend keeps a node's interfaces: the one of what manages its links, never told by a version."""

from __future__ import annotations

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import ConfigError, NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._ifcfg import Ifcfg
from ansible_collections.manifold.core.plugins.module_utils.multinic._netplan import Netplan
from ansible_collections.manifold.core.plugins.module_utils.multinic._networkmanager import NetworkManager
from ansible_collections.manifold.core.plugins.module_utils.multinic._own_files import in_order
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

AUTO = "auto"
BACKENDS = (Netplan, NetworkManager, Ifcfg)
"""In the order in which they are asked: NetworkManager may run on behalf of netplan, and on ifcfg files."""


def choose(system: System, wanted: str = AUTO) -> Backend:
    """Return the backend of that name; with ``auto`` that of what manages the node's links, else that of our files.

    :raises ConfigError: there is none of that name.
    :raises NodeError: the node cannot use it, or nothing tells which one it would read at boot.
    """
    known = {kind.name: kind(system) for kind in BACKENDS}
    if wanted != AUTO:
        if wanted not in known:
            raise ConfigError(f"backend {wanted} is not one of {', '.join([AUTO, *known])}")
        reason = known[wanted].missing()
        if reason is not None:
            raise NodeError(f"backend {wanted} cannot be used on this node: {reason}, or choose another `backend`")
        return known[wanted]
    backends = known.values()
    usable = [backend for backend in backends if backend.missing() is None]
    fitting = [backend for backend in usable if backend.unused() is None] or [each for each in usable if each.own()]
    if fitting:
        return fitting[0]
    reasons = "; ".join(f"{backend.name}: {backend.missing() or backend.unused()}" for backend in backends)
    raise NodeError(f"cannot tell what manages the links of this node, so choose a `backend` ({reasons})")


def all_own(system: System) -> tuple[OwnFile, ...]:
    """Return our files of every backend; those of another one than the chosen are drift."""
    return in_order(*(kind(system).own() for kind in BACKENDS))
