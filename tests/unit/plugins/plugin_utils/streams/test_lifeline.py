# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The standard input of a source is its lifeline."""

from __future__ import annotations

import os

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams import _shell
from ansible_collections.manifold.core.plugins.plugin_utils.streams._shell import Surroundings

from unit.support import EVERY_BYTE, NONCE, ScriptRun, Shell, ends, leftovers, processes_with

NOWHERE = Surroundings()
OPERATION = "2026-01-14-170234-1f8a0c3e"
BULK = EVERY_BYTE * 4096
not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def _source(shell: Shell, line: str, surroundings: Surroundings = NOWHERE, nonce: str = NONCE) -> ScriptRun:
    return shell.start(nonce, _shell.source_script(nonce, _shell.shell_command(line), surroundings))


def test_a_source_whose_reader_is_gone_ends_with_all_it_started(shell: Shell) -> None:
    run = _source(shell, "sleep 1000 & echo started; sleep 1000")
    run.go()
    assert run.read_line() == b"started\n"
    members = processes_with(f"MANIFOLD_STAGE={NONCE}")
    assert len(members) >= 2
    run.stdin.close()
    assert all(ends(pid) for pid in members)
    assert ends(run.process.pid)
    run.close()


def test_a_source_that_ignores_the_end_of_its_reader_is_killed(shell: Shell) -> None:
    run = _source(shell, "trap '' TERM HUP; echo started; while :; do sleep 1000; done")
    run.go()
    run.read_line()
    run.stdin.close()
    assert ends(run.process.pid)
    assert not leftovers(f"MANIFOLD_STAGE={NONCE}")
    run.close()


def test_a_source_says_nothing_but_what_its_command_said(shell: Shell) -> None:
    run = _source(shell, "echo said >&2; exit 7")
    run.go()
    assert run.finish_source().stderr == "said\n"
