# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbooks against SSH hosts of the test bed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from testbed.fixtures import ON_BOTH_TIERS
from testbed.inventory import Inventory
from testbed.processes import await_exit, naming
from testbed.ssh.host import SshHost
from testbed.ssh.masters import sockets_in

pytestmark = pytest.mark.parametrize("tier", ON_BOTH_TIERS)
Hosts = Callable[..., SshHost]
Inventories = Callable[..., Inventory]


@pytest.fixture(autouse=True)
def _tier(tier: object) -> None:
    """The marks of the parameter choose the servers."""


def test_a_playbook_reaches_its_host_and_its_results_come_back(ssh_host: Hosts, inventory: Inventories) -> None:
    host = ssh_host("alpha")
    result = inventory(host).run_playbook(
        """
        - hosts: alpha
          gather_facts: false
          tasks:
            - name: Say where we are
              ansible.builtin.command: sh -c 'echo $HOME; exit 3'
              register: said
              failed_when: said.rc != 3
            - name: Copy a file
              ansible.builtin.copy: {content: "{{ text }}", dest: "{{ said.stdout }}/note", mode: "0600"}
        """,
        extra_vars={"text": "from a variable"},
    )
    result.check()
    assert result.task("Say where we are").result["stdout"] == str(host.data)
    assert result.task("Copy a file", "alpha").changed
    assert (host.data / "note").read_text() == "from a variable"


def test_closing_the_inventory_closes_the_masters_that_ansible_keeps(ssh_host: Hosts, inventory: Inventories) -> None:
    made = inventory(ssh_host("alpha"))
    made.run_playbook("[{hosts: alpha, gather_facts: false, tasks: [{ansible.builtin.raw: 'true'}]}]").check()
    [master] = sockets_in(made.control_path_directory)
    pids = naming(str(master))
    assert pids
    made.close()
    assert await_exit(pids, 0.01) == []
    assert sockets_in(made.directory) == []


def test_a_failed_task_is_reported_with_its_result(ssh_host: Hosts, inventory: Inventories) -> None:
    result = inventory(ssh_host("alpha")).run_playbook(
        """
        - hosts: alpha
          gather_facts: false
          tasks:
            - {name: Fail, ansible.builtin.command: "false"}
        """
    )
    assert result.rc == 2
    assert result.task("Fail").status == "failed"
    assert result.task("Fail").result["rc"] == 1


def test_ctrl_c_ends_a_running_play(ssh_host: Hosts, inventory: Inventories) -> None:
    host = ssh_host("alpha")
    os.mkfifo(host.data / "begun")
    play = inventory(host).play_async(
        """
        - hosts: alpha
          gather_facts: false
          tasks:
            - {name: Begin, ansible.builtin.raw: "true"}
            - {name: Block, ansible.builtin.raw: "echo > {{ folder }}/begun; exec sleep 1000"}
        """,
        extra_vars={"folder": str(host.data)},
    )
    # not earlier: Python drops an interrupt that arrives while Ansible forks its worker
    (host.data / "begun").read_text()
    play.interrupt()
    result = play.wait(30)
    assert result.rc in (99, -signal.SIGINT), result.describe()
    assert [task.task for task in result.tasks] == ["Begin"]
