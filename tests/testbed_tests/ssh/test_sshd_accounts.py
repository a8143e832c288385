# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of their own on a real sshd: passwords, sudo, limits."""

from __future__ import annotations

import pwd
import shlex
import subprocess
from collections.abc import Callable

import pytest

from testbed.bed import Bed
from testbed.inventory import Inventory
from testbed.run import Run
from testbed.ssh.accounts import Sudo, sudoers_path
from testbed.ssh.host import SshHost

pytestmark = pytest.mark.node
Hosts = Callable[..., SshHost]
PASSWORD = "pass word'\"$"


def sshpass(host: SshHost, password: str, command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with a password typed by sshpass."""
    return subprocess.run(
        ["sshpass", "-d0", *host.ssh_argv(), command],
        input=password.encode() + b"\n",
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_password_opens_the_door_and_a_wrong_one_does_not(ssh_host: Hosts) -> None:
    host = ssh_host("alpha", password=PASSWORD)
    assert sshpass(host, PASSWORD, "id -un").stdout.decode().strip() == host.user
    assert sshpass(host, "wrong", "id -un").returncode == 5  # sshpass(1): invalid password


def test_ansible_logs_in_and_becomes_root_by_password(ssh_host: Hosts, inventory: Callable[..., Inventory]) -> None:
    host = ssh_host("alpha", password=PASSWORD, sudo=Sudo.PASSWORD)
    assert sshpass(host, PASSWORD, "sudo -n id -un").returncode != 0
    result = inventory(host, variables={"alpha": {"ansible_become_password": host.become_password}}).run_playbook(
        """
        - hosts: alpha
          gather_facts: false
          become: true
          tasks:
            - {name: Who, ansible.builtin.command: id -un}
        """
    )
    assert result.check().task("Who").result["stdout"] == "root"


def test_sudo_needs_no_password_where_the_rule_says_so(ssh_host: Hosts) -> None:
    assert ssh_host("alpha", sudo=Sudo.NO_PASSWORD).run("sudo -n id -un").stdout == b"root\n"


def test_sudo_is_refused_without_a_rule(ssh_host: Hosts) -> None:
    host = ssh_host("alpha", password=PASSWORD)
    done = sshpass(host, PASSWORD, f"echo {shlex.quote(PASSWORD)} | sudo -S id -un")
    assert done.returncode != 0
    assert b"not in the sudoers file" in done.stderr


def test_a_session_above_the_limit_is_refused(ssh_host: Hosts) -> None:
    host = ssh_host("alpha", max_sessions=0)
    done = host.run("true")
    assert done.returncode == 255


def test_user_and_rule_are_gone_afterwards_even_if_it_still_runs_something(testbed_run: Run) -> None:
    with Bed(testbed_run) as bed:
        from testbed.tier import Tier

        host = bed.ssh_host("alpha", tier=Tier.NODE, sudo=Sudo.NO_PASSWORD)
        assert host.run("setsid sleep 1000 > /dev/null 2>&1 < /dev/null &").returncode == 0
        assert pwd.getpwnam(host.user).pw_dir == str(host.data)
        assert sudoers_path(host.user).exists()
    with pytest.raises(KeyError):
        pwd.getpwnam(host.user)
    assert not sudoers_path(host.user).exists()
