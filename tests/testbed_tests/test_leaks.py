# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._direct import DirectExec
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._kubectl import Access, Kubectl

from testbed.kube.kubectl import find_kubectl
from testbed.leaks import find_leaks, snapshot


@pytest.mark.embedded
def test_an_exec_client_that_was_not_ended_is_a_leak(tmp_path: Path) -> None:
    names = {"cluster": "x", "user": "x"}
    document = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": names}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(document))
    access = Access((find_kubectl(),), (str(tmp_path / "kubeconfig"),))
    direct = DirectExec("prod", access)

    def left() -> list[str]:
        return [line for line in find_leaks(snapshot(), None, patience=0) if "_exec_client" in line]

    direct.prepare(Kubectl("prod", access).launch(()))
    try:
        assert len(left()) == 1
    finally:
        direct.close()
    assert left() == []
