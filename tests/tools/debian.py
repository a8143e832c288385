# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian packages of the node tier."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tools import places, processes

_POLICY = Path("/usr/sbin/policy-rc.d")
_PROGRAMS = ("containerd", "runc", "sshd", "busybox")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_no_node_tier(say: Callable[[str], None], log: Path) -> str:
    """Install what the node tier misses; return why it cannot run here, or nothing where it can."""
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which("dpkg-query") and shutil.which("apt-get"):
        absent = missing()
        if absent:
            say(f"Debian packages: installing {' '.join(absent)}")
            install(absent, log)
    lacking = [name for name in _PROGRAMS if not shutil.which(name, path=_SYSTEM_PATH)]
    if lacking:
        return f"{', '.join(lacking)} not found, and this is no Debian to install from"
    namespaces = ["unshare", "--net", "--mount", "true"]
    if subprocess.run(namespaces, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        return "root here may not make network and mount namespaces"
    return ""


def wanted() -> list[str]:
    """Return the names in ``tests/requirements/debian.txt``."""
    lines = (line.split("#", 1)[0].strip() for line in (places.REQUIREMENTS / "debian.txt").read_text().splitlines())
    return [line for line in lines if line]


def missing() -> list[str]:
    """Return the wanted packages that are not installed."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\n", *wanted()]
    shown = subprocess.run(query, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
    installed = {line.split(" ", 1)[1] for line in shown.splitlines() if line.startswith("installed ")}
    return [name for name in wanted() if name not in installed]


def install(names: list[str], log: Path) -> None:
    """Install packages without starting a service of theirs; raise processes.Failed where apt does."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    with places.locked(places.cache_root() / "debian.lock"), _no_services():
        if processes.run(command, cwd=Path("/"), env=env, log=log) == 0:
            return
        processes.must(["apt-get", "update"], cwd=Path("/"), env=env, log=log)
        processes.must(command, cwd=Path("/"), env=env, log=log)


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Refuse the start of services by maintainer scripts (policy-rc.d exits 101), where nobody else does."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
