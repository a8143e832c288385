# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.loader import become_loader, get_shell_plugin
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._become import wrap

from unit.become import MISSING, PROMPT, SUCCESS, WRONG, FakeBecome

_SUDO = """#!/bin/sh
while :; do
  case "$1" in -p) prompt=$2; shift 2 ;; -u) user=$2; shift 2 ;; -*) shift ;; *) break ;; esac
done
printf %s "$prompt" >&2
IFS= read -r password
[ "$password" = "open sesame" ] || { echo "Sorry, try again." >&2; exit 1; }
BECAME=$user; export BECAME
exec "$@"
"""


def _wrap(**options: Any) -> Any:
    return wrap(FakeBecome("secret", **options), get_shell_plugin("sh", "/bin/sh"), "cat")[1]


def test_the_prompt_is_known_wherever_it_comes() -> None:
    dialog = _wrap()
    assert dialog.asks(PROMPT.encode())
    assert dialog.asks(b"a remark of the login\n" + PROMPT.encode())
    assert not dialog.asks(b"")
    assert not dialog.asks(PROMPT.encode()[:-3])


def test_a_method_may_know_its_own_prompts() -> None:
    dialog = _wrap(prompts=False)
    assert dialog.asks(b"Password for somebody: ")
    assert not dialog.asks(b"Welcome")


@pytest.mark.parametrize("said", [WRONG, MISSING])
def test_a_refusal_is_known(said: str) -> None:
    assert _wrap().refused(f"x\n{said}\n".encode())
    assert not _wrap().refused(b"x\n")


def test_a_dialog_says_who_and_how_and_with_what() -> None:
    dialog = _wrap()
    assert (dialog.user, dialog.method, dialog.password) == ("somebody", "fake", b"secret")
    assert dialog.success == SUCCESS.encode()
    assert wrap(FakeBecome(None), get_shell_plugin("sh", "/bin/sh"), "cat")[1].password is None


@pytest.mark.parametrize("password", ["open sesame", "wrong"])
def test_the_success_of_a_real_plugin_is_said_on_stderr(tmp_path: Path, password: str) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text(_SUDO)
    sudo.chmod(0o755)
    plugin = become_loader.get("ansible.builtin.sudo")
    plugin.set_options(direct={"become_exe": str(sudo), "become_user": "deploy", "become_pass": password})
    line, dialog = wrap(plugin, get_shell_plugin("sh", "/bin/sh"), "printf '%s ' \"$BECAME\" it\\'s; cat")
    data = password.encode() + b"\nrest of the input"
    done = subprocess.run(["/bin/sh", "-c", line], input=data, capture_output=True, check=False)
    assert dialog.asks(done.stderr)
    assert dialog.user == "deploy"
    if password == "open sesame":
        assert done.stdout == b"deploy it's rest of the input"
        assert dialog.success in done.stderr
        assert not dialog.refused(done.stderr)
    else:
        assert done.stdout == b""
        assert dialog.refused(done.stderr)
    assert password.encode() not in line.encode()
