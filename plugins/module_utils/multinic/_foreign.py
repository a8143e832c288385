# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files by which somebody else may configure a NIC of this node.

What no reader of a folder looks at is left out (hidden files, backups, lines that are a comment), and so is
what was generated: by netplan from our own files, and by NetworkManager from what it saw on a link.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Iterator

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._files import open_regular
from ansible_collections.manifold.core.plugins.module_utils.multinic._model import PREFIX
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import System

_YAML = re.compile(r"[^.].*\.yaml", re.DOTALL)
_CONF = re.compile(r"[^.].*\.conf", re.DOTALL)
_RULES = re.compile(r"[^.].*\.rules", re.DOTALL)
_PERSISTENT_RULES = re.compile(r"70-persistent.*\.rules", re.DOTALL)
_UNITS = re.compile(r"[^.].*\.(?:link|network|netdev)", re.DOTALL)
_UNIT_FOLDERS = re.compile(r"[^.].*\.(?:link|network|netdev)\.d", re.DOTALL)
_KEYFILES = re.compile(r"[^.].*(?<!~)", re.DOTALL)  # in /etc whatever the name ends in, also .bak
_IFCFG = re.compile(r"ifcfg-.*(?<!~)(?<!\.bak)(?<!\.orig)(?<!\.rpmnew)", re.DOTALL)  # what no reader takes
_NOT_HIDDEN = re.compile(r"[^.].*", re.DOTALL)

# Folders and which of their files are read: netplan(5), NetworkManager.conf(5), nm-settings-keyfile(5),
# systemd.link(5), udev(7), interfaces(5) and the initscripts of Red Hat.
_PLACES = (
    *((folder, _YAML) for folder in ("/etc/netplan", "/run/netplan", "/lib/netplan", "/usr/lib/netplan")),
    ("/etc/NetworkManager", re.compile(r"NetworkManager\.conf")),
    *((f"{folder}/NetworkManager/conf.d", _CONF) for folder in ("/etc", "/run", "/usr/lib")),
    *((f"{folder}/NetworkManager/system-connections", _KEYFILES) for folder in ("/etc", "/run", "/usr/lib")),
    ("/etc/sysconfig/network-scripts", _IFCFG),
    ("/etc/sysconfig/network", _IFCFG),
    *((f"{folder}/systemd/network", _UNITS) for folder in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")),
    ("/etc/network", re.compile(r"interfaces")),
    ("/etc/network/interfaces.d", _NOT_HIDDEN),
    ("/run/network/interfaces.d", _NOT_HIDDEN),
    ("/etc/udev/rules.d", _RULES),
    *((f"{folder}/udev/rules.d", _PERSISTENT_RULES) for folder in ("/run", "/usr/lib", "/lib")),
)
_GENERATED_FROM_OURS = re.compile(rf"/run/.*/(?:10-)?netplan-{PREFIX}[0-9][.-][^/]*")
_GENERATED_MARK = re.compile(rb"^nm-generated=true\s*$", re.MULTILINE)
_COMMENT = re.compile(rb"^[ \t]*[#;].*$", re.MULTILINE)
_MOST = 16 * 1024 * 1024
_LINKS = 40
"""As many symbolic links as the kernel follows."""


def foreign_files(system: System, own: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the content, without comments, of every file that may configure a NIC and is not ours.

    :raises NodeError: one cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for path in _paths(system):
        if path in own or _GENERATED_FROM_OURS.fullmatch(path):
            continue
        content = _read(system, path, seen)
        if content is None or (path.startswith("/run/") and _GENERATED_MARK.search(content)):
            continue
        yield os.fsencode(path).decode(errors="replace"), _COMMENT.sub(b"", content)


def _paths(system: System) -> Iterator[str]:
    for folder, read in _PLACES:
        for name in _names(system, folder):
            path = f"{folder}/{name}"
            if read is _UNITS and _UNIT_FOLDERS.fullmatch(name):
                yield from (f"{path}/{inner}" for inner in _names(system, path) if _CONF.fullmatch(inner))
            elif read.fullmatch(name):
                yield path


def _names(system: System, folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in real_path(system, folder).iterdir())
    except OSError as exc:
        if _is_nothing(exc):
            return []
        raise _unreadable(folder, exc) from exc


def _read(system: System, path: str, seen: set[tuple[int, int]]) -> bytes | None:
    """Return a file's content; None for what is no file, leads nowhere, or was read before (/lib may be /usr/lib)."""
    try:
        stream = open_regular(real_path(system, path))
        if stream is None:
            return None
        with stream:
            status = os.fstat(stream.fileno())
            if (status.st_dev, status.st_ino) in seen:
                return None
            seen.add((status.st_dev, status.st_ino))
            content = stream.read(_MOST + 1)
    except OSError as exc:
        if _is_nothing(exc):
            return None
        raise _unreadable(path, exc) from exc
    if len(content) > _MOST:
        raise NodeError(f"{path} is larger than {_MOST >> 20} MiB: cannot tell whether it claims a NIC; move it away")
    return content


def _is_nothing(exc: OSError) -> bool:
    """Return whether nobody else finds a file there either: it is missing, a link to nowhere, a socket."""
    return exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


def _unreadable(path: str, exc: OSError) -> NodeError:
    return NodeError(f"cannot read {path}: {exc.strerror}; cannot tell whether it claims a NIC")


def real_path(system: System, path: str) -> Path:
    """Return where a file of the node is seen, with its symbolic links followed on the node and not here.

    :raises OSError: ELOOP, where they do not end.
    """
    if system.root == Path("/"):
        return Path(path)
    todo = [part for part in reversed(path.split("/")) if part]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == ".." and done:
            done.pop()
        if part in ("", ".", ".."):
            continue
        here = system.path("/".join([*done, part]))
        if not here.is_symlink():
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        target = os.readlink(here)
        if target.startswith("/"):
            done.clear()
        todo += reversed(target.split("/"))
    return system.path("/".join(done))
