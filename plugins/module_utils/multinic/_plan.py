# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done on a node: what is wanted against what is there. Pure, and idempotent.

A plan that was carried out leaves nothing for a second one, since what it decides by is not changed by it: what is
left as it is, NICs with their names and files, and how many names nothing else keeps. What a record says decides only
where there are names for all, or where it does not go with a change. Objections are never taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._holdings import Holdings
from ansible_collections.manifold.core.plugins.module_utils.multinic._judge import (
    Objection,
    Observed,
    address_elsewhere,
    object_to,
    untouchable,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import SLOTS, Interface, NodeConfig, Refused
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import (
    NAMES,
    choose_names,
    orphan_name,
    share_names,
    slot_of_path,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._report import Outcome, State
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import (
    LinkState,
    Move,
    RemoveFile,
    Step,
    WriteFile,
    link_steps,
)
from ansible_collections.manifold.core.plugins.module_utils.multinic._view import View, after, look

Render = Callable[[Interface, str], Sequence[ConfigFile]]


@dataclass(frozen=True)
class Policy:
    """What a run may do.

    :param allow_up: take NICs that look as if somebody used them.
    :param purge: remove what is ours and not wanted.
    """

    allow_up: bool = False
    purge: bool = True


@dataclass(frozen=True)
class Target:
    """What an interface, or an orphan, shall become, and the steps to its files.

    :param paths: all its files, also those that are as they shall be.
    """

    outcome: Outcome
    move: Move | None = None
    write: tuple[ConfigFile, ...] = ()
    remove: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def touches(self) -> set[str]:
        """Return the names and addresses that it has or gets: who shares one of them changes together with it."""
        names = {slot_of_path(path) for path in (*self.paths, *self.remove)}
        if self.move is not None:
            names |= {self.move.link.name, self.move.state.name}
            names |= {str(address.ip) for address in (*self.move.link.addresses, *self.move.state.addresses)}
        return {name for name in names if name is not None}


@dataclass(frozen=True)
class Group:
    """Targets that are changed, and if need be undone, together."""

    targets: tuple[Target, ...]
    steps: tuple[Step, ...]

    @property
    def indexes(self) -> set[int]:
        """The links that it may change."""
        return {target.move.link.index for target in self.targets if target.move is not None}

    @property
    def written(self) -> list[str]:
        """The paths of the files that it writes."""
        return [step.file.path for step in self.steps if isinstance(step, WriteFile)]

    @property
    def removed(self) -> list[str]:
        """The paths of the files that it removes."""
        return [step.path for step in self.steps if isinstance(step, RemoveFile)]

    @property
    def paths(self) -> list[str]:
        """The paths of the files that it changes."""
        return [*self.written, *self.removed]


@dataclass(frozen=True)
class Plan:
    """What a run does.

    :param targets: what was found fit, also where nothing is to be done.
    :param refused: the outcomes of what was not.
    :param groups: what is to be done, in this order; empty if all is as it shall be.
    """

    targets: tuple[Target, ...]
    refused: tuple[Outcome, ...]
    groups: tuple[Group, ...]
    before: View
    after: View

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps."""
        return tuple(step for group in self.groups for step in group.steps)


def make_plan(config: NodeConfig, observed: Observed, policy: Policy, render: Render) -> Plan:
    """Return what is to be done.

    What cannot or must not be configured is left as it is, which may stand in the way of others: therefore it is
    planned anew until there is no further objection, each time without those that were objected to.
    """
    draft = _Draft(config, observed, policy, render)
    for interface in config.interfaces:
        objection = object_to(interface, observed, policy.allow_up)
        if objection is not None:
            draft.objections[interface.id] = objection
    while True:
        targets = draft.targets()
        if targets is not None:
            return draft.plan(targets)


@dataclass
class _Draft:
    """A plan in the making; what was objected to only grows.

    :param objections: by id, why an interface is not configured.
    :param shared: the names by id, once it was found that there are not enough; from then on nobody gets another.
    :param stuck: by MAC address, why a link of ours that nobody wants must stay.
    """

    config: NodeConfig
    observed: Observed
    policy: Policy
    render: Render
    objections: dict[int, Objection] = field(default_factory=dict)
    shared: dict[int, str] | None = None
    stuck: dict[str, str] = field(default_factory=dict)

    def holdings(self) -> Holdings:
        """Return who has what, as far as is known."""
        refused = self.objections.keys()
        wanted = tuple(each for each in self.config.interfaces if each.id not in refused)
        left: list[Interface | Refused] = [each for each in self.config.interfaces if each.id in refused]
        left += self.config.refused
        ids = {each.id for each in left if each.id is not None}
        macs = {each.mac for each in left if each.mac is not None} | set(self.stuck)
        blind = any(each.id is None and each.mac is None for each in self.config.refused)
        purge = self.policy.purge and not blind
        return Holdings(self.observed, wanted, frozenset(ids), frozenset(macs), purge)

    def targets(self) -> list[Target] | None:
        """Return what is to become of all, or None after a new objection."""
        known = len(self.objections) + len(self.stuck)
        targets = self._targets()
        return targets if len(self.objections) + len(self.stuck) == known else None

    def _targets(self) -> list[Target]:
        holdings = self.holdings()
        orphans = holdings.orphan_links()
        for link in orphans:
            reason = untouchable(link, self.observed)
            if reason is not None:
                self.stuck[link.mac] = f"{reason}; it is not removed"
        kept = holdings.kept_names(orphans)
        fixed = self._fixed_names(holdings, kept)
        kept |= {claim.name for claim in self.observed.named} - set(fixed.values())
        self._object_to_addresses(holdings, orphans)
        if not self.objections.keys().isdisjoint(holdings.ids):
            return []
        names = self._names(holdings, kept, fixed)
        if len(names) < len(holdings.wanted):
            return []
        files = {each.id: tuple(self.render(each, names[each.id])) for each in holdings.wanted}
        wanted = [self._wanted(each, names[each.id], files[each.id], holdings) for each in holdings.wanted]
        written = {file.path for each in files.values() for file in each}
        return [*self._orphans(holdings, orphans, written), *self._without_shared(wanted, written)]

    def plan(self, targets: Sequence[Target]) -> Plan:
        """Return the plan of what is to become of all."""
        macs = {target.move.link.mac for target in targets if target.move is not None}
        before = look(self.observed.links, self.observed.files, macs)
        states = {target.move.link.mac: target.move.state for target in targets if target.move is not None}
        written = [file for target in targets for file in target.write]
        removed = {path for target in targets for path in target.remove}
        groups = _groups(targets, {link.name for link in self.observed.links})
        then = after(before, states, written, removed)
        return Plan(tuple(targets), tuple(self._refused()), groups, before, then)

    def _names(self, holdings: Holdings, kept: set[str], fixed: dict[int, str]) -> dict[int, str]:
        """Return the names by id, and object to whom there is none for."""
        links = {link.mac: link.name for link in self.observed.links if link.is_nic}
        wanted = holdings.wanted
        if self.shared is None:
            for interface in wanted:
                others = {name for number, name in fixed.items() if number != interface.id}
                if interface.name in kept | others:
                    self._object_to_name(interface)
            if not self.objections.keys().isdisjoint(holdings.ids):
                return {}
            names = choose_names(wanted, holdings.records, links, kept, fixed)
            if len(names) == len(wanted):
                return names
            self.shared = share_names(wanted, holdings.records, links, kept, fixed)
        given = {name: number for number, name in self.shared.items() if name not in kept}
        names = {number: name for name, number in given.items() if number in holdings.ids}
        for interface in wanted:
            if interface.id not in names:
                self._object_to_name(interface, given.get(interface.name or ""))
        return names

    def _object_to_name(self, interface: Interface, holder: int | None = None) -> None:
        """Object to an interface for which there is no name. :param holder: the id of who keeps the pinned one."""
        if interface.name is None:
            reason = f"there are not enough of the {SLOTS} names that a node has for interfaces; want fewer interfaces"
            if not self.policy.purge:
                reason += ", or set purge to remove what is not wanted"
        elif holder is not None:
            reason = f"{interface.name} is that of id {holder}, and there are not enough names to give that another one"
        else:
            using = [claim.path for claim in self.observed.named if claim.name == interface.name]
            reason = f"{interface.name} is taken by {', '.join(using) or 'an interface that is left as it is'}"
        self.objections[interface.id] = Objection(State.REFUSED, reason)

    def _wanted(self, interface: Interface, name: str, files: Sequence[ConfigFile], holdings: Holdings) -> Target:
        """Return what is to become of an interface and its files."""
        link = self.observed.with_mac(interface.mac)[0]
        there = {file.path: (file.content, file.mode) for file in self.observed.files}
        paths = {file.path for file in files}
        old = [
            file.path
            for file in holdings.orphan_files(paths)
            if file.record is not None and interface.id == _owner_id(file.record.id, file.record.mac, holdings)
        ]
        return Target(
            Outcome(interface.id, interface.mac, name, State.CONFIGURED),
            Move(link, _wanted_state(interface, link, name)),
            tuple(file for file in files if there.get(file.path) != (file.content, file.mode)),
            tuple(old),
            tuple(sorted(paths)),
        )

    def _without_shared(self, targets: Sequence[Target], written: set[str]) -> list[Target]:
        """Take away from each target the removal of what another one writes."""
        return [
            replace(target, remove=tuple(path for path in target.remove if path not in written)) for target in targets
        ]

    def _orphans(self, holdings: Holdings, links: Sequence[Link], written: set[str]) -> list[Target]:
        """Return what is to become of links and files that nobody wants, by their name."""
        files = [file for file in holdings.orphan_files(written) if not holdings.is_of_wanted(file)]
        taken = {link.name for link in self.observed.links}
        slots = {link.name for link in links} | {slot_of_path(file.path) or file.path for file in files}
        targets = []
        for slot in sorted(slots):
            link = next((each for each in links if each.name == slot), None)
            mine = [file for file in files if (slot_of_path(file.path) or file.path) == slot]
            record = next((file.record for file in mine if file.record is not None), None)
            move = None
            if link is not None:
                name = orphan_name(taken)
                taken.add(name)
                move = Move(link, LinkState(name, False, link.mtu, ()))
            mac = link.mac if link is not None else record.mac if record is not None else None
            outcome = Outcome(None if record is None else record.id, mac, slot, State.REMOVED)
            paths = tuple(file.path for file in mine)
            targets.append(Target(outcome, move, remove=paths, paths=paths))
        return targets

    def _fixed_names(self, holdings: Holdings, kept: set[str]) -> dict[int, str]:
        """Return by id the names that must not change, since others use them or the node is reached by the NIC.

        Object to any other change of such a NIC; as it is it may stay.
        """
        fixed = {number: name for number, name in holdings.names_in_use().items() if name not in kept}
        for interface in holdings.wanted:
            link = self.observed.with_mac(interface.mac)[0]
            reason = untouchable(link, self.observed)
            if reason is None:
                continue
            named = link.name in NAMES and link.name not in kept and interface.name in (None, link.name)
            if named and not link_steps([Move(link, _wanted_state(interface, link, link.name))]):
                fixed[interface.id] = link.name
            else:
                self.objections[interface.id] = Objection(State.REFUSED, f"{reason}; it is not changed")
        return fixed

    def _object_to_addresses(self, holdings: Holdings, orphans: Sequence[Link]) -> None:
        moving = {link.index for link in (*holdings.wanted_links(), *orphans)}
        staying = [link for link in self.observed.links if link.index not in moving]
        for interface in holdings.wanted:
            objection = address_elsewhere(interface, staying)
            if objection is not None:
                self.objections[interface.id] = objection

    def _refused(self) -> list[Outcome]:
        """Return the outcomes of what was objected to."""
        called = {link.mac: link.name for link in self.observed.links if slot_of_path(link.name) == link.name}
        found = [
            Outcome(each.id, each.mac, called.get(each.mac or ""), State.REFUSED, reason=each.reason)
            for each in self.config.refused
        ]
        for interface in self.config.interfaces:
            objection = self.objections.get(interface.id)
            if objection is not None:
                name = called.get(interface.mac)
                found.append(Outcome(interface.id, interface.mac, name, objection.state, reason=objection.reason))
        for mac, reason in self.stuck.items():
            found.append(Outcome(None, mac, called.get(mac), State.REFUSED, reason=reason))
        return found


def _wanted_state(interface: Interface, link: Link, name: str) -> LinkState:
    """Return what the NIC of an interface shall be."""
    mtu = link.mtu if interface.mtu is None else interface.mtu
    return LinkState(name, True, mtu, () if interface.address is None else (interface.address,))


def _owner_id(number: int, mac: str, holdings: Holdings) -> int | None:
    """Return the id of the wanted interface that a record is of: by its id, else by its MAC address."""
    if number in holdings.ids:
        return number
    return next((each.id for each in holdings.wanted if each.mac == mac), None)


def _groups(targets: Sequence[Target], taken: set[str]) -> tuple[Group, ...]:
    """Return the targets with something to do, together with those that they depend on, in order."""
    sets: list[tuple[set[str], list[Target]]] = []
    for target in targets:
        touched, members = target.touches(), [target]
        apart = []
        for names, others in sets:
            if names & touched:
                touched, members = names | touched, others + members
            else:
                apart.append((names, others))
        sets = [*apart, (touched, members)]
    groups = [Group(tuple(members), _steps(members, taken)) for _names, members in sets]
    return tuple(group for group in groups if group.steps)


def _steps(targets: Sequence[Target], taken: set[str]) -> tuple[Step, ...]:
    """Files first: a name is recorded before a link gets it."""
    steps: list[Step] = []
    steps += [WriteFile(file) for target in targets for file in target.write]
    steps += [RemoveFile(path) for target in targets for path in target.remove]
    steps += link_steps([target.move for target in targets if target.move is not None], taken)
    return tuple(steps)
