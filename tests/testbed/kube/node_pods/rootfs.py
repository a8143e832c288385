# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems for containers on test nodes: layers that several containers share, each with files of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from testbed.kube.cri.layout import find_tool


def busybox_layer(directory: Path) -> Path:
    """Make a root of busybox alone below ``directory``, once; return it."""
    root = directory / "busybox"
    if root.exists():
        return root
    busybox = find_tool("busybox") or "busybox"
    for name in ("bin", "sbin", "usr/bin", "usr/sbin", "dev", "etc", "proc", "root", "sys", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    shutil.copy2(busybox, root / "bin/busybox")
    listing = subprocess.run([busybox, "--list-full"], capture_output=True, check=True, text=True, timeout=60)
    for applet in sorted(set(listing.stdout.split()) - {"bin/busybox"}):
        (root / applet).symlink_to("/bin/busybox")
    return root
