# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of ours on a node belongs to which interface: wanted, to be left alone, or an orphan. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import OwnFile, Record
from ansible_collections.manifold.core.plugins.module_utils.multinic._judge import Observed
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import Interface
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import NAMES, is_ours, slot_of_path


@dataclass(frozen=True)
class Holdings:
    """Who has what.

    :param wanted: the interfaces that are to be configured.
    :param left_ids: ids whose files and links are left as they are: their entries were refused, or could not be
        configured.
    :param left_macs: the same by MAC address.
    :param purge: whether orphans go.
    """

    observed: Observed
    wanted: tuple[Interface, ...]
    left_ids: frozenset[int]
    left_macs: frozenset[str]
    purge: bool

    def is_left(self, file: OwnFile) -> bool:
        """Return whether a file of ours stays as it is, for the sake of an entry that was refused."""
        record = file.record
        if record is None:
            slot = slot_of_path(file.path)
            return any(link.name == slot for link in self.observed.links if link.mac in self.left_macs)
        if record.mac in self.macs or record.mac in self.left_macs:
            return record.mac in self.left_macs
        return record.id in self.left_ids

    @property
    def ids(self) -> frozenset[int]:
        """The ids of what is wanted."""
        return frozenset(interface.id for interface in self.wanted)

    @property
    def macs(self) -> frozenset[str]:
        """The MAC addresses of what is wanted."""
        return frozenset(interface.mac for interface in self.wanted)

    @property
    def records(self) -> list[Record]:
        """What our files say, of all that are not left alone."""
        return [file.record for file in self.observed.files if file.record is not None and not self.is_left(file)]

    def orphan_links(self) -> list[Link]:
        """Return the NICs with one of our names that nobody wants, and that may go."""
        left = self.left_macs | {
            file.record.mac for file in self.observed.files if file.record is not None and self.is_left(file)
        }
        return [
            link
            for link in self.observed.links
            if link.is_nic
            and is_ours(link.name)
            and link.mac not in self.macs | left
            and (self.purge or (link.mac, link.name) in self._replaced())
        ]

    def orphan_files(self, written: Collection[str]) -> list[OwnFile]:
        """Return our files that nobody wants, and that may go; those of what is wanted under other paths included.

        :param written: the paths of what is wanted.
        """
        return [
            file
            for file in self.observed.files
            if file.path not in written and not self.is_left(file) and (self.purge or self.is_of_wanted(file))
        ]

    def is_of_wanted(self, file: OwnFile) -> bool:
        """Return whether a file is that of a wanted interface, maybe under another name or with another MAC."""
        record = file.record
        return record is not None and (record.id in self.ids or record.mac in self.macs)

    def kept_names(self, orphans: Sequence[Link]) -> set[str]:
        """Return the names that links and files have that stay as they are; they are not free to be given."""
        moving = {link.index for link in orphans} | {link.index for link in self.wanted_links()}
        names = {link.name for link in self.observed.links if link.name in NAMES and link.index not in moving}
        for file in self.observed.files:
            slot = slot_of_path(file.path)
            stays = self.is_left(file) or not (self.purge or self.is_of_wanted(file))
            if slot is not None and stays:
                names.add(slot)
        return names

    def wanted_links(self) -> list[Link]:
        """Return the NICs of what is wanted."""
        return [link for interface in self.wanted for link in self.observed.with_mac(interface.mac)]

    def names_in_use(self) -> dict[int, str]:
        """Return by id the names that files of others use too: each stays with whom it is of, or goes to nobody.

        It is that of the interface that pins it and has it; else of the one whose link has it; else of the one that a
        record says, if it says no other one.
        """
        found: dict[int, str] = {}
        for name in sorted({claim.name for claim in self.observed.named}):
            able = [each for each in self.wanted if each.name in (None, name) and each.id not in found]
            linked = [each for each in able if self.observed.with_mac(each.mac)[0].name == name]
            having = [*linked, *(each for each in able if self._is_recorded(each, name))]
            for interface in sorted(having, key=lambda each: each.name is None)[:1]:
                found[interface.id] = name
        return found

    def _is_recorded(self, interface: Interface, name: str) -> bool:
        """Return whether a record says that a name is an interface's, and does not say so of another entry as well."""
        others = ((self.ids | self.left_ids) - {interface.id}, (self.macs | self.left_macs) - {interface.mac})
        return any(
            record.name == name
            and (record.id == interface.id or record.mac == interface.mac)
            and record.id not in others[0]
            and record.mac not in others[1]
            for record in self.records
        )

    def _replaced(self) -> set[tuple[str, str]]:
        """Return the MAC addresses and names of NICs whose interface now has another one: they must give way."""
        records = [file.record for file in self.observed.files if file.record is not None]
        return {(record.mac, record.name) for record in records if record.id in self.ids}
