# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that a plan is made of, and the steps that bring links from what they are to what they shall be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Collection, Sequence, Union

from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import InterfaceAddress
from ansible_collections.manifold.core.plugins.module_utils.multinic._naming import TEMPORARY


@dataclass(frozen=True)
class Command:
    """A command that changes a link."""

    argv: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.argv)


@dataclass(frozen=True)
class WriteFile:
    """A file of ours is written anew as a whole."""

    file: ConfigFile

    def __str__(self) -> str:
        return f"write {self.file.path}"


@dataclass(frozen=True)
class RemoveFile:
    """A file of ours is removed."""

    path: str

    def __str__(self) -> str:
        return f"remove {self.path}"


Step = Union[Command, WriteFile, RemoveFile]


@dataclass(frozen=True)
class LinkState:
    """What a link shall be.

    :param addresses: all it shall have, other than link-local and announced ones.
    """

    name: str
    up: bool
    mtu: int
    addresses: tuple[InterfaceAddress, ...]


def state_of(link: Link) -> LinkState:
    """Return what a link is."""
    return LinkState(link.name, link.up, link.mtu, link.addresses)


@dataclass(frozen=True)
class Move:
    """A link on its way from what it is to what it shall be."""

    link: Link
    state: LinkState

    @property
    def renames(self) -> bool:
        """Whether its name changes."""
        return self.link.name != self.state.name


def link_steps(moves: Sequence[Move], taken: Collection[str] = ()) -> list[Step]:
    """Return the steps that bring links to their states; none where a link is as it shall be.

    Addresses that are not wanted go first on all links, since another of them may be about to get them. Then the
    links that only change what they are, then those that change their names, each once its new name is free; where
    names go round in a circle one link steps aside under a temporary name.

    :param taken: names that other links of the node have.
    """
    steps: list[Step] = []
    for move in moves:
        steps += _drop_addresses(move)
    for move in moves:
        if not move.renames:
            steps += _settle(move, move.link)
    waiting = [move for move in moves if move.renames]
    while waiting:
        names = {move.link.name for move in waiting}
        ready = next((move for move in waiting if move.state.name not in names), None)
        if ready is None:
            aside = waiting.pop(0)
            temporary = next(name for name in TEMPORARY if name not in names and name not in taken)
            steps += _rename(aside.link, temporary)
            # which loses the addresses that a link loses when it goes down
            lost = replace(aside.link, name=temporary, up=False, addresses=_kept_when_down(aside.link))
            waiting.append(replace(aside, link=lost))
            continue
        waiting.remove(ready)
        steps += _rename(ready.link, ready.state.name)
        went_down = ready.link.up
        addresses = _kept_when_down(ready.link) if went_down else ready.link.addresses
        steps += _settle(ready, replace(ready.link, name=ready.state.name, up=False, addresses=addresses))
    return steps


def _kept_when_down(link: Link) -> tuple[InterfaceAddress, ...]:
    """Return the addresses that stay when a link goes down; IPv6's do not (ip-sysctl, keep_addr_on_down)."""
    return tuple(address for address in link.addresses if address.version == 4)


def _drop_addresses(move: Move) -> list[Step]:
    """Remove what is not wanted; the last first, since with a first address those of its network may go too."""
    unwanted = [address for address in move.link.addresses if address not in move.state.addresses]
    return [_ip("address", "delete", str(address), "dev", move.link.name) for address in reversed(unwanted)]


def _rename(link: Link, name: str) -> list[Step]:
    """Rename a link; older kernels rename only one that is down."""
    down = [_ip("link", "set", "dev", link.name, "down")] if link.up else []
    return [*down, _ip("link", "set", "dev", link.name, "name", name)]


def _settle(move: Move, now: Link) -> list[Step]:
    """Return the steps after the renaming: MTU, up or down, addresses."""
    steps: list[Step] = []
    state = move.state
    if now.mtu != state.mtu:
        steps.append(_ip("link", "set", "dev", state.name, "mtu", str(state.mtu)))
    if now.up != state.up:
        steps.append(_ip("link", "set", "dev", state.name, "up" if state.up else "down"))
    dropped = [address for address in move.link.addresses if address not in state.addresses]
    for address in state.addresses:
        # an IPv4 address may have gone together with one of its network that was dropped
        went_along = any(other.version == 4 and other.network == address.network for other in dropped)
        if address not in now.addresses or went_along:
            steps.append(_ip("address", "replace", str(address), "dev", state.name))
    return steps


def _ip(*arguments: str) -> Command:
    return Command(("ip", *arguments))
