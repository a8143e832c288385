# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._passing import may_pass


@pytest.mark.parametrize(
    "cause",
    [
        "ssh: connect to host a port 22: Connection refused",
        "kex_exchange_identification: read: Connection reset by peer",
        "the login did not end within 60 seconds",
        "dial tcp 10.0.0.1:6443: i/o timeout",
        "pod/web is not ready: ContainerCreating",
        "it ended before its turn (the connection's exit status is 255)",
    ],
)
def test_what_may_be_over_soon_is_known(cause: str) -> None:
    assert may_pass(cause)


@pytest.mark.parametrize(
    "cause",
    [
        "the SSH server refused the login (deploy@a: Permission denied (publickey).)",
        "the host key is unknown or has changed",
        "becoming root by sudo: the password was refused",
        "ssh: Could not resolve hostname alpha: Name or service not known",
        'Error from server (NotFound): pods "web" not found',
        "/data/x does not exist",
    ],
)
def test_what_stays_is_not_tried_again(cause: str) -> None:
    assert not may_pass(cause)
