# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the node back to what a snapshot says.

Every step is taken only where the node differs, so that it can be killed at any point and begun again.
"""

from __future__ import annotations

import time
from typing import Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic import _files, _observed
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._observed import Address, Link
from ansible_collections.manifold.core.plugins.module_utils.multinic._snapshot import File, Snapshot, boot_id
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_TRIES = 3
_PAUSE = 0.3


def put_back(system: System, snapshot: Snapshot) -> tuple[str, ...]:
    """Put back what differs, trying again what did not work; return what could not be put back.

    After another boot the links are what the boot made of the files: only the files are put back then.
    """
    problems: tuple[str, ...] = ()
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        problems = _Attempt(system, snapshot).all()
        if not problems:
            break
    return problems


class _Attempt:
    """One walk over everything in the snapshot; what fails does not keep the rest from being put back."""

    def __init__(self, system: System, snapshot: Snapshot) -> None:
        self._system = system
        self._snapshot = snapshot
        self._problems: list[str] = []

    def all(self) -> tuple[str, ...]:
        for file in self._snapshot.files:
            try:
                _put_back_file(self._system, file)
            except OSError as exc:
                self._problem(f"{file.path}: {exc.strerror or exc}")
        self._links()
        for command in self._snapshot.commands:
            self._run(*command)
        if self._snapshot.commands:
            self._links()  # a daemon that forgot one of our files took addresses away
        return tuple(self._problems)

    def _links(self) -> None:
        if self._snapshot.boot_id != boot_id():
            return
        try:
            self._put_back_links()
        except NodeError as exc:
            self._problem(str(exc))

    def _put_back_links(self) -> None:
        """The links first, one property after the other, and at last the routes, which need all of them."""
        self._names(self._present())
        for wanted, now in self._present():
            self._altnames(wanted, now)
            if now.mtu != wanted.mtu:
                self._ip("link", "set", "dev", now.name, "mtu", str(wanted.mtu))
            if now.up != wanted.up:
                self._ip("link", "set", "dev", now.name, "up" if wanted.up else "down")
        pairs = self._present()  # what is down has lost its IPv6 addresses
        for wanted, now in pairs:
            self._addresses(wanted, now)
        self._routes({wanted.index: now for wanted, now in pairs})

    def _present(self) -> list[tuple[Link, Link]]:
        """Return each recorded link with what it is now."""
        now = _observed.links(self._system)
        pairs = []
        for wanted in self._snapshot.links:
            found = now.get(wanted.index)
            if found is None or found.mac != wanted.mac:
                found = _observed.by_mac(now.values(), wanted.mac)
            if found is None:
                self._problem(f"link {wanted.name} ({wanted.mac}) is not there any more")
            else:
                pairs.append((wanted, found))
        return pairs

    def _names(self, pairs: Sequence[tuple[Link, Link]]) -> None:
        """Rename by way of temporary names, so that two links can swap theirs. Only a link that is down is renamed."""
        misnamed = [(wanted, now) for wanted, now in pairs if wanted.name != now.name]
        for wanted, now in misnamed:
            self._ip("link", "set", "dev", now.name, "down")
            if now.name != _temporary(now):
                self._ip("link", "set", "dev", now.name, "name", _temporary(now))
            if wanted.name in now.altnames:
                self._ip("link", "property", "del", "dev", _temporary(now), "altname", wanted.name)
        for wanted, now in misnamed:
            self._ip("link", "set", "dev", _temporary(now), "name", wanted.name)

    def _altnames(self, wanted: Link, now: Link) -> None:
        for name in now.altnames:
            if name not in wanted.altnames and name != wanted.name:
                self._ip("link", "property", "del", "dev", now.name, "altname", name)
        for name in wanted.altnames:
            if name not in now.altnames:
                self._ip("link", "property", "add", "dev", now.name, "altname", name)

    def _addresses(self, wanted: Link, now: Link) -> None:
        # IPv4 keeps an order: the first of a network is its primary address, with which the others of it go.
        four, present = _of_family(wanted, 4), _of_family(now, 4)
        same = _common(four, present)
        for address in reversed(present[same:]):
            self._ip("address", "del", *address.key, "dev", now.name)
        for address in four[same:]:
            self._ip("address", "add", *address.key, *address.options, "dev", now.name)
        six, present = _of_family(wanted, 6), _of_family(now, 6)
        keys, there = {address.key for address in six}, {address.key for address in present}
        for address in present:
            if address.key not in keys and not address.dynamic:
                self._ip("address", "del", *address.key, "dev", now.name)
        for address in six:
            if address.key not in there:
                self._ip("address", "add", *address.key, *address.options, "dev", now.name)

    def _routes(self, links: dict[int, Link]) -> None:
        """Add what is missing; remove what somebody added by hand or by a tool, not what a daemon or the kernel did.

        :param links: what the recorded links are now, by their recorded index.
        """
        seen = _observed.links(self._system)
        now = _observed.routes(self._system, {link.index: link for link in links.values()})
        wanted = {
            (route.family, route.words, links[route.link].index if route.link in links else route.link)
            for route in self._snapshot.routes
        }
        there = {(route.family, route.words, route.link) for route in now}
        for route in now:
            if (route.family, route.words, route.link) not in wanted and route.protocol in ("boot", "static"):
                self._route("del", route.family, route.words, seen[route.link])
        for family, words, index in sorted(wanted - there, key=lambda one: "via" in one[1]):
            if index in seen:
                self._route("add", family, words, seen[index])

    def _route(self, verb: str, family: int, words: Sequence[str], link: Link) -> None:
        self._run("ip", f"-{family}", "route", verb, *words, "dev", link.name)

    def _ip(self, *arguments: str) -> None:
        self._run("ip", *arguments)

    def _run(self, *argv: str) -> None:
        try:
            ran = self._system.run(argv)
        except NodeError as exc:
            self._problem(str(exc))
            return
        if ran.rc != 0:
            self._problem(f"{' '.join(argv)}: {ran.stderr.strip() or f'exit status {ran.rc}'}")

    def _problem(self, text: str) -> None:
        if text not in self._problems:
            self._problems.append(text)


def _put_back_file(system: System, file: File) -> None:
    path = system.path(file.path)
    # what a writer that was killed left beside it
    for left in path.parent.glob(f".{path.name}.*.manifold"):
        _files.remove(left)
    if file.content is None:
        _files.remove(path)
    elif _files.read(path) != file.content or path.stat().st_mode & 0o7777 != file.mode:
        _files.write(path, file.content, file.mode)


def _temporary(link: Link) -> str:
    return f"mback{link.index}"


def _of_family(link: Link, family: int) -> list[Address]:
    return [address for address in link.addresses if address.family == family]


def _common(left: Sequence[Address], right: Sequence[Address]) -> int:
    """Return how many addresses both begin with."""
    count = 0
    for one, other in zip(left, right):
        if one.key != other.key:
            break
        count += 1
    return count
