# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes of pods, a full disk among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.kube.backend import BackendError, ExecRequest
from testbed.kube.cri import CriBackend

pytestmark = pytest.mark.node

StartPod = Callable[..., str]


def run(backend: CriBackend, uid: str, script: str, container: str = "main") -> tuple[int, str]:
    """Run a shell script; return its exit code and its stderr."""
    request = ExecRequest(container, ("sh", "-c", script), stdin=False, stdout=False, stderr=True)
    with backend.exec(uid, request) as process:
        assert process.stderr is not None
        errors = process.stderr.read().decode()
        return process.wait(60), errors


def volume(source: dict[str, Any], **mount: Any) -> dict[str, Any]:
    """Return arguments for a pod with one volume at ``/data``."""
    return {
        "spec": {"volumes": [{"name": "v", **source}]},
        "volumeMounts": [{"name": "v", "mountPath": "/data", **mount}],
    }


def test_a_tmpfs_of_limited_size_gets_full(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod(**volume({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}))
    code, errors = run(backend, uid, "dd if=/dev/zero of=/data/file bs=4096 count=1000")
    assert code != 0
    assert "No space left on device" in errors
    assert run(backend, uid, "test $(stat -c %s /data/file) = 1048576")[0] == 0


def test_an_empty_dir_is_shared_by_the_containers_of_a_pod(backend: CriBackend, start_pod: StartPod) -> None:
    mounts = [{"name": "v", "mountPath": "/data"}]
    containers = [{"name": name, "image": "testbed", "volumeMounts": mounts} for name in ("main", "side")]
    uid = start_pod({"volumes": [{"name": "v", "emptyDir": {}}], "containers": containers})
    assert run(backend, uid, "echo shared > /data/file")[0] == 0
    assert run(backend, uid, "grep -q shared /data/file", "side")[0] == 0


def test_a_host_path_is_the_hosts(backend: CriBackend, start_pod: StartPod, tmp_path: Path) -> None:
    uid = start_pod(**volume({"hostPath": {"path": str(tmp_path), "type": "Directory"}}))
    assert run(backend, uid, "echo hello > /data/file")[0] == 0
    assert (tmp_path / "file").read_text() == "hello\n"


def test_a_read_only_mount_cannot_be_written(backend: CriBackend, start_pod: StartPod, tmp_path: Path) -> None:
    uid = start_pod(**volume({"hostPath": {"path": str(tmp_path)}}, readOnly=True))
    assert "Read-only file system" in run(backend, uid, "touch /data/file")[1]


def test_a_read_only_root_cannot_be_written(backend: CriBackend, start_pod: StartPod) -> None:
    uid = start_pod(securityContext={"readOnlyRootFilesystem": True})
    assert "Read-only file system" in run(backend, uid, "touch /file")[1]


def test_only_a_privileged_container_may_mount(backend: CriBackend, start_pod: StartPod) -> None:
    script = "mount -t tmpfs none /mnt"
    plain = start_pod()
    assert run(backend, plain, f"mkdir /mnt && {script}")[0] != 0
    privileged = start_pod(securityContext={"privileged": True})
    assert run(backend, privileged, f"mkdir /mnt && {script}") == (0, "")


def test_a_missing_host_path_stops_the_pod(start_pod: StartPod, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"nowhere is not a Directory"):
        start_pod(**volume({"hostPath": {"path": str(tmp_path / "nowhere"), "type": "Directory"}}))


def test_a_kind_of_volume_that_is_not_there_is_refused(start_pod: StartPod) -> None:
    with pytest.raises(BackendError, match="configMap"):
        start_pod(**volume({"configMap": {"name": "x"}}))
