# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images made on the spot, because a test may not depend on a registry.

Both are docker-archives (``docker save``'s format): a manifest, a configuration and one layer.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.kube.backend import BackendError
from testbed.kube.cri.layout import find_tool

BUSYBOX = "docker.io/testbed/busybox:1"
DEBIAN = "docker.io/testbed/debian:1"
STAY_UP = "docker.io/testbed/testbed:1"
"""Busybox again, but a container of it stays up when it is given no command."""

# Part of the cache key: raise it when the recipe below changes.
_DEBIAN_RECIPE = "1"
_DEBIAN_PACKAGES = ("zstd", "procps")
_DEBIAN_SECONDS = 600.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself: its name and the command of a container that names none."""

    reference: str
    command: tuple[str, ...]


def resolve(image: str) -> str:
    """Return the reference of the image meant by a pod's ``image``: the last part of its path decides.

    So ``busybox``, ``busybox:1.36`` and ``registry.example/busybox`` are all the one we can make.

    :raises BackendError: it is none of ours.
    """
    known = {"busybox": BUSYBOX, "debian": DEBIAN, "testbed": STAY_UP}
    short = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if short not in known:
        raise BackendError(f'image "{image}" cannot be pulled here; known are {", ".join(known)}')
    return known[short]


def write_archive(target: Path, layer: Path, images: Sequence[ImageConfig]) -> None:
    """Write a docker-archive whose images all consist of one uncompressed tar ``layer``."""
    with layer.open("rb") as file:
        diff_id = hashlib.file_digest(file, "sha256").hexdigest()
    manifest = []
    with tarfile.open(target, "w") as archive:
        archive.add(layer, "layer.tar", filter=_anonymous)
        for image in images:
            config = json.dumps(_config(image, diff_id)).encode()
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_bytes(archive, name, config)
            manifest.append({"Config": name, "RepoTags": [image.reference], "Layers": ["layer.tar"]})
        _add_bytes(archive, "manifest.json", json.dumps(manifest).encode())


def _config(image: ImageConfig, diff_id: str) -> dict[str, object]:
    return {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Env": [_PATH], "Cmd": list(image.command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
    }


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    archive.addfile(info, io.BytesIO(data))


def _add_directory(archive: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    archive.addfile(info)


def busybox_archive(directory: Path) -> Path:
    """Make the busybox images, which differ in their command only: 2 MB, 0.1 s."""
    busybox = Path(find_tool("busybox") or "busybox")
    listing = subprocess.run([busybox, "--list-full"], capture_output=True, check=True, text=True)
    layer, target = directory / "busybox-layer.tar", directory / "busybox.tar"
    with tarfile.open(layer, "w") as archive:
        for name in ("bin", "sbin", "usr", "usr/bin", "usr/sbin", "dev", "etc", "proc", "root", "sys", "var"):
            _add_directory(archive, name)
        for name in ("tmp", "var/tmp"):
            _add_directory(archive, name, 0o1777)
        _add_bytes(archive, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        _add_bytes(archive, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
        _add_bytes(archive, "bin/busybox", busybox.read_bytes(), 0o755)
        for applet in sorted(set(listing.stdout.split()) - {"bin/busybox"}):
            link = tarfile.TarInfo(applet)
            link.type, link.linkname = tarfile.SYMTYPE, "/bin/busybox"
            archive.addfile(link)
    stay_up = ImageConfig(STAY_UP, ("/bin/sleep", "infinity"))
    write_archive(target, layer, [ImageConfig(BUSYBOX, ("/bin/sh",)), stay_up])
    layer.unlink()
    return target


def cache_directory() -> Path:
    """Return the folder of images that are worth keeping between runs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "manifold-core" / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def debian_archive() -> Path:
    """Return a Debian image with GNU userland, made by mmdebstrap from this machine's own apt sources.

    Takes about half a minute when it is not in the cache yet.
    """
    sources = debian_sources()
    key = hashlib.sha256("\n".join([_DEBIAN_RECIPE, platform.machine(), *_DEBIAN_PACKAGES, *sources]).encode())
    folder = cache_directory()
    target = folder / f"debian-{key.hexdigest()[:16]}.tar"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once: one builds, the other waits for it
        if not target.exists():
            _build_debian(target, sources)
    return target


def debian_sources() -> list[str]:
    """Return this machine's apt sources of Debian itself, as lines of a sources.list."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"]
    try:
        listing = subprocess.run([*command, "Created-By: Packages"], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        raise BackendError(f"the Debian image needs a Debian machine: {exc}") from exc
    sources = [line.partition(" ")[2] for line in listing.stdout.splitlines() if line.startswith("Debian ")]
    if not sources:
        raise BackendError("apt knows no source of Debian packages here; run 'apt-get update' first")
    return sorted(set(sources))


def _build_debian(target: Path, sources: Sequence[str]) -> None:
    mmdebstrap = find_tool("mmdebstrap")
    if mmdebstrap is None:
        raise BackendError("the Debian image needs mmdebstrap (Debian: mmdebstrap)")
    layer, unfinished = target.with_suffix(".layer"), target.with_suffix(".part")
    command = [mmdebstrap, "--quiet", "--variant=minbase", "--format=tar", f"--include={','.join(_DEBIAN_PACKAGES)}"]
    for path in ("doc/*", "man/*", "locale/*"):
        command.append(f"--dpkgopt=path-exclude=/usr/share/{path}")
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    try:
        done = subprocess.run(
            [*command, suite, str(layer), *sources],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_DEBIAN_SECONDS,
            check=False,
            text=True,
        )
        if done.returncode != 0:
            raise BackendError(f"mmdebstrap ended with {done.returncode}: {done.stderr[-2000:]}")
        write_archive(unfinished, layer, [ImageConfig(DEBIAN, ("/bin/bash",))])
        unfinished.replace(target)
    finally:
        layer.unlink(missing_ok=True)
        unfinished.unlink(missing_ok=True)
