# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes of a pod as folders on this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cri_api.v1 import api_pb2 as cri

from testbed.kube.backend import BackendError
from testbed.kube.cri.podspec import mount, parse_quantity
from testbed.kube.cri.sweep import unmount_below


class Volumes:
    """Makes the ``volumes`` of one pod below ``directory`` and hands out the mounts of its containers."""

    def __init__(self, pod: dict[str, Any], directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o755, parents=True)
        self._paths = {volume["name"]: self._provide(volume) for volume in pod["spec"].get("volumes", ())}

    def mounts(self, container: dict[str, Any]) -> list[cri.Mount]:
        """Return the bind mounts of one container."""
        mounts = []
        for entry in container.get("volumeMounts", ()):
            if entry["name"] not in self._paths:
                raise BackendError(f'container {container["name"]} mounts the unknown volume "{entry["name"]}"')
            path = self._paths[entry["name"]] / entry.get("subPath", "")
            if "subPath" in entry:
                path.mkdir(parents=True, exist_ok=True)
            mounts.append(mount(entry, str(path)))
        return mounts

    def _provide(self, volume: dict[str, Any]) -> Path:
        if "hostPath" in volume:
            return host_path(volume["name"], volume["hostPath"])
        if "emptyDir" in volume:
            return self._empty_dir(volume["name"], volume["emptyDir"] or {})
        kinds = ", ".join(sorted(set(volume) - {"name"}))
        raise BackendError(f'volume "{volume["name"]}" is of a kind that does not exist here: {kinds}')

    def _empty_dir(self, name: str, source: dict[str, Any]) -> Path:
        path = self._directory / name
        path.mkdir()
        if source.get("medium") == "Memory":
            options = "mode=0777"
            if "sizeLimit" in source:
                options += f",size={int(parse_quantity(source['sizeLimit']))}"
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
        path.chmod(0o777)
        return path

    def close(self) -> None:
        """Unmount what is mounted; the files go with the pod's folder."""
        unmount_below(self._directory)


_HOST_PATH_CHECKS: dict[str, Callable[[Path], bool]] = {
    "Directory": Path.is_dir,
    "File": Path.is_file,
    "Socket": Path.is_socket,
    "CharDevice": Path.is_char_device,
    "BlockDevice": Path.is_block_device,
}


def host_path(name: str, source: dict[str, Any], root: Path = Path("/")) -> Path:
    """Return the path of a ``hostPath`` volume below a machine's root, made where its type says so; or BackendError."""
    path, kind = root / str(source["path"]).lstrip("/"), source.get("type", "")
    if kind == "DirectoryOrCreate":
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(mode=0o644)
    elif kind and not _HOST_PATH_CHECKS[kind](path):
        raise BackendError(f'volume "{name}": hostPath type check failed: {source["path"]} is not a {kind}')
    return path
