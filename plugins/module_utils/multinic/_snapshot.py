# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node was like before a change: the links and files that the change may touch."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Iterable, Sequence

from ansible_collections.manifold.core.plugins.module_utils.multinic import _files, _observed
from ansible_collections.manifold.core.plugins.module_utils.multinic._observed import Address, Link, Route
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_VERSION = 1


@dataclass(frozen=True)
class File:
    """A file as it was; ``content`` is None where there was none."""

    path: str
    content: bytes | None
    mode: int = _files.MODE


@dataclass(frozen=True)
class Snapshot:
    """Everything that is put back.

    :param nonce: tells this change from every other one.
    :param boot_id: the boot during which it was taken; links are put back only during the same one.
    :param deadline: when the guard goes off, in seconds of the node's monotonic clock; 0 without a guard.
    :param commands: make a daemon read the files again after they were put back.
    """

    nonce: str
    boot_id: str
    files: tuple[File, ...] = ()
    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()
    deadline: float = 0

    def only(self, indexes: Iterable[int], paths: Iterable[str]) -> Snapshot:
        """Return the part of it that is about these links and files."""
        wanted, kept = set(indexes), set(paths)
        return replace(
            self,
            files=tuple(file for file in self.files if file.path in kept),
            links=tuple(link for link in self.links if link.index in wanted),
            routes=tuple(route for route in self.routes if route.link in wanted),
        )


def take(system: System, indexes: Iterable[int], paths: Iterable[str], commands: Sequence[Sequence[str]]) -> Snapshot:
    """Record the links with these indexes and the files at these paths. :raises NodeError: ``ip`` failed."""
    wanted = set(indexes)
    found = {index: link for index, link in _observed.links(system).items() if index in wanted}
    return Snapshot(
        nonce=secrets.token_hex(8),
        boot_id=boot_id(),
        files=tuple(_file(system, path) for path in sorted(set(paths))),
        links=tuple(found.values()),
        routes=_observed.routes(system, found),
        commands=tuple(tuple(command) for command in commands),
    )


def boot_id() -> str:
    """Return what tells this boot of the node from every other one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _file(system: System, path: str) -> File:
    seen = system.path(path)
    content = _files.read(seen)
    return File(path, content) if content is None else File(path, content, seen.stat().st_mode & 0o7777)


def to_json(snapshot: Snapshot) -> bytes:
    """Return a snapshot as it is kept on disk."""
    document = {"version": _VERSION, **asdict(snapshot)}
    for file in document["files"]:
        if file["content"] is not None:
            file["content"] = base64.b64encode(file["content"]).decode()
    return json.dumps(document, indent=1).encode()


def from_json(text: bytes) -> Snapshot:
    """Return the snapshot that was kept. :raises ValueError: this is not one, or one of another version."""
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError(f"it is not a snapshot of version {_VERSION}")
    try:
        return Snapshot(
            nonce=document["nonce"],
            boot_id=document["boot_id"],
            files=tuple(File(one["path"], _decoded(one["content"]), one["mode"]) for one in document["files"]),
            links=tuple(_link(one) for one in document["links"]),
            routes=tuple(Route(**{**one, "words": tuple(one["words"])}) for one in document["routes"]),
            commands=tuple(tuple(command) for command in document["commands"]),
            deadline=document["deadline"],
        )
    except (KeyError, TypeError) as exc:
        raise ValueError(f"it is not a snapshot: {exc!r}") from exc


def _decoded(content: str | None) -> bytes | None:
    return None if content is None else base64.b64decode(content)


def _link(one: dict[str, Any]) -> Link:
    addresses = tuple(
        Address(tuple(address["key"]), tuple(address["options"]), address["family"], address["dynamic"])
        for address in one["addresses"]
    )
    return Link(**{**one, "altnames": tuple(one["altnames"]), "addresses": addresses})
