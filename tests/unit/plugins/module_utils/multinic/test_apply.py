# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps that a daemon may keep from working for a moment."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic import _apply
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._steps import Command
from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System

OFF = "Error: ipv6: IPv6 is disabled on this device."
SIX = Command(("ip", "address", "replace", "2001:db8::7/64", "dev", "multinic4"))


class Refusing(System):
    """A node whose ip fails so many times."""

    def __init__(self, times: int, says: str) -> None:
        super().__init__()
        self.left, self.says, self.ran = times, says, 0

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        del argv, timeout
        self.ran += 1
        self.left -= 1
        return Ran(2, "", self.says) if self.left >= 0 else Ran(0, "", "")

    def which(self, command: str) -> str | None:
        return command


@pytest.mark.parametrize("says", [OFF, "RTNETLINK answers: Permission denied"])
def test_an_ipv6_address_waits_until_it_is_allowed(says: str) -> None:
    node = Refusing(3, says)
    _apply.perform(node, SIX)
    assert node.ran == 4


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (SIX, "Cannot find device"),
        (Command(("ip", "address", "replace", "192.0.2.7/24", "dev", "multinic4")), "Permission denied"),
        (Command(("ip", "link", "set", "dev", "multinic4", "up")), "Permission denied"),
    ],
)
def test_nothing_else_is_tried_again(step: Command, says: str) -> None:
    node = Refusing(1, says)
    with pytest.raises(NodeError, match=says):
        _apply.perform(node, step)
    assert node.ran == 1


def test_a_link_that_must_not_have_ipv6_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_apply, "_PATIENCE", 0.0)
    with pytest.raises(NodeError, match=r"ip address replace 2001:db8::7/64 dev multinic4: .*IPv6 is disabled"):
        _apply.perform(Refusing(1 << 30, OFF), SIX)
