# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is ours on a node, whether it is still what it was made, and what else there is. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic import _backends, _guarded
from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import Backend, OwnFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._claims import claims, name_claims
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._judge import Observed, why_not
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link, observe_links
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface, NodeConfig
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import NAMES
from ansible_collections.manifold.core.plugins.module_utils.multinic._plan import Plan, Policy, Target, make_plan
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import link_steps
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System


@dataclass(frozen=True)
class Managed:
    """An interface of ours.

    :param drift: what a run would do to make it again what its files were written for; empty if nothing.
    :param reason: why a run would not touch it, or None.
    """

    id: int | None
    mac: str | None
    name: str | None
    address: str | None
    mtu: int | None
    link: str | None
    files: tuple[str, ...]
    drift: tuple[str, ...]
    reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the plain values for the result of a task."""
        return {**vars(self), "files": list(self.files), "drift": list(self.drift)}


@dataclass(frozen=True)
class Inspection:
    """What was found.

    :param backend: the name of the one that a run would use, or None with ``backend_reason``.
    :param unfinished: an earlier run was cut short; the next one first puts the node back.
    """

    managed: tuple[Managed, ...]
    nics: tuple[dict[str, Any], ...]
    claims: tuple[dict[str, str | None], ...]
    backend: str | None
    backend_reason: str | None
    unfinished: bool

    def as_result(self) -> dict[str, Any]:
        """Return the result of a task."""
        return {
            "interfaces": [each.as_dict() for each in self.managed],
            "nics": list(self.nics),
            "claims": list(self.claims),
            "drift": any(each.drift for each in self.managed),
            "backend": self.backend,
            "backend_reason": self.backend_reason,
            "unfinished": self.unfinished,
        }


def inspect(system: System, connected: tuple[str, ...] = (), wanted_backend: str = "auto") -> Inspection:
    """Look at the node. :raises NodeError: it cannot be looked at. :raises ConfigError: there is no such backend."""
    files = _backends.all_own(system)
    links = observe_links(system)
    config = NodeConfig(_recorded(files))
    own = [file.path for file in files]
    claimed = claims(system, {link.mac for link in links if link.is_nic}, own)
    observed = Observed(links, files, claimed, name_claims(system, NAMES, own), connected)
    backend: Backend | None = None
    reason = None
    try:
        backend = _backends.choose(system, wanted_backend)
    except NodeError as exc:
        reason = str(exc)
    managed: tuple[Managed, ...] = ()
    if backend is not None:
        plan = make_plan(config, observed, Policy(), backend.render)
        managed = _managed(config.interfaces, observed, plan)
    name = None if backend is None else backend.name
    nics = tuple(_nic(link, observed) for link in links if link.is_nic)
    return Inspection(managed, nics, _foreign(observed), name, reason, _guarded.unfinished(system))


def _recorded(files: Sequence[OwnFile]) -> tuple[Interface, ...]:
    """Return the interfaces that our files were written for; of two that say the same thing the first counts."""
    found: list[Interface] = []
    for file in files:
        if file.record is None:
            continue
        new = file.record.interface()
        if all(new.id != old.id and new.mac != old.mac and new.name != old.name for old in found):
            found.append(new)
    return tuple(sorted(found, key=lambda interface: interface.id))


def _managed(interfaces: Sequence[Interface], observed: Observed, plan: Plan) -> tuple[Managed, ...]:
    wanted = {interface.id: interface for interface in interfaces}
    found = []
    for target in plan.targets:
        interface = None if target.outcome.id is None else wanted.get(target.outcome.id)
        found.append(_one(interface, target, observed))
    for outcome in plan.refused:
        interface = None if outcome.id is None else wanted.get(outcome.id)
        link = next((link.name for link in observed.links if link.mac == outcome.mac and link.is_nic), None)
        name = outcome.name if interface is None else interface.name
        found.append(
            Managed(outcome.id, outcome.mac, name, _address(interface), _mtu(interface), link, (), (), outcome.reason)
        )
    return tuple(sorted(found, key=lambda each: (each.name or "", each.mac or "")))


def _one(interface: Interface | None, target: Target, observed: Observed) -> Managed:
    """Return what is ours, and what would be done about it."""
    there = {file.path for file in observed.files}
    drift = [f"write {file.path}" for file in target.write] + [f"remove {path}" for path in target.remove]
    if target.move is not None:
        drift += [str(step) for step in link_steps([target.move])]
    paths = tuple(path for path in (*target.paths, *target.remove) if path in there)
    link = None if target.move is None else target.move.link.name
    outcome = target.outcome
    address, mtu = _address(interface), _mtu(interface)
    return Managed(outcome.id, outcome.mac, outcome.name, address, mtu, link, paths, tuple(drift), None)


def _address(interface: Interface | None) -> str | None:
    return None if interface is None or interface.address is None else str(interface.address)


def _mtu(interface: Interface | None) -> int | None:
    return None if interface is None else interface.mtu


def _nic(link: Link, observed: Observed) -> dict[str, Any]:
    return {
        "name": link.name,
        "mac": link.mac,
        "up": link.up,
        "mtu": link.mtu,
        "addresses": [str(address) for address in (*link.addresses, *link.announced)],
        "ours": observed.owns(link),
        "reason": why_not(link, observed),
    }


def _foreign(observed: Observed) -> tuple[dict[str, str | None], ...]:
    """Return which foreign files name a NIC of this node, or use one of our names."""
    by_mac: list[dict[str, str | None]] = [
        {"path": claim.path, "mac": claim.mac, "name": None} for claim in observed.claims
    ]
    return (*by_mac, *({"path": claim.path, "mac": None, "name": claim.name} for claim in observed.named))
