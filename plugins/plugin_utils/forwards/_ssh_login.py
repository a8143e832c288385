# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it takes to log in to an SSH host without Ansible: plain values that travel as JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_KEPT = ("HOME", "PATH", "USER", "LOGNAME", "SSH_AUTH_SOCK", "KRB5CCNAME", "LANG", "LC_ALL", "DISPLAY")
"""What ssh, the programs it starts and its messages go by."""


@dataclass(frozen=True)
class SshLogin:
    """How to start ssh to a host."""

    context: str
    argv: tuple[str, ...]
    """ssh and its options."""
    destination: str
    folder: str
    """Where relative paths in the options start."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its environment has to say, whatever the supervisor's own says."""
    password: str = field(default="", repr=False)
    prompt: str = "assword"
    """A part of the prompt that the password is the answer to."""

    def parameters(self) -> dict[str, Any]:
        """Return it as what JSON can hold; the password is among it."""
        return {
            "context": self.context,
            "argv": list(self.argv),
            "destination": self.destination,
            "folder": self.folder,
            "environment": dict(self.environment),
            "password": self.password,
            "prompt": self.prompt,
        }

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> SshLogin:
        """Return what ``parameters`` was made from."""
        return cls(**{**parameters, "argv": tuple(parameters["argv"])})


def kept_environment() -> dict[str, str]:
    """Return the part of this process's environment that a login goes by."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ}
