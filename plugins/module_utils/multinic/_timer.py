# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transient systemd timer: it belongs to PID 1, and so to no session, login or container."""

from __future__ import annotations

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import GuardError, NodeError
from ansible_collections.manifold.core.plugins.module_utils.multinic._guard import Guard
from ansible_collections.manifold.core.plugins.module_utils.multinic._state import FOLDER, PROGRAM

UNIT = "manifold-multinic-guard"
_ANSWERS = ("running", "degraded", "starting", "initializing", "maintenance")


class Timer(Guard):
    """``systemd-run --on-active``. It does not outlive a reboot."""

    kind = "timer"

    def missing(self) -> str | None:
        if not self.system.path("/run/systemd/system").is_dir():
            return "systemd is not PID 1"
        for command in ("systemctl", "systemd-run"):
            if self.system.which(command) is None:
                return f"there is no {command}"
        try:
            state = self.system.run(["systemctl", "is-system-running"], timeout=5).stdout.strip()
        except NodeError as exc:
            return str(exc)
        return (
            None
            if state in _ANSWERS
            else f"systemd does not answer (systemctl is-system-running: {state or 'nothing'})"
        )

    def arm(self, nonce: str, seconds: float) -> None:
        argv = [
            *("systemd-run", "--quiet", "--collect", f"--unit={UNIT}", f"--on-active={seconds:g}s"),
            "--description=Undoes a network change that was not confirmed (manifold.core)",
            "--timer-property=AccuracySec=100ms",  # its default is a minute
            *(self.python(), "-I", f"{FOLDER}/{PROGRAM}", nonce, "/"),
        ]
        ran = self.system.run(argv)
        if ran.rc != 0:
            raise GuardError(f"cannot arm the guard (timer): {ran.stderr.strip() or f'exit status {ran.rc}'}")
        if self._active() != "active":
            raise GuardError(f"cannot arm the guard (timer): {UNIT}.timer is {self._active()}")

    def disarm(self) -> None:
        # The service, if it has just begun, finds the change decided and ends by itself.
        self.system.run(["systemctl", "stop", f"{UNIT}.timer"])
        if self._active() == "active":
            raise GuardError(f"the guard (timer) is still armed: systemctl cannot stop {UNIT}.timer")

    def _active(self) -> str:
        return self.system.run(["systemctl", "is-active", f"{UNIT}.timer"]).stdout.strip()
