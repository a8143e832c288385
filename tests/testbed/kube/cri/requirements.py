# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this machine can run the CRI backend at all."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from testbed.kube.cri.layout import cni_directory, find_tool

_TOOLS = ("containerd", "containerd-shim-runc-v2", "ctr", "runc", "ip", "busybox")
# linux/capability.h; a root user inside an ordinary container lacks these.
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}


def available() -> str | None:
    """Return why pods cannot run as containers here, or None when they can."""
    if os.geteuid() != 0:
        return "real containers need root"
    missing = [name for name, bit in _CAPABILITIES.items() if not _effective_capabilities() >> bit & 1]
    if missing:
        return f"this root user lacks {' and '.join(missing)}"
    missing = [tool for tool in _TOOLS if find_tool(tool) is None]
    if missing:
        return (
            f"not installed: {', '.join(missing)} (Debian: containerd runc containernetworking-plugins busybox-static)"
        )
    if cni_directory() is None:
        return "the CNI plugins bridge and host-local are not installed (Debian: containernetworking-plugins)"
    if not _is_static(Path(find_tool("busybox") or "")):
        return "busybox is linked dynamically and cannot run alone in an image (Debian: busybox-static)"
    for module, package in (("grpc", "grpcio"), ("cri_api", "container-runtime-interface-api")):
        if importlib.util.find_spec(module) is None:
            return f"the Python package {package} is not installed"
    return None


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _is_static(binary: Path) -> bool:
    """Tell whether an ELF file names no interpreter (it would stand within the first page)."""
    with binary.open("rb") as file:
        return b"/ld-" not in file.read(4096)
