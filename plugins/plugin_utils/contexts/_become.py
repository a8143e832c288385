# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a command as another user, through Ansible's become plugins, without touching its data stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ._base import BecomeDialog


class BecomePlugin(Protocol):
    """The part of ``ansible.plugins.become.BecomeBase`` that is used here."""

    name: str
    success: str
    prompt: str | bool

    def build_become_command(self, cmd: str, shell: Any) -> str: ...

    def check_password_prompt(self, b_output: bytes) -> bool: ...

    def check_incorrect_password(self, b_output: bytes) -> bool: ...

    def check_missing_password(self, b_output: bytes) -> bool: ...

    def get_option(self, option: str, hostvars: Mapping[str, Any] | None = None) -> Any: ...


class _StderrEcho:
    """A shell plugin whose ``echo`` goes to stderr.

    A become plugin announces its success with the shell's ECHO on stdout, which here is the data.
    """

    ECHO = "echo 1>&2"

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shell, name)


def wrap(plugin: BecomePlugin, shell: Any, command: str) -> tuple[str, BecomeDialog]:
    """Return ``command`` as run by the become plugin, and how to talk to it while it starts."""
    line = plugin.build_become_command(command, _StderrEcho(shell))
    password = plugin.get_option("become_pass")
    success = plugin.success.encode()

    prompt = plugin.prompt.strip().encode() if isinstance(plugin.prompt, str) else None

    def asks(output: bytes) -> bool:
        if prompt is None:  # the method recognises its prompts itself
            return plugin.check_password_prompt(output)
        # The plugin makes a new prompt for each command, and may have made another one since. It is empty where no
        # password is known, and then nothing is to be asked for.
        return bool(prompt) and any(line.strip().startswith(prompt) for line in output.splitlines())

    def refused(output: bytes) -> bool:
        return plugin.check_incorrect_password(output) or plugin.check_missing_password(output)

    dialog = BecomeDialog(
        user=plugin.get_option("become_user") or "root",
        method=plugin.name,
        success=success,
        password=str(password).encode() if password else None,
        asks=asks,
        refused=refused,
    )
    return line, dialog
