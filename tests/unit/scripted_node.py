# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's file system under a folder, and commands that answer what a test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible_collections.manifold.core.plugins.module_utils.multinic._system import Ran, System


class ScriptedNode(System):
    """Answers commands by how their words begin; any other command is missing.

    :param answers: what is printed, by the beginning of the command.
    """

    def __init__(self, root: Path, answers: Mapping[str, str] | None = None) -> None:
        super().__init__(root)
        self.answers = dict(answers or {})
        self.commands: list[str] = []

    def run(self, argv: Sequence[str], timeout: float = 30) -> Ran:
        del timeout
        words = " ".join(argv)
        self.commands.append(words)
        for beginning, printed in self.answers.items():
            if words.startswith(beginning):
                return Ran(0, printed, "")
        return Ran(127, "", f"{argv[0]}: not found")

    def which(self, command: str) -> str | None:
        del command
        return None

    def put(self, path: str, content: str | bytes = "", mode: int = 0o600) -> Path:
        """Write a file of the node."""
        seen = self.path(path)
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_bytes(content.encode() if isinstance(content, str) else content)
        seen.chmod(mode)
        return seen

    def link(self, path: str, target: str) -> Path:
        """Make a symbolic link on the node."""
        seen = self.path(path)
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.symlink_to(target)
        return seen
