# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials: what the API asks for, and TLS, without which clients send none."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.kube import Kube
from testbed.kube.kubectl import find_kubectl
from testbed.kube.tls import TlsFront

pytestmark = pytest.mark.embedded


@pytest.fixture
def tls(process_front: Kube, tmp_path: Path) -> Iterator[TlsFront]:
    """TLS in front of an API that asks for credentials."""
    basic = base64.b64encode(b"me:pw").decode()
    process_front.authorizations = frozenset({"Bearer right", f"Basic {basic}"})
    front = TlsFront(process_front.front.port, tmp_path)
    yield front
    front.close()
    process_front.authorizations = None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--token", "right"], ""),
        (["--username", "me", "--password", "pw"], ""),
        (["--token", "wrong"], "You must be logged in to the server"),
    ],
)
def test_a_request_needs_the_right_credentials(
    tls: TlsFront, process_front: Kube, tmp_path: Path, arguments: list[str], said: str
) -> None:
    pod = process_front.pod()
    reach = [find_kubectl(), "--server", tls.url, "--certificate-authority", str(tls.certificate), *arguments]
    empty = {**os.environ, "KUBECONFIG": str(tmp_path / "none"), "KUBECACHEDIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [*reach, "exec", "-i", pod.name, "--", "wc", "-c"],
        env=empty,
        input=bytes(3_000_000),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0, done.stdout.strip()) == ((False, b"") if said else (True, b"3000000"))
    assert said in done.stderr.decode()
    process_front.delete("Pod", pod.name, grace_seconds=0)
