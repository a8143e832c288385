# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._session import connected_addresses


def process(proc: Path, pid: str, parent: str, *environment: str) -> None:
    """Make a process."""
    (proc / pid).mkdir()
    (proc / pid / "environ").write_bytes(b"\0".join(each.encode() for each in environment))
    (proc / pid / "status").write_text(f"Name:\tpython\nPPid:\t{parent}\n")


@pytest.mark.parametrize(
    ("variable", "found"),
    [
        ("SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22", ("192.0.2.1",)),
        ("SSH_CONNECTION=fe80::9%eth0 50000 fe80::1%eth0 22", ("fe80::1",)),
        ("SSH_CONNECTION=nonsense", ()),
        ("PATH=/bin", ()),
    ],
)
def test_the_address_is_that_of_the_ssh_session_whoever_forgot_it(
    tmp_path: Path, variable: str, found: tuple[str, ...]
) -> None:
    """sudo takes the variable away; a parent still has it."""
    process(tmp_path, "30", "20", "PATH=/bin")
    process(tmp_path, "20", "10", "HOME=/root", variable)
    process(tmp_path, "10", "0")
    assert connected_addresses("30", tmp_path) == found


def test_what_cannot_be_read_ends_the_search(tmp_path: Path) -> None:
    process(tmp_path, "30", "20", "SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22")
    assert connected_addresses("30", tmp_path) == ("192.0.2.1",)
