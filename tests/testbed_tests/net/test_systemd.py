# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real systemd on a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.net.node import Node
from testbed.net.systemd import Systemd

pytestmark = pytest.mark.node


@pytest.fixture
def systemd(node: Callable[..., Node]) -> Iterator[Systemd]:
    running = Systemd(node())
    yield running
    running.close()


def test_a_timer_goes_off_and_leaves_the_machine_alone(systemd: Systemd, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.touch()
    started = systemd.run(["systemd-run", "--on-active=0.1s", "--timer-property=AccuracySec=9ms", "touch", "/run/done"])
    assert started.returncode == 0, started.stderr
    systemd.wait("the timer", (systemd.node.root / "run/done").exists)
    assert kept.exists(), "a boot empties /tmp"
    loaded = systemd.run(["systemctl", "list-units", "--plain", "--no-legend", "--type=service"]).stdout.decode()
    assert "systemd-" not in loaded


def test_nothing_is_left_when_it_is_closed(systemd: Systemd) -> None:
    cgroup = systemd.cgroup
    assert cgroup.exists()
    systemd.close()
    assert not cgroup.exists()
