# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where one run of the CRI backend keeps its files, and what its names are."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunLayout:
    """The paths of one run; everything containerd, CNI and runc write is below ``directory``.

    ``name`` is unique on this machine and short enough (IFNAMSIZ) to name the bridge; it also names the
    CNI network and the parent of the pods' control groups, so that a sweep can tell ours from others.
    """

    directory: Path
    name: str

    @property
    def config(self) -> Path:
        """containerd's configuration."""
        return self.directory / "config.toml"

    @property
    def socket(self) -> Path:
        """containerd's gRPC socket."""
        return self.directory / "c.sock"

    @property
    def root(self) -> Path:
        """containerd's persistent files: image content and snapshots."""
        return self.directory / "root"

    @property
    def state(self) -> Path:
        """containerd's runtime files: bundles, mounted root filesystems, network namespaces."""
        return self.directory / "state"

    @property
    def runc_root(self) -> Path:
        """The root that the shim hands to runc; runc's own one is this plus the containerd namespace."""
        return self.directory / "runc"

    @property
    def cni_conf(self) -> Path:
        """The folder with the one CNI network configuration."""
        return self.directory / "cni"

    @property
    def ipam(self) -> Path:
        """The address leases of the ``host-local`` CNI plugin."""
        return self.directory / "ipam"

    @property
    def images(self) -> Path:
        """Image archives made for this run."""
        return self.directory / "images"

    def bundle(self, container: str) -> Path:
        """Where the shim keeps the OCI bundle of a running container."""
        return self.state / "io.containerd.runtime.v2.task" / "k8s.io" / container

    def pod(self, uid: str) -> Path:
        """The emptyDir volumes and other files of one pod."""
        return self.directory / "pods" / uid

    def termination(self, uid: str, container: str) -> Path:
        """The file that a container finds at its terminationMessagePath."""
        return self.pod(uid) / ".termination" / container

    def logs(self, uid: str) -> Path:
        """The container logs of one pod."""
        return self.directory / "logs" / uid


def find_tool(name: str) -> str | None:
    """Return the path of a program, also looking where a plain user's PATH does not lead."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def cni_directory() -> Path | None:
    """Return the folder of the CNI plugins: Debian's, or the one upstream recommends."""
    for folder in (Path("/usr/lib/cni"), Path("/opt/cni/bin")):
        if (folder / "bridge").exists() and (folder / "host-local").exists():
            return folder
    return None
