# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of user that a test controls: asks for a password on stderr, reads it from stdin, then runs the command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

PROMPT = "[fake] password:"
SUCCESS = "BECOME-SUCCESS-fake"
WRONG = "Sorry, try again."
MISSING = "a password is required"


class FakeBecome:
    """Stands in for a become plugin; the program behind it expects ``expected``."""

    name = "fake"

    def __init__(self, password: str | None, expected: str = "secret", *, prompts: bool = True) -> None:
        self.success = SUCCESS
        self.prompt: str | bool = PROMPT if prompts else False
        self._password = password
        self._expected = expected
        self._line = PROMPT if prompts else "Password for somebody: "

    def build_become_command(self, cmd: str, shell: Any) -> str:
        """Return what asks, and then announces its success with the shell's ECHO, as Ansible's plugins do."""
        inner = f"{shell.ECHO} {SUCCESS} ; {cmd}"
        return (
            f"printf %s {shlex.quote(self._line)} >&2; IFS= read -r p || exit 1; "
            f'if [ -z "$p" ]; then echo {shlex.quote(MISSING)} >&2; exit 1; fi; '
            f'if [ "$p" != {shlex.quote(self._expected)} ]; then echo {shlex.quote(WRONG)} >&2; sleep 1000; fi; '
            f"exec /bin/sh -c {shlex.quote(inner)}"
        )

    def check_password_prompt(self, b_output: bytes) -> bool:
        return b"Password for" in b_output

    def check_incorrect_password(self, b_output: bytes) -> bool:
        return WRONG.encode() in b_output

    def check_missing_password(self, b_output: bytes) -> bool:
        return MISSING.encode() in b_output

    def get_option(self, option: str, hostvars: Mapping[str, Any] | None = None) -> Any:  # noqa: ARG002
        return {"become_pass": self._password, "become_user": "somebody"}.get(option)
