# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node looks like as far as we may change it, and the difference between two such looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Iterable, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic._backend import OwnFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import ConfigFile
from ansible_collections.manifold.core.plugins.module_utils.multinic._links import Link
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import LinkState, state_of


@dataclass(frozen=True)
class View:
    """Links by their MAC address, and files by their path, each with its mode and content."""

    links: Mapping[str, LinkState]
    files: Mapping[str, tuple[int, str]]


def look(links: Iterable[Link], files: Iterable[OwnFile], macs: Collection[str]) -> View:
    """Return what some links, and all files of ours, are."""
    return View(
        {link.mac: state_of(link) for link in links if link.mac in macs},
        {file.path: (file.mode, file.content) for file in files},
    )


def after(
    before: View, states: Mapping[str, LinkState], written: Iterable[ConfigFile], removed: Collection[str]
) -> View:
    """Return what a node looks like once links have these states and files are written and removed."""
    files = {path: file for path, file in before.files.items() if path not in removed}
    files.update({file.path: (file.mode, file.content) for file in written})
    return View({**before.links, **states}, files)


def differs(before: View, now: View, mac: str | None, paths: Iterable[str]) -> bool:
    """Return whether a link or one of its files is not what it was."""
    return (mac is not None and _text(before.links.get(mac)) != _text(now.links.get(mac))) or any(
        before.files.get(path) != now.files.get(path) for path in paths
    )


def diff(before: View, now: View) -> tuple[dict[str, str], ...]:
    """Return the difference as Ansible shows it: one part for the links, one for each file that differs."""
    parts = []
    macs = sorted({*before.links, *now.links})
    changed = [mac for mac in macs if _text(before.links.get(mac)) != _text(now.links.get(mac))]
    if changed:
        parts.append(
            {
                "before_header": "links",
                "after_header": "links",
                "before": "".join(f"{mac}: {_text(before.links.get(mac))}\n" for mac in changed),
                "after": "".join(f"{mac}: {_text(now.links.get(mac))}\n" for mac in changed),
            }
        )
    for path in sorted({*before.files, *now.files}):
        old, new = before.files.get(path), now.files.get(path)
        if old != new:
            parts.append(
                {
                    "before_header": _header(path, old),
                    "after_header": _header(path, new),
                    "before": "" if old is None else old[1],
                    "after": "" if new is None else new[1],
                }
            )
    return tuple(parts)


def _header(path: str, file: tuple[int, str] | None) -> str:
    return f"{path} ({'absent' if file is None else f'mode {file[0]:04o}'})"


def _text(state: LinkState | None) -> str:
    if state is None:
        return "not there"
    addresses = ", ".join(sorted(str(address) for address in state.addresses)) or "no address"
    return f"{state.name}, {'up' if state.up else 'down'}, mtu {state.mtu}, {addresses}"
