# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One containerd for all tests of this folder, and pods that are gone after the test that made them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.kube.cri import CriBackend, available

IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@pytest.fixture(scope="session")
def ip_forwarding() -> str:
    """Whether this machine forwarded packets before any pod was there."""
    return IP_FORWARD.read_text()


@pytest.fixture(scope="session")
def backend(tmp_path_factory: pytest.TempPathFactory, ip_forwarding: str) -> Iterator[CriBackend]:
    """A running CriBackend, or a skip that says why there can be none."""
    assert ip_forwarding == IP_FORWARD.read_text()
    reason = available()
    if reason is not None:
        pytest.skip(f"node tier: {reason}")
    cri = CriBackend(tmp_path_factory.mktemp("cri"))
    try:
        yield cri
    finally:
        cri.close()


@pytest.fixture
def start_pod(backend: CriBackend) -> Iterator[Callable[..., str]]:
    """Start a pod of one container ``main`` (a busybox that stays up, unless told otherwise); return its uid."""
    uids: list[str] = []

    def start(spec: dict[str, Any] | None = None, **container: Any) -> str:
        uid = str(uuid.uuid4())
        containers = [{"name": "main", "image": "testbed", **container}]
        uids.append(uid)
        backend.create(
            {
                "metadata": {"uid": uid, "name": f"pod-{uid[:8]}", "namespace": "default"},
                "spec": {"containers": containers, **(spec or {})},
            }
        )
        return uid

    yield start
    for uid in uids:
        backend.delete(uid, 0)
