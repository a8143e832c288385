# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian image: GNU userland in a container. Made once per machine, which takes half a minute."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testbed.kube.backend import ExecRequest
from testbed.kube.cri import CriBackend
from testbed.kube.cri.layout import find_tool

pytestmark = pytest.mark.node


@pytest.mark.timeout(600)
def test_the_debian_image_has_gnu_tools(backend: CriBackend, start_pod: Callable[..., str]) -> None:
    if find_tool("mmdebstrap") is None:
        pytest.skip("mmdebstrap is not installed")
    uid = start_pod(image="debian", command=["sleep", "infinity"])
    script = "tar --version && dd --version && bash --version && zstd --version && ps --version"
    request = ExecRequest("main", ("bash", "-ec", script), stdin=False, stdout=True, stderr=True)
    with backend.exec(uid, request) as process:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for expected in (b"tar (GNU tar)", b"dd (coreutils)", b"GNU bash", b"Zstandard", b"procps"):
        assert expected.lower() in output.lower()
