# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._local import LocalContext

from unit.become import FakeBecome


def test_a_command_runs_in_the_shell_of_this_machine() -> None:
    context = LocalContext("local")
    launch = context.launch('printf %s "it\'s"')
    assert subprocess.run(launch.argv, capture_output=True, check=True).stdout == b"it's"
    assert context.kind is ContextKind.LOCAL
    assert not context.counts_input, "a pipe on this machine cannot lose its end"


def test_a_command_may_hold_bytes_that_are_no_text() -> None:
    word = os.fsdecode(b"\xff\x80")
    launch = LocalContext("local").launch(f"printf %s {word}")
    assert subprocess.run(launch.argv, capture_output=True, check=True).stdout == b"\xff\x80"


def test_a_command_may_run_as_another_user() -> None:
    become = FakeBecome("secret")
    launch = LocalContext("local", become=become).launch("echo data")
    assert launch.dialog is not None and launch.dialog.password == b"secret"
    done = subprocess.run(launch.argv, input=b"secret\n", capture_output=True, check=True)
    assert done.stdout == b"data\n", "what the change of user says does not get into the data"
    assert launch.dialog.success in done.stderr


@pytest.mark.parametrize(
    ("status", "output", "cause"),
    [
        (97, "", "the shell was given only a part of its script"),
        (1, "sh: no\n", "sh: no"),
        (-9, "", "the connection ended with status -9 and no message"),
    ],
)
def test_a_shell_that_could_not_start_says_why(status: int, output: str, cause: str) -> None:
    assert LocalContext("local").diagnose(output, status).cause == cause
