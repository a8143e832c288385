# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process of its own session that waits for the deadline: for nodes without systemd."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError
from ansible_collections.manifold.core.plugins.module_utils.multinic._guard import Guard
from ansible_collections.manifold.core.plugins.module_utils.multinic._state import FOLDER, PATIENCE, PROGRAM, State


class Watchdog(Guard):
    """It outlives the run and its login session, but not a reboot, and not the container that it was started in."""

    kind = "watchdog"

    def missing(self) -> str | None:
        if self.system.root != Path("/"):
            return f"the node is mounted at {self.system.root}: a process of this container ends with it"
        return None

    def arm(self, nonce: str, seconds: float) -> None:
        del seconds  # the deadline is in the snapshot
        argv = [self.python(), "-I", f"{FOLDER}/{PROGRAM}", nonce, "/", "watch"]
        ran = self.system.run(argv)
        if ran.rc != 0:
            raise GuardError(f"cannot arm the guard (watchdog): {ran.stderr.strip() or f'exit status {ran.rc}'}")

    def disarm(self) -> None:
        if not State(self.system).tell_watchdog(PATIENCE):
            raise GuardError(f"the guard (watchdog) did not end within {PATIENCE} s")
