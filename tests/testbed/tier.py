# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests need what of the machine, and whether the machine has it."""

from __future__ import annotations

import os
import shutil
import sys
from enum import Enum


class Tier(Enum):
    """What a test needs of the machine; the values are those of ``--tier`` and of the markers."""

    UNIT = "unit"
    EMBEDDED = "embedded"
    NODE = "node"


_NODE_PROGRAMS = {
    "sshd": "openssh-server",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mariadbd": "mariadb-server",
}
"""Programs of the node tier beside those of its containers, and the Debian package of each."""


def missing(tier: Tier) -> str | None:
    """Return in one line why the tier cannot run here; None if it can."""
    if tier is Tier.EMBEDDED and shutil.which("ssh") is None:
        return "there is no ssh client"
    if tier is Tier.NODE:
        return _missing_for_nodes()
    return None


def _missing_for_nodes() -> str | None:
    if sys.platform != "linux":
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    packages = sorted(package for program, package in _NODE_PROGRAMS.items() if not shutil.which(program, path=path))
    if packages:
        return f"Debian packages are missing: {' '.join(packages)}"
    from testbed.kube.cri.requirements import available  # late: a unit run needs none of it

    return available()
