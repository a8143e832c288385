# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded server as a program of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.ssh.host import write_known_hosts
from testbed.ssh.keys import make_key

pytestmark = pytest.mark.embedded
TESTS = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_serves_until_it_is_signalled_and_ends_its_sessions(tmp_path: Path, number: signal.Signals) -> None:
    key = make_key(tmp_path / "id")
    data = tmp_path / "data"
    data.mkdir()
    os.mkfifo(data / "begun")
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "testbed.ssh.embedded", "--data", str(data)),
            *("--authorized-key", str(tmp_path / "id.pub")),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ) | {"PYTHONPATH": str(TESTS)},
    ) as server:
        assert server.stdout is not None
        address, _space, host_key = server.stdout.readline().partition(" ")
        destination, port = address.split(":")
        write_known_hosts(tmp_path / "known", host_key, [int(port)])
        options = ["-F", "none", "-o", f"UserKnownHostsFile={tmp_path / 'known'}", "-i", str(key.private_path)]
        client = subprocess.Popen(
            ["ssh", *options, "-p", port, destination, "echo $$ > begun; exec sleep 1000"], stderr=subprocess.PIPE
        )
        assert (data / "begun").read_text().strip().isdigit()
        server.send_signal(number)
        try:
            client.communicate(timeout=30)
            assert client.returncode == 255
            assert server.wait(30) == 0
        finally:
            client.kill()
            server.kill()
