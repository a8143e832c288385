# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a context of type ssh to what a supervisor needs to forward by it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ..contexts._base import Context
from ..contexts._ssh import SshContext
from ._errors import ForwardError
from ._spec import Direction, ForwardSpec
from ._ssh_login import SshLogin, kept_environment
from ._transport import Way

_FACTORY = "ansible_collections.manifold.core.plugins.plugin_utils.forwards._ssh_transport:ssh_transport"
_PROMPT = "assword"


def ssh_way(context: Context, spec: ForwardSpec) -> Way:
    """Return what leads to the target; raise ForwardError or ContextError if it cannot be had."""
    if not isinstance(context, SshContext):
        raise ForwardError(f"context: '{context.name}' is not of type ssh")
    for port in spec.ports:
        number = port.listen if spec.direction is Direction.REMOTE else port.target
        if not isinstance(number, int):
            raise ForwardError(f"ports: '{number}' has to be a number where the context is of type ssh")
    command, words = context.own_connection()
    login = SshLogin(
        context=context.name,
        argv=tuple(os.fsdecode(word) for word in words),
        destination=command.destination,
        folder=str(Path.cwd()),
        environment=kept_environment(),
        password=command.password,
        prompt=command.prompt or _PROMPT,
    )
    return Way(_FACTORY, login.parameters(), _place(login))


def _place(login: SshLogin) -> str:
    """Return a digest of where the login leads, and as whom; how much ssh says on the way makes no difference."""
    words = [word for word in login.argv if not word.startswith("-v")]
    agent = login.environment.get("SSH_AUTH_SOCK", "")
    return hashlib.sha256("\0".join([*words, login.destination, agent]).encode(errors="surrogateescape")).hexdigest()
