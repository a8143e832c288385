# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which folders of a node its agent needs, told by the operating system that the Node names.

A folder that must be there stops the pod where it is missing, and one that is made where it is missing litters another
system: so each system gets its own, and one that is not known gets no Job.
"""

from __future__ import annotations

from dataclasses import dataclass

DIRECTORY = "Directory"
OURS = "DirectoryOrCreate"


@dataclass(frozen=True)
class Folder:
    """A folder of the node.

    :param type: that of a hostPath volume.
    """

    path: str
    type: str = DIRECTORY
    read_only: bool = False


@dataclass(frozen=True)
class System:
    """An operating system.

    :param backend: what ``multinic_config`` writes for; ``auto`` lets it look.
    """

    backend: str
    folders: tuple[Folder, ...]


_COMMON = (
    Folder("/var/lib/manifold-core", OURS),
    Folder("/run/manifold-core", OURS),
    Folder("/run/dbus"),
    Folder("/run/systemd"),
    Folder("/run/udev", read_only=True),
    # where its files are to be, which systems without networkd may not have yet
    Folder("/etc/systemd/network", OURS),
)
_DEBIAN = System("auto", (*_COMMON, Folder("/etc/netplan")))
_RED_HAT = System("networkmanager", (*_COMMON, Folder("/etc/NetworkManager"), Folder("/run/NetworkManager")))
_OLD_RED_HAT = System("auto", (*_RED_HAT.folders, Folder("/etc/sysconfig/network-scripts")))

_KNOWN = (
    # longest first where one begins another
    ("ubuntu", _DEBIAN),
    ("debian", _DEBIAN),
    ("red hat enterprise linux 8", _OLD_RED_HAT),
    ("red hat enterprise linux 9", _OLD_RED_HAT),
    ("red hat enterprise linux", _RED_HAT),
    ("rocky linux 8", _OLD_RED_HAT),
    ("rocky linux 9", _OLD_RED_HAT),
    ("rocky linux", _RED_HAT),
    ("almalinux 8", _OLD_RED_HAT),
    ("almalinux 9", _OLD_RED_HAT),
    ("almalinux", _RED_HAT),
    ("centos stream 8", _OLD_RED_HAT),
    ("centos stream 9", _OLD_RED_HAT),
    ("centos stream", _RED_HAT),
    ("oracle linux server 8", _OLD_RED_HAT),
    ("oracle linux server 9", _OLD_RED_HAT),
    ("oracle linux server", _RED_HAT),
    ("fedora", _RED_HAT),
)


def system_of(os_image: str) -> System | None:
    """Return what is known of a ``status.nodeInfo.osImage``, or None."""
    name = " ".join(os_image.lower().split())
    return next((system for start, system in _KNOWN if name.startswith(start)), None)
