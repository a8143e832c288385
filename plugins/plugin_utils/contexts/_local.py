# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine as a context."""

from __future__ import annotations

from typing import Any

from ._base import BecomeDialog, Context, ContextKind, Diagnosis, Launch
from ._become import BecomePlugin, wrap


class LocalContext(Context):
    """Runs commands on this machine, as the user who runs Ansible or through become."""

    kind = ContextKind.LOCAL

    def __init__(self, name: str, shell: Any = None, become: BecomePlugin | None = None) -> None:
        super().__init__(name)
        self._shell = shell
        self._become = become

    @property
    def counts_input(self) -> bool:
        return False

    def launch(self, command: str) -> Launch:
        dialog: BecomeDialog | None = None
        if self._become is not None:
            command, dialog = wrap(self._become, self._shell, command)
        return Launch(argv=(b"/bin/sh", b"-c", command.encode(errors="surrogateescape")), dialog=dialog)

    def diagnose(self, output: str, status: int | None) -> Diagnosis:
        if status == 97:  # the bootstrap's own: its input ended before the script was whole
            return Diagnosis("the shell was given only a part of its script")
        return super().diagnose(output, status)
